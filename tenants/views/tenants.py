"""Tenants, in v2's envelope, behind either door."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from core.http.fields import PageQuerySerializer
from core.http.openapi import operation
from core.http.pagination import page
from core.http.preferences import warnings_header
from core.http.views import V2View
from tenants import services
from tenants.access import Access, get_tenant, tenants_for
from tenants.serializers import DeletedTenant, TenantCreateRequest, TenantPage, TenantResponse, TenantUpdateRequest


class TenantCollection(V2View):
    shape: type[TenantResponse] = TenantResponse

    @operation("List tenants", tag="tenants", query=PageQuerySerializer, response=TenantPage)
    def get(self, request: Request) -> Response:
        found = page(tenants_for(self.actor), self.shape, **self.validated_query(PageQuerySerializer))
        return self.respond(found, message=_("Tenants listed"))

    @operation(
        "Create a tenant",
        tag="tenants",
        request=TenantCreateRequest,
        response=TenantResponse,
        errors=(409,),
        revised=True,
        strict=True,
    )
    def post(self, request: Request) -> Response:
        return self.create(TenantCreateRequest)

    def create(self, body: type[TenantCreateRequest]) -> Response:
        """Makes the tenant that a body of this shape describes."""
        tenant = services.create_tenant(actor=self.actor, strict=self.is_strict, **self.validated_data(body))
        return self.respond_revised(
            self.shape(tenant).data,
            message=_("Tenant created"),
            tenant_id=tenant.id,
            headers=warnings_header(tenant.config_warnings),
        )


class TenantResource(V2View):
    shape: type[TenantResponse] = TenantResponse

    @operation("Read a tenant", tag="tenants", response=TenantResponse, errors=(404,), conditional=True)
    def get(self, request: Request, tenant_id: str) -> Response:
        tenant = get_tenant(self.actor, tenant_id, Access.READ)
        return self.respond_conditionally(tenant, self.shape, message=_("Tenant found"), tenant_id=tenant.id)

    @operation(
        "Change a tenant",
        tag="tenants",
        request=TenantUpdateRequest,
        response=TenantResponse,
        errors=(404, 409, 412),
        revised=True,
        strict=True,
    )
    def put(self, request: Request, tenant_id: str) -> Response:
        return self.change(tenant_id, TenantUpdateRequest)

    def change(self, tenant_id: str, body: type[TenantUpdateRequest]) -> Response:
        """Changes what a body of this shape names."""
        tenant = get_tenant(self.actor, tenant_id, Access.MANAGE)
        tenant = services.update_tenant(
            actor=self.actor,
            tenant=tenant,
            changes=self.validated_data(body),
            expected=self.if_match,
            strict=self.is_strict,
        )
        return self.respond_revised(
            self.shape(tenant).data,
            message=_("Tenant changed"),
            tenant_id=tenant.id,
            headers=warnings_header(tenant.config_warnings),
        )

    @operation("Delete a tenant and all it holds", tag="tenants", response=DeletedTenant, errors=(404, 409, 412))
    def delete(self, request: Request, tenant_id: str) -> Response:
        tenant = get_tenant(self.actor, tenant_id, Access.MANAGE)
        services.delete_tenant(actor=self.actor, tenant=tenant, expected=self.if_match)
        return self.respond({"id": tenant_id}, message=_("Tenant deleted"), tenant_id=tenant_id)
