"""The view of what a tenant was told about its keys and quotas."""

from __future__ import annotations

from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.notices import notices_of
from apikeys.serializers.notices import NoticeListResponse, NoticeQuerySerializer, NoticeResponse
from core.actor import TokenScope
from core.http.operations import operation
from core.http.views import V2View
from tenants.access import get_tenant
from tenants.roles import Access


class TenantNoticesView(V2View):
    @operation(
        "List what a tenant was told about its keys and quotas",
        tag="usage",
        token=TokenScope.READ,
        query=NoticeQuerySerializer,
        response=NoticeListResponse,
        errors=(404,),
        json_lines=True,
    )
    def get(self, request: Request, tenant_id: str) -> Response | HttpResponse:
        filters, part = self.validated_list_query(NoticeQuerySerializer)
        tenant = get_tenant(self.actor, tenant_id, Access.READ)
        rows = notices_of(tenant, **filters)
        return self.respond_log(rows, NoticeResponse, part, message=_("Notices found"), tenant_id=tenant.id)
