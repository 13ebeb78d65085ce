"""Views of agents and their plugin settings on the internal surface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from agents import services
from agents.access import agents_for, get_agent
from agents.errors import AgentNotFound
from agents.models import Agent
from agents.serializers.agents import (
    InternalAgentCreateRequest,
    InternalAgentListItemResponse,
    InternalAgentResponse,
    InternalPluginListQuerySerializer,
    InternalPluginQuerySerializer,
    InternalPluginResponse,
    PluginRequest,
)
from agents.views.agents import BaseAgentDetailView, BaseAgentListView, BasePluginSettingsView
from core import counts
from core.counts import Kind
from core.fields import json_text
from core.http.operations import ListOf, operation
from core.http.views import InternalAccessMixin, InternalV2View
from core.listing import LargeList
from internal_api.serializers import AgentPageQuerySerializer
from tenants.access import get_tenant
from tenants.models import Tenant
from tenants.roles import Access


class AgentListView(BaseAgentListView, InternalV2View):
    create_request_class = InternalAgentCreateRequest
    response_class = InternalAgentResponse
    active_for = services.NEW_AGENT_ACTIVE_FOR
    summaries = {"post": "Create an agent, active for 12 hours"}

    @operation(
        "List a tenant's agents",
        tag="agents",
        query=AgentPageQuerySerializer,
        response=ListOf(InternalAgentListItemResponse),
        errors=(404,),
    )
    def get(self, request: Request) -> Response:
        filters, part = self.validated_list_query(AgentPageQuerySerializer)
        tenant = get_tenant(self.actor, filters["tenant_id"], Access.READ)
        rows = agents_for(self.actor).filter(**filters).defer("config").annotate(config_json=json_text("config"))
        listed = LargeList(rows, lambda: counts.total(Kind.AGENTS, [tenant.id], status=filters.get("status")))
        return self.respond_list(
            listed, InternalAgentListItemResponse, part, message=_("Agents listed"), tenant_id=tenant.id
        )


class AgentDetailView(BaseAgentDetailView, InternalV2View):
    response_class = InternalAgentResponse


class PluginSettingsView(InternalAccessMixin, BasePluginSettingsView):
    """Plugin settings with their secrets, which the bots need. No cache stores them."""

    response_class = InternalPluginResponse

    def finalize_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(*args, **kwargs)
        response["Cache-Control"] = "no-store"
        return response

    @operation(
        "Read plugin settings, an agent's merged over its tenant's; of an unknown agent, the tenant's",
        tag="plugins",
        query=InternalPluginListQuerySerializer,
        response=InternalPluginResponse(many=True),
        errors=(404,),
    )
    def get(self, request: Request) -> Response:
        query = self.validated_query(InternalPluginListQuerySerializer)
        tenant = get_tenant(self.actor, query["tenant_id"], Access.READ)
        try:
            agent = self._get_agent(tenant, query, Access.READ)
        except AgentNotFound:
            agent = None  # the old service did not look agents up
        return self.list_plugins(tenant, agent, query)

    @operation(
        "Set a plugin for an agent, or for a tenant",
        tag="plugins",
        query=InternalPluginQuerySerializer,
        request=PluginRequest,
        response=InternalPluginResponse,
        errors=(404, 412),
        revised=True,
    )
    def post(self, request: Request) -> Response:
        query = self.validated_query(InternalPluginQuerySerializer)
        tenant = get_tenant(self.actor, query["tenant_id"], Access.MANAGE_TENANT)
        return self.set_plugin(tenant, self._get_agent(tenant, query, Access.MANAGE_TENANT))

    def _get_agent(self, tenant: Tenant, query: Mapping[str, Any], access: Access) -> Agent | None:
        """Return the agent that the query names, if any. Raise AgentNotFound also if it is another tenant's."""
        if "agent_id" not in query:
            return None
        agent = get_agent(self.actor, query["agent_id"], access)
        if agent.tenant_id != tenant.id:
            raise AgentNotFound
        return agent
