"""The view of a tenant's audit log."""

from __future__ import annotations

from typing import Any

import orjson
from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from core.actor import TokenScope
from core.http.operations import JSON_LINES, operation
from core.http.pagination import next_cursor_header, slice_rows
from core.http.serializers import shared_serializer
from core.http.views import V2View
from tenants.access import get_tenant
from tenants.audit_log import entries_for
from tenants.roles import Access
from tenants.serializers import AuditEntryResponse, AuditListResponse, AuditQuerySerializer


class TenantAuditView(V2View):
    """The list, which is never counted, because that would take as long as the log is."""

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
        query = self.validated_query(AuditQuerySerializer)
        tenant = get_tenant(self.actor, tenant_id, Access.READ_AUDIT)
        limit, after, media_format = query.pop("limit"), query.pop("after", None), query.pop("format")
        since, until = query.pop("from", None), query.pop("to", None)
        part = slice_rows(entries_for(tenant, since=since, until=until, **query), limit=limit, after=after)
        shown: list[Any] = [shared_serializer(AuditEntryResponse).to_representation(row) for row in part.rows]
        if media_format == "jsonl":
            lines = b"".join(orjson.dumps(entry) + b"\n" for entry in shown)
            return HttpResponse(lines, content_type=JSON_LINES, headers=next_cursor_header(part))
        page = {"items": shown, "next_after": part.next_after}
        return self.respond(page, message=_("Audit log found"), tenant_id=tenant.id)
