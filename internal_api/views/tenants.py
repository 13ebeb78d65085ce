"""Tenants behind the internal door: the views of `tenants`, open to every tenant."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from core.http.openapi import operation
from core.http.views import InternalDoor
from tenants.serializers import InternalTenantAnswer, InternalTenantBody, InternalTenantChanges, TenantAnswer
from tenants.views.tenants import TenantCollection, TenantResource


class Tenants(InternalDoor, TenantCollection):
    shape = InternalTenantAnswer

    @operation(
        "Create a tenant, somebody's or nobody's",
        tag="tenants",
        request=InternalTenantBody,
        answer=TenantAnswer,
        refusals=(409,),
        revised=True,
        strict=True,
    )
    def post(self, request: Request) -> Response:
        return self.create(InternalTenantBody)


class Tenant(InternalDoor, TenantResource):
    shape = InternalTenantAnswer

    @operation(
        "Change a tenant: only the keys sent",
        tag="tenants",
        request=InternalTenantChanges,
        answer=TenantAnswer,
        refusals=(404, 409, 412),
        revised=True,
        strict=True,
    )
    def put(self, request: Request, tenant_id: str) -> Response:
        return self.change(tenant_id, InternalTenantChanges)
