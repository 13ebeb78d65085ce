"""The view of a tenant's audit log."""

from __future__ import annotations

from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from core.actor import TokenScope
from core.http.operations import operation
from core.http.views import V2View
from tenants.access import get_tenant
from tenants.audit_log import entries_for
from tenants.roles import Access
from tenants.serializers import AuditEntryResponse, AuditListResponse, AuditQuerySerializer


class TenantAuditView(V2View):
    @operation(
        "List the changes in a tenant",
        tag="tenants",
        token=TokenScope.READ,
        query=AuditQuerySerializer,
        response=AuditListResponse,
        errors=(404,),
        json_lines=True,
    )
    def get(self, request: Request, tenant_id: str) -> Response | HttpResponse:
        filters, part = self.validated_list_query(AuditQuerySerializer)
        tenant = get_tenant(self.actor, tenant_id, Access.READ_AUDIT)
        rows = entries_for(tenant, **filters)
        return self.respond_log(rows, AuditEntryResponse, part, message=_("Audit log found"), tenant_id=tenant.id)
