"""Tenants behind the internal door: the views of `tenants`, open to every tenant."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from core.http.openapi import operation
from core.http.views import InternalAccessMixin
from tenants.serializers import (
    InternalTenantCreateRequest,
    InternalTenantResponse,
    InternalTenantUpdateRequest,
    TenantResponse,
)
from tenants.views.tenants import TenantCollection, TenantResource


class Tenants(InternalAccessMixin, TenantCollection):
    shape = InternalTenantResponse

    @operation(
        "Create a tenant, somebody's or nobody's",
        tag="tenants",
        request=InternalTenantCreateRequest,
        response=TenantResponse,
        errors=(409,),
        revised=True,
        strict=True,
    )
    def post(self, request: Request) -> Response:
        return self.create(InternalTenantCreateRequest)


class Tenant(InternalAccessMixin, TenantResource):
    shape = InternalTenantResponse

    @operation(
        "Change a tenant: only the keys sent",
        tag="tenants",
        request=InternalTenantUpdateRequest,
        response=TenantResponse,
        errors=(404, 409, 412),
        revised=True,
        strict=True,
    )
    def put(self, request: Request, tenant_id: str) -> Response:
        return self.change(tenant_id, InternalTenantUpdateRequest)
