"""Views of invitations into a tenant: for those who send them, in v2's shape, and for the invited, in v1's."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.views.sign_in import NoStoreMixin
from core.actor import TokenScope
from core.http.fields import PageQuerySerializer
from core.http.operations import ListOf, operation
from core.http.views import AnonymousView, V1View, V2View
from tenants import invitations
from tenants.access import get_tenant
from tenants.models import Role
from tenants.roles import Access
from tenants.serializers import (
    InvitationRequest,
    InvitationResponse,
    InvitationTokenRequest,
    JoinedTenantResponse,
    NewInvitationResponse,
    RevokedInvitationResponse,
    ShownInvitationResponse,
)


class InvitationListView(NoStoreMixin, V2View):
    @operation(
        "List the open invitations into a tenant",
        tag="tenants",
        token=TokenScope.READ,
        query=PageQuerySerializer,
        response=ListOf(InvitationResponse),
        errors=(404,),
    )
    def get(self, request: Request, tenant_id: str) -> Response:
        tenant = get_tenant(self.actor, tenant_id, Access.READ_INVITATIONS)
        part = self.validated_query(PageQuerySerializer)
        rows = invitations.invitations_of(tenant)
        return self.respond_list(
            rows, InvitationResponse, part, message=_("Invitations listed"), tenant_id=tenant.id, key="pk"
        )

    @operation(
        "Invite somebody into a tenant by e-mail, in place of a former invitation of this address",
        tag="tenants",
        token=TokenScope.WRITE,
        request=InvitationRequest,
        response=NewInvitationResponse,
        errors=(404, 409, 429),
    )
    def post(self, request: Request, tenant_id: str) -> Response:
        tenant = get_tenant(self.actor, tenant_id, Access.MANAGE_MEMBERS)
        body = self.validated_data(InvitationRequest)
        invited = invitations.invite(actor=self.actor, tenant=tenant, email=body["email"], role=Role(body["role"]))
        shown = {**InvitationResponse(invited.invitation).data, "link": invited.link}
        return self.respond(shown, message=_("Invitation sent"), tenant_id=tenant.id)


class InvitationDetailView(V2View):
    @operation(
        "Read an open invitation into a tenant",
        tag="tenants",
        token=TokenScope.READ,
        response=InvitationResponse,
        errors=(404,),
    )
    def get(self, request: Request, tenant_id: str, invitation_id: str) -> Response:
        tenant = get_tenant(self.actor, tenant_id, Access.READ_INVITATIONS)
        invitation = invitations.get_invitation(tenant, invitation_id)
        return self.respond(InvitationResponse(invitation).data, message=_("Invitation found"), tenant_id=tenant.id)

    @operation(
        "Revoke an invitation into a tenant",
        tag="tenants",
        token=TokenScope.WRITE,
        response=RevokedInvitationResponse,
        errors=(404, 409),
    )
    def delete(self, request: Request, tenant_id: str, invitation_id: str) -> Response:
        tenant = get_tenant(self.actor, tenant_id, Access.MANAGE_MEMBERS)
        invitations.revoke(actor=self.actor, tenant=tenant, invitation_id=invitation_id)
        return self.respond({"id": invitation_id}, message=_("Invitation revoked"), tenant_id=tenant.id)


class InvitationShowView(NoStoreMixin, AnonymousView):
    @operation(
        "Read an invitation by the token of its link",
        tag="tenants",
        request=InvitationTokenRequest,
        response=ShownInvitationResponse,
        errors=(429,),
    )
    def post(self, request: Request) -> Response:
        invitation = invitations.find(actor=self.actor, **self.validated_data(InvitationTokenRequest))
        return Response(ShownInvitationResponse(invitation).data)


class InvitationAcceptView(V1View):
    @operation(
        "Join a tenant by the token of an invitation",
        tag="tenants",
        request=InvitationTokenRequest,
        response=JoinedTenantResponse,
        errors=(409, 429),
    )
    def post(self, request: Request) -> Response:
        membership = invitations.accept(actor=self.actor, **self.validated_data(InvitationTokenRequest))
        return Response(JoinedTenantResponse(membership).data)
