"""Views of tenants on the internal surface."""

from __future__ import annotations

from core.http.views import InternalV2View
from tenants.serializers import InternalTenantCreateRequest, InternalTenantResponse, InternalTenantUpdateRequest
from tenants.views.tenants import BaseTenantDetailView, BaseTenantListView


class TenantListView(BaseTenantListView, InternalV2View):
    create_request_class = InternalTenantCreateRequest
    response_class = InternalTenantResponse
    summaries = {"post": "Create a tenant, somebody's or nobody's"}


class TenantDetailView(BaseTenantDetailView, InternalV2View):
    update_request_class = InternalTenantUpdateRequest
    response_class = InternalTenantResponse
