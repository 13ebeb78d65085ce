"""v1: a person's agents, their plugin settings, and what the system offers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from agent_config import system
from agents import services
from agents.access import get_agent
from agents.config_warnings import find_warnings
from agents.listing import NEWEST_FIRST, AgentList
from agents.models import Agent
from agents.serializers.agents import (
    AgentCreateRequest,
    AgentListQuerySerializer,
    AgentResponse,
    AgentUpdateRequest,
    ListedAgentResponse,
    ModelsResponse,
    PluginListQuerySerializer,
    PluginQuerySerializer,
    PluginRequest,
    PluginResponse,
)
from agents.services import plugins
from agents.services.config_writes import WriteOptions
from core.http.openapi import operation
from core.http.pagination import bare_list
from core.http.preferences import warnings_header
from core.http.views import V1View
from tenants.access import Access, default_tenant, get_tenant
from tenants.models import Tenant


class Agents(V1View):
    @operation(
        "List the agents of all one's tenants",
        tag="agents",
        query=AgentListQuerySerializer,
        response=ListedAgentResponse(many=True),
        total_count=True,
    )
    def get(self, request: Request) -> Response:
        query = self.validated_query(AgentListQuerySerializer)
        part = {name: query.pop(name) for name in ("skip", "limit", "after") if name in query}
        rows = AgentList(self.actor, sort=query.pop("sort", NEWEST_FIRST), filters=query)
        return bare_list(rows, ListedAgentResponse, **part)

    @operation(
        "Create an agent",
        tag="agents",
        request=AgentCreateRequest,
        response=AgentResponse,
        errors=(404, 409),
        revised=True,
        strict=True,
    )
    def post(self, request: Request) -> Response:
        body = self.validated_data(AgentCreateRequest)
        named = body.pop("tenant_id", None)
        tenant = (
            get_tenant(self.actor, named, Access.WRITE_AGENTS)
            if named is not None
            else default_tenant(self.actor, Access.WRITE_AGENTS)
        )
        agent = services.create_agent(actor=self.actor, tenant=tenant, strict=self.is_strict, **body)
        headers = warnings_header(agent.config_warnings)
        return self.respond_revised(AgentResponse(agent).data, message=_("Agent created"), headers=headers)


class AgentResource(V1View):
    @operation("Read an agent", tag="agents", response=AgentResponse, errors=(404,), conditional=True)
    def get(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Access.READ)
        return self.respond_conditionally(agent, AgentResponse, message=_("Agent found"))

    @operation(
        "Change an agent: only the keys sent",
        tag="agents",
        request=AgentUpdateRequest,
        response=AgentResponse,
        errors=(404, 409, 412),
        revised=True,
        strict=True,
    )
    def put(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Access.WRITE_AGENTS)
        write = WriteOptions(expected=self.if_match, strict=self.is_strict)
        agent = services.update_agent(
            actor=self.actor, agent=agent, changes=self.validated_data(AgentUpdateRequest), config_write=write
        )
        find_warnings(agent)
        headers = warnings_header(agent.config_warnings)
        return self.respond_revised(AgentResponse(agent).data, message=_("Agent changed"), headers=headers)

    patch = put

    @operation("Delete an agent with its keys", tag="agents", response=None, status=204, errors=(404, 409, 412))
    def delete(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Access.WRITE_AGENTS)
        services.delete_agent(actor=self.actor, agent=agent, expected=self.if_match)
        return Response(status=204)


class PluginSettingsView(V1View):
    """Plugin settings on either surface, as `shape` shows them."""

    shape: ClassVar[type[PluginResponse]] = PluginResponse

    def part(self, tenant: Tenant, agent: Agent | None, query: Mapping[str, Any]) -> Response:
        """Respond with the settings that apply to an agent, or with None to a tenant: all, or those after a cursor."""
        rows = plugins.PluginList(tenant=tenant, agent=agent)
        if "after" not in query:
            return Response(self.shape(rows[:], many=True).data)
        return bare_list(rows, self.shape, limit=query["limit"], after=query["after"], key="public_id")

    def set_plugin(self, tenant: Tenant, agent: Agent | None) -> Response:
        """Set the plugin that the body names."""
        body = {"config": {}, **self.validated_data(PluginRequest)}
        row = plugins.set_plugin(actor=self.actor, tenant=tenant, agent=agent, expected=self.if_match, **body)
        return self.respond_revised(self.shape(row).data, message=_("Plugin set"))


class PluginSettings(PluginSettingsView):
    @operation(
        "Read plugin settings, an agent's merged over its tenant's",
        tag="plugins",
        query=PluginListQuerySerializer,
        response=PluginResponse(many=True),
        errors=(404,),
    )
    def get(self, request: Request) -> Response:
        query = self.validated_query(PluginListQuerySerializer)
        return self.part(*self._scope(query, Access.READ, Access.READ), query)

    @operation(
        "Set a plugin for an agent, or for a tenant",
        tag="plugins",
        query=PluginQuerySerializer,
        request=PluginRequest,
        response=PluginResponse,
        errors=(404, 409, 412),
        revised=True,
    )
    def post(self, request: Request) -> Response:
        return self.set_plugin(
            *self._scope(self.validated_query(PluginQuerySerializer), Access.WRITE_AGENTS, Access.MANAGE)
        )

    def _scope(self, query: Mapping[str, Any], on_agent: Access, on_tenant: Access) -> tuple[Tenant, Agent | None]:
        if "agent_id" in query:
            agent = get_agent(self.actor, query["agent_id"], on_agent)
            return agent.tenant, agent
        if "tenant_id" in query:
            return get_tenant(self.actor, query["tenant_id"], on_tenant), None
        return default_tenant(self.actor, on_tenant), None


class SystemModels(V1View):
    @operation("The system's model providers and models", tag="system", response=ModelsResponse)
    def get(self, request: Request) -> Response:
        return Response(system.models())


class BotDefaults(V1View):
    @operation("The bots' default sections", tag="system", response=serializers.DictField())
    def get(self, request: Request) -> Response:
        return Response(system.bot_defaults())
