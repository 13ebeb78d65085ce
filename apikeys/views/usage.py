"""Views of the number of uses by day, of one key, of an agent's keys, or of a tenant's."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from agents.access import get_agent
from apikeys import usage
from apikeys.access import get_key
from apikeys.serializers.usage import DailyUsageResponse, UsageQuerySerializer
from core.actor import TokenScope
from core.http.operations import operation
from core.http.views import BaseView, V1View, V2View
from tenants.access import get_tenant
from tenants.roles import Access


class _UsageView(BaseView):
    def respond_usage(self, subject: str, tenant_id: str) -> Response:
        """Respond with the uses of a key, an agent or a tenant, on the days that the query asks for."""
        query = self.validated_query(UsageQuerySerializer)
        days = usage.by_day(subject, tenant_id, query["from"], query["to"])
        result = {
            **query,
            "total": sum(uses for _day, uses in days),
            "days": [{"date": day, "uses": uses} for day, uses in days],
        }
        return self.respond(DailyUsageResponse(result).data, message=_("Usage found"), tenant_id=tenant_id)


class BaseTenantUsageView(_UsageView):
    @operation(
        "Uses of a tenant's keys by day",
        tag="usage",
        token=TokenScope.READ,
        query=UsageQuerySerializer,
        response=DailyUsageResponse,
        errors=(404,),
    )
    def get(self, request: Request, tenant_id: str) -> Response:
        tenant = get_tenant(self.actor, tenant_id, Access.READ)
        return self.respond_usage(tenant.id, tenant.id)


class BaseAgentUsageView(_UsageView):
    @operation(
        "Uses of an agent's keys by day",
        tag="usage",
        token=TokenScope.READ,
        query=UsageQuerySerializer,
        response=DailyUsageResponse,
        errors=(404,),
    )
    def get(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Access.READ)
        return self.respond_usage(agent.id, agent.tenant_id)


class BaseKeyUsageView(_UsageView):
    """The uses of a key, whose URL may name its agent, too."""

    @operation(
        "Uses of a key by day",
        tag="usage",
        token=TokenScope.READ,
        query=UsageQuerySerializer,
        response=DailyUsageResponse,
        errors=(404,),
    )
    def get(self, request: Request, key_id: str, agent_id: str | None = None) -> Response:
        key = get_key(self.actor, key_id, Access.READ, agent_id=agent_id)
        return self.respond_usage(key.id, key.tenant_id)


class TenantUsageView(BaseTenantUsageView, V2View):
    pass


class AgentUsageView(BaseAgentUsageView, V1View):
    pass


class AgentKeyUsageView(BaseKeyUsageView, V1View):
    pass


class KeyUsageView(BaseKeyUsageView, V2View):
    pass
