"""The view of the refused verifications of a tenant's keys."""

from __future__ import annotations

from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.refusals import refusals_of
from apikeys.serializers.refusals import RefusalItem, RefusalListResponse, RefusalQuerySerializer
from core.actor import TokenScope
from core.http.operations import operation
from core.http.views import V2View
from tenants.access import get_tenant
from tenants.roles import Access


class TenantRefusalsView(V2View):
    """The list, for those who read the audit log, because it has addresses of the people who used keys."""

    @operation(
        "List why keys of a tenant were refused",
        tag="usage",
        token=TokenScope.READ,
        query=RefusalQuerySerializer,
        response=RefusalListResponse,
        errors=(404,),
        json_lines=True,
    )
    def get(self, request: Request, tenant_id: str) -> Response | HttpResponse:
        filters, part = self.validated_list_query(RefusalQuerySerializer)
        tenant = get_tenant(self.actor, tenant_id, Access.READ_AUDIT)
        rows = refusals_of(tenant, **filters)
        return self.respond_log(rows, RefusalItem, part, message=_("Refusals found"), tenant_id=tenant.id)
