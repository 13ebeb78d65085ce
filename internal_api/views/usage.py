"""How often keys were used, behind the internal door: the views of `apikeys`, open to every tenant."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from agents.access import get_agent
from apikeys.serializers.usage import DailyUsageResponse, UsageQuerySerializer
from apikeys.views import usage
from core.http.openapi import operation
from core.http.views import InternalAccessMixin
from tenants.access import Access


class TenantUsage(InternalAccessMixin, usage.TenantUsage):
    pass


class AgentUsage(InternalAccessMixin, usage.EnvelopedUsage):
    @operation(
        "Uses of an agent's keys by day",
        tag="usage",
        query=UsageQuerySerializer,
        response=DailyUsageResponse,
        errors=(404,),
    )
    def get(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Access.READ)
        return self.counted(agent.id, agent.tenant_id)


class KeyUsage(InternalAccessMixin, usage.KeyUsage):
    pass
