"""Views of tenants, in v2's shape on both surfaces."""

from __future__ import annotations

from typing import ClassVar

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from core import counts
from core.actor import TokenScope
from core.counts import Kind
from core.http.fields import PageQuerySerializer
from core.http.operations import FromView, ListOf, operation
from core.http.preferences import warnings_header
from core.http.views import BaseView, V2View
from core.listing import LargeList
from tenants import services
from tenants.access import get_tenant, tenants_for
from tenants.roles import Access
from tenants.serializers import TenantCreateRequest, TenantDeletionResponse, TenantResponse, TenantUpdateRequest


class BaseTenantListView(BaseView):
    create_request_class: ClassVar[type[TenantCreateRequest]]
    response_class: ClassVar[type[TenantResponse]]

    @operation(
        "List tenants", tag="tenants", token=TokenScope.READ, query=PageQuerySerializer, response=ListOf(TenantResponse)
    )
    def get(self, request: Request) -> Response:
        query = self.validated_query(PageQuerySerializer)
        rows = tenants_for(self.actor)
        total = (lambda: counts.total(Kind.TENANTS, [""])) if self.actor.is_trusted else None
        return self.respond_list(LargeList(rows, total), self.response_class, query, message=_("Tenants listed"))

    @operation(
        "Create a tenant",
        tag="tenants",
        token=TokenScope.WRITE,
        request=FromView("create_request_class"),
        response=TenantResponse,
        errors=(409,),
        revised=True,
        strict=True,
    )
    def post(self, request: Request) -> Response:
        body = self.validated_data(self.create_request_class)
        tenant = services.create_tenant(actor=self.actor, strict=self.is_strict, **body)
        return self.respond_revised(
            self.response_class(tenant).data,
            message=_("Tenant created"),
            tenant_id=tenant.id,
            headers=warnings_header(tenant.config_warnings),
        )


class BaseTenantDetailView(BaseView):
    update_request_class: ClassVar[type[TenantUpdateRequest]]
    response_class: ClassVar[type[TenantResponse]]

    @operation(
        "Read a tenant", tag="tenants", token=TokenScope.READ, response=TenantResponse, errors=(404,), conditional=True
    )
    def get(self, request: Request, tenant_id: str) -> Response:
        tenant = get_tenant(self.actor, tenant_id, Access.READ)
        return self.respond_conditionally(tenant, self.response_class, message=_("Tenant found"), tenant_id=tenant.id)

    @operation(
        "Change a tenant: only the keys sent",
        tag="tenants",
        token=TokenScope.WRITE,
        request=FromView("update_request_class"),
        response=TenantResponse,
        errors=(404, 409, 412),
        revised=True,
        strict=True,
    )
    def put(self, request: Request, tenant_id: str) -> Response:
        tenant = get_tenant(self.actor, tenant_id, Access.MANAGE_TENANT)
        tenant = services.update_tenant(
            actor=self.actor,
            tenant=tenant,
            changes=self.validated_data(self.update_request_class),
            expected=self.if_match,
            strict=self.is_strict,
        )
        return self.respond_revised(
            self.response_class(tenant).data,
            message=_("Tenant changed"),
            tenant_id=tenant.id,
            headers=warnings_header(tenant.config_warnings),
        )

    @operation(
        "Delete a tenant and all it holds",
        tag="tenants",
        token=TokenScope.WRITE,
        response=TenantDeletionResponse,
        errors=(404, 409, 412),
    )
    def delete(self, request: Request, tenant_id: str) -> Response:
        tenant = get_tenant(self.actor, tenant_id, Access.OWN)
        services.delete_tenant(actor=self.actor, tenant=tenant, expected=self.if_match)
        return self.respond({"id": tenant_id}, message=_("Tenant deleted"), tenant_id=tenant_id)


class TenantListView(BaseTenantListView, V2View):
    create_request_class = TenantCreateRequest
    response_class = TenantResponse


class TenantDetailView(BaseTenantDetailView, V2View):
    update_request_class = TenantUpdateRequest
    response_class = TenantResponse
