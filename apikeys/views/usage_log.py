"""The view of what bots reported about a tenant."""

from __future__ import annotations

from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.serializers.usage_log import UsageLogQuerySerializer, UsageLogResponse, UsageResponse
from apikeys.usage_log import entries_for
from core.actor import TokenScope
from core.http.operations import operation
from core.http.views import V2View
from tenants.access import get_tenant
from tenants.roles import Access


class TenantUsageLogView(V2View):
    @operation(
        "List what bots reported about a tenant",
        tag="activity",
        token=TokenScope.READ,
        query=UsageLogQuerySerializer,
        response=UsageLogResponse,
        errors=(404,),
        json_lines=True,
    )
    def get(self, request: Request, tenant_id: str) -> Response | HttpResponse:
        filters, part = self.validated_list_query(UsageLogQuerySerializer)
        tenant = get_tenant(self.actor, tenant_id, Access.READ)
        rows = entries_for(tenant, **filters)
        return self.respond_log(rows, UsageResponse, part, message=_("Usage log found"), tenant_id=tenant.id)
