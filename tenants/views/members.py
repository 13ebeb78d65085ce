"""Views of a tenant's members, and of handing it over. They are in v2's shape, on the public surface alone."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from core.actor import TokenScope
from core.http.fields import PageQuerySerializer
from core.http.operations import ListOf, operation
from core.http.views import V2View
from tenants import members
from tenants.access import get_tenant
from tenants.capacity import capacity_of
from tenants.models import Role
from tenants.roles import Access
from tenants.serializers import (
    MemberRemovalResponse,
    MemberResponse,
    OwnershipOfferRequest,
    OwnershipOfferResponse,
    RoleRequest,
    TenantCapacityResponse,
    TenantResponse,
)


class MemberListView(V2View):
    @operation(
        "List the members of a tenant",
        tag="tenants",
        token=TokenScope.READ,
        query=PageQuerySerializer,
        response=ListOf(MemberResponse),
        errors=(404,),
    )
    def get(self, request: Request, tenant_id: str) -> Response:
        tenant = get_tenant(self.actor, tenant_id, Access.READ)
        part = self.validated_query(PageQuerySerializer)
        return self.respond_list(
            members.members_of(tenant),
            MemberResponse,
            part,
            message=_("Members listed"),
            tenant_id=tenant.id,
            key="user_id",
        )


class MemberDetailView(V2View):
    @operation(
        "Change the role of a member",
        tag="tenants",
        token=TokenScope.WRITE,
        request=RoleRequest,
        response=MemberResponse,
        errors=(404, 409),
    )
    def put(self, request: Request, tenant_id: str, user_id: str) -> Response:
        tenant = get_tenant(self.actor, tenant_id, Access.MANAGE_MEMBERS)
        role = Role(self.validated_data(RoleRequest)["role"])
        member = members.change_role(actor=self.actor, tenant=tenant, user_id=user_id, role=role)
        return self.respond(MemberResponse(member).data, message=_("Role changed"), tenant_id=tenant.id)

    @operation(
        "Remove a member; everybody may remove themselves",
        tag="tenants",
        token=TokenScope.WRITE,
        response=MemberRemovalResponse,
        errors=(404, 409),
    )
    def delete(self, request: Request, tenant_id: str, user_id: str) -> Response:
        access = Access.READ if user_id == self.actor.id else Access.MANAGE_MEMBERS
        tenant = get_tenant(self.actor, tenant_id, access)
        members.remove_member(actor=self.actor, tenant=tenant, user_id=user_id)
        return self.respond({"user_id": user_id}, message=_("Member removed"), tenant_id=tenant.id)


class TenantLimitsView(V2View):
    @operation(
        "How many agents, keys and members a tenant has, and may have",
        tag="tenants",
        token=TokenScope.READ,
        response=TenantCapacityResponse,
        errors=(404,),
    )
    def get(self, request: Request, tenant_id: str) -> Response:
        tenant = get_tenant(self.actor, tenant_id, Access.READ)
        capacity = {name: each._asdict() for name, each in capacity_of(tenant).items()}
        return self.respond(TenantCapacityResponse(capacity).data, message=_("Limits found"), tenant_id=tenant.id)


class OwnershipOfferView(V2View):
    @operation(
        "Offer the tenant to another member, who becomes its owner by accepting it",
        tag="tenants",
        request=OwnershipOfferRequest,
        response=OwnershipOfferResponse,
        errors=(404, 409),
    )
    def put(self, request: Request, tenant_id: str) -> Response:
        tenant = get_tenant(self.actor, tenant_id, Access.OWN)
        offer = members.offer_tenant(actor=self.actor, tenant=tenant, **self.validated_data(OwnershipOfferRequest))
        return self.respond(OwnershipOfferResponse(offer).data, message=_("Tenant offered"), tenant_id=tenant.id)

    @operation(
        "Withdraw the offer of a tenant, or decline it",
        tag="tenants",
        response=OwnershipOfferResponse,
        errors=(404, 409),
    )
    def delete(self, request: Request, tenant_id: str) -> Response:
        tenant = get_tenant(self.actor, tenant_id, Access.READ)
        offer = members.withdraw_offer(actor=self.actor, tenant=tenant)
        return self.respond(OwnershipOfferResponse(offer).data, message=_("Offer withdrawn"), tenant_id=tenant.id)


class OwnershipAcceptanceView(V2View):
    @operation("Accept a tenant that is offered", tag="tenants", response=TenantResponse, errors=(404, 409))
    def post(self, request: Request, tenant_id: str) -> Response:
        tenant = get_tenant(self.actor, tenant_id, Access.READ)
        tenant = members.accept_tenant(actor=self.actor, tenant=tenant)
        return self.respond(TenantResponse(tenant).data, message=_("Tenant accepted"), tenant_id=tenant.id)
