"""Views of the number of uses by day, of one key, of an agent's keys, or of a tenant's."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from agents.access import get_agent
from apikeys import outcomes, usage
from apikeys.access import get_key
from apikeys.outcomes import Resolution
from apikeys.serializers.usage import (
    DailyUsageResponse,
    TenantUsageQuerySerializer,
    TenantUsageResponse,
    UsageQuerySerializer,
)
from core.actor import TokenScope
from core.http.operations import operation
from core.http.views import BaseView, V1View, V2View
from tenants.access import get_tenant
from tenants.roles import Access

BUSIEST_KEYS = 10


def _daily_usage(subject: str, tenant_id: str, days: dict[str, Any]) -> dict[str, Any]:
    """Return the uses of a key, an agent or a tenant, on the days `from` and `to` and those between."""
    counted = usage.by_day(subject, tenant_id, days["from"], days["to"])
    total = sum(uses for _day, uses in counted)
    return {**days, "total": total, "days": [{"date": day, "uses": uses} for day, uses in counted]}


class _UsageView(BaseView):
    def respond_usage(self, subject: str, tenant_id: str) -> Response:
        """Respond with the uses of a key or an agent, on the days that the query asks for."""
        result = _daily_usage(subject, tenant_id, self.validated_query(UsageQuerySerializer))
        return self.respond(DailyUsageResponse(result).data, message=_("Usage found"), tenant_id=tenant_id)


class BaseTenantUsageView(BaseView):
    @operation(
        "Uses of a tenant's keys by day; verifications by outcome and time, and the busiest keys",
        tag="usage",
        token=TokenScope.READ,
        query=TenantUsageQuerySerializer,
        response=TenantUsageResponse,
        errors=(404,),
    )
    def get(self, request: Request, tenant_id: str) -> Response:
        query = self.validated_query(TenantUsageQuerySerializer)
        by = query.pop("by", None)
        tenant = get_tenant(self.actor, tenant_id, Access.READ)
        result = _daily_usage(tenant.id, tenant.id, query)
        if by is not None:
            first, last = query["from"], query["to"]
            result["periods"] = outcomes.of_days(tenant.id, first, last, Resolution[by.upper()])
            result["busiest_keys"] = usage.busiest_keys(tenant.id, first, last, BUSIEST_KEYS)
        return self.respond(TenantUsageResponse(result).data, message=_("Usage found"), tenant_id=tenant.id)


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
