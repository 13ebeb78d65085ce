"""Tenants, in v2's envelope, behind either door."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from core.http.fields import PageQuery
from core.http.openapi import operation
from core.http.pagination import page
from core.http.preferences import warnings_header
from core.http.views import EnvelopeView
from tenants import services
from tenants.access import Need, get_tenant, tenants_for
from tenants.serializers import DeletedTenant, TenantAnswer, TenantBody, TenantChanges, TenantPage


class TenantCollection(EnvelopeView):
    shape: type[TenantAnswer] = TenantAnswer

    @operation("List tenants", tag="tenants", query=PageQuery, answer=TenantPage)
    def get(self, request: Request) -> Response:
        found = page(tenants_for(self.actor), self.shape, **self.query(PageQuery))
        return self.reply(found, message=_("Tenants listed"))

    @operation(
        "Create a tenant",
        tag="tenants",
        request=TenantBody,
        answer=TenantAnswer,
        refusals=(409,),
        revised=True,
        strict=True,
    )
    def post(self, request: Request) -> Response:
        return self.create(TenantBody)

    def create(self, body: type[TenantBody]) -> Response:
        """Makes the tenant that a body of this shape describes."""
        tenant = services.create_tenant(actor=self.actor, strict=self.is_strict, **self.body(body))
        return self.reply_revised(
            self.shape(tenant).data,
            message=_("Tenant created"),
            tenant_id=tenant.id,
            headers=warnings_header(tenant.config_warnings),
        )


class TenantResource(EnvelopeView):
    shape: type[TenantAnswer] = TenantAnswer

    @operation("Read a tenant", tag="tenants", answer=TenantAnswer, refusals=(404,), conditional=True)
    def get(self, request: Request, tenant_id: str) -> Response:
        tenant = get_tenant(self.actor, tenant_id, Need.READ)
        return self.reply_unless_known(tenant, self.shape, message=_("Tenant found"), tenant_id=tenant.id)

    @operation(
        "Change a tenant",
        tag="tenants",
        request=TenantChanges,
        answer=TenantAnswer,
        refusals=(404, 409, 412),
        revised=True,
        strict=True,
    )
    def put(self, request: Request, tenant_id: str) -> Response:
        return self.change(tenant_id, TenantChanges)

    def change(self, tenant_id: str, body: type[TenantChanges]) -> Response:
        """Changes what a body of this shape names."""
        tenant = get_tenant(self.actor, tenant_id, Need.MANAGE)
        tenant = services.update_tenant(
            actor=self.actor,
            tenant=tenant,
            changes=self.body(body),
            expected=self.if_match,
            strict=self.is_strict,
        )
        return self.reply_revised(
            self.shape(tenant).data,
            message=_("Tenant changed"),
            tenant_id=tenant.id,
            headers=warnings_header(tenant.config_warnings),
        )

    @operation("Delete a tenant and all it holds", tag="tenants", answer=DeletedTenant, refusals=(404, 409, 412))
    def delete(self, request: Request, tenant_id: str) -> Response:
        tenant = get_tenant(self.actor, tenant_id, Need.MANAGE)
        services.delete_tenant(actor=self.actor, tenant=tenant, expected=self.if_match)
        return self.reply({"id": tenant_id}, message=_("Tenant deleted"), tenant_id=tenant_id)
