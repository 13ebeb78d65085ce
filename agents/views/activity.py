"""The view of the agents of a tenant that are alive."""

from __future__ import annotations

from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from agents import services
from agents.serializers.activity import ActivityResponse, LiveAgentListResponse, LiveAgentQuerySerializer
from core.actor import TokenScope
from core.http.operations import operation
from core.http.views import V2View
from tenants.access import get_tenant
from tenants.roles import Access


class TenantActivityView(V2View):
    """The heartbeats that have not expired, in the order of the agents' ids."""

    @operation(
        "List the agents of a tenant that are alive",
        tag="activity",
        token=TokenScope.READ,
        query=LiveAgentQuerySerializer,
        response=LiveAgentListResponse,
        errors=(404,),
        json_lines=True,
    )
    def get(self, request: Request, tenant_id: str) -> Response | HttpResponse:
        filters, part = self.validated_list_query(LiveAgentQuerySerializer)
        tenant = get_tenant(self.actor, tenant_id, Access.READ)
        rows = services.active_agents(tenant.id).filter(**filters).order_by("agent_id")
        message = _("Active agents listed")
        return self.respond_log(rows, ActivityResponse, part, message=message, tenant_id=tenant.id, key="agent_id")
