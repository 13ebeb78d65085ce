"""How often keys were used, day by day: one key, all of an agent's, all of a tenant's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from agents.access import get_agent
from apikeys import usage
from apikeys.access import get_key
from apikeys.serializers.usage import DailyUsageResponse, UsageQuerySerializer
from core.http.openapi import operation
from core.http.views import V1View, V2View
from tenants.access import Access, get_tenant


def usage_of(subject: str, tenant_id: str, asked: Mapping[str, date]) -> Any:
    """The answer about a key, an agent or a tenant, for the days of a UsageQuerySerializer."""
    days = usage.by_day(subject, tenant_id, asked["from"], asked["to"])
    counted = [{"date": day, "uses": uses} for day, uses in days]
    return DailyUsageResponse({**asked, "total": sum(uses for _day, uses in days), "days": counted}).data


class AgentUsage(V1View):
    @operation(
        "Uses of an agent's keys by day",
        tag="usage",
        query=UsageQuerySerializer,
        response=DailyUsageResponse,
        errors=(404,),
    )
    def get(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Access.READ)
        return Response(usage_of(agent.id, agent.tenant_id, self.validated_query(UsageQuerySerializer)))


class AgentKeyUsage(V1View):
    @operation(
        "Uses of a key by day", tag="usage", query=UsageQuerySerializer, response=DailyUsageResponse, errors=(404,)
    )
    def get(self, request: Request, agent_id: str, key_id: str) -> Response:
        key = get_key(self.actor, key_id, Access.READ, agent_id=agent_id)
        return Response(usage_of(key.id, key.tenant_id, self.validated_query(UsageQuerySerializer)))


class EnvelopedUsage(V2View):
    def counted(self, subject: str, tenant_id: str) -> Response:
        """The answer about a key, an agent or a tenant."""
        found = usage_of(subject, tenant_id, self.validated_query(UsageQuerySerializer))
        return self.respond(found, message=_("Usage found"), tenant_id=tenant_id)


class TenantUsage(EnvelopedUsage):
    @operation(
        "Uses of a tenant's keys by day",
        tag="usage",
        query=UsageQuerySerializer,
        response=DailyUsageResponse,
        errors=(404,),
    )
    def get(self, request: Request, tenant_id: str) -> Response:
        tenant = get_tenant(self.actor, tenant_id, Access.READ)
        return self.counted(tenant.id, tenant.id)


class KeyUsage(EnvelopedUsage):
    @operation(
        "Uses of a key by day", tag="usage", query=UsageQuerySerializer, response=DailyUsageResponse, errors=(404,)
    )
    def get(self, request: Request, key_id: str) -> Response:
        key = get_key(self.actor, key_id, Access.READ)
        return self.counted(key.id, key.tenant_id)
