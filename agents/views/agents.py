"""Views of agents, their plugin settings, and what the system offers them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from agent_config import system
from agents import services
from agents.access import get_agent
from agents.config_warnings import find_warnings
from agents.listing import NEWEST_FIRST, AgentList, get_listed_agent
from agents.models import Agent
from agents.serializers.agents import (
    AgentCreateRequest,
    AgentDeletionResponse,
    AgentListItemResponse,
    AgentListQuerySerializer,
    AgentResponse,
    AgentUpdateRequest,
    ModelsResponse,
    PluginListQuerySerializer,
    PluginQuerySerializer,
    PluginRequest,
    PluginResponse,
)
from agents.services import plugins
from agents.services.config_writes import WriteOptions
from agents.views.tenants import get_chosen_tenant
from core.actor import TokenScope
from core.http.operations import FromView, ListOf, operation
from core.http.preferences import warnings_header
from core.http.views import BaseView, V1View
from tenants.models import Tenant
from tenants.roles import Access


class BaseAgentListView(BaseView):
    """The creation of agents, which are marked active for `active_for`."""

    create_request_class: ClassVar[type[AgentCreateRequest]]
    response_class: ClassVar[type[Serializer[Any]]]
    active_for: ClassVar[timedelta | None] = None

    @operation(
        "Create an agent",
        tag="agents",
        token=TokenScope.WRITE,
        request=FromView("create_request_class"),
        response=FromView("response_class"),
        errors=(404, 409),
        revised=True,
        strict=True,
    )
    def post(self, request: Request) -> Response:
        body = self.validated_data(self.create_request_class)
        tenant = get_chosen_tenant(self.actor, body.pop("tenant_id", None), Access.WRITE_AGENTS)
        agent = services.create_agent(
            actor=self.actor, tenant=tenant, active_for=self.active_for, strict=self.is_strict, **body
        )
        return self.respond_revised(
            self.response_class(agent).data,
            message=_("Agent created"),
            tenant_id=tenant.id,
            headers=warnings_header(agent.config_warnings),
        )


class BaseAgentDetailView(BaseView):
    response_class: ClassVar[type[Serializer[Any]]]

    @operation(
        "Read an agent",
        tag="agents",
        token=TokenScope.READ,
        response=FromView("response_class"),
        errors=(404,),
        conditional=True,
    )
    def get(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Access.READ)
        return self.respond_conditionally(
            agent, self.response_class, message=_("Agent found"), tenant_id=agent.tenant_id
        )

    @operation(
        "Change an agent: only the keys sent",
        tag="agents",
        token=TokenScope.WRITE,
        request=AgentUpdateRequest,
        response=FromView("response_class"),
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
        return self.respond_revised(
            self.response_class(agent).data,
            message=_("Agent changed"),
            tenant_id=agent.tenant_id,
            headers=warnings_header(agent.config_warnings),
        )

    @operation(
        "Delete an agent with its keys",
        tag="agents",
        token=TokenScope.WRITE,
        response=AgentDeletionResponse,
        errors=(404, 409, 412),
        deletion=True,
    )
    def delete(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Access.WRITE_AGENTS)
        services.delete_agent(actor=self.actor, agent=agent, expected=self.if_match)
        return self.respond_deleted({"id": agent_id}, message=_("Agent deleted"), tenant_id=agent.tenant_id)


class BasePluginSettingsView(V1View):
    """Plugin settings, in v1's shape on both surfaces."""

    response_class: ClassVar[type[PluginResponse]]

    def list_plugins(self, tenant: Tenant, agent: Agent | None, query: Mapping[str, Any]) -> Response:
        """Respond with the settings that apply to an agent (None: to the tenant): all, or those after a cursor."""
        rows = plugins.PluginList(tenant=tenant, agent=agent)
        if "after" not in query:
            return Response(self.response_class(rows[:], many=True).data)
        page = self.paginate(rows, self.response_class, limit=query["limit"], after=query["after"], key="public_id")
        return Response(page.data, headers=page.headers)

    def set_plugin(self, tenant: Tenant, agent: Agent | None) -> Response:
        """Set the plugin that the body names."""
        body = {"config": {}, **self.validated_data(PluginRequest)}
        row = plugins.set_plugin(actor=self.actor, tenant=tenant, agent=agent, expected=self.if_match, **body)
        return self.respond_revised(self.response_class(row).data, message=_("Plugin set"))


class BaseSystemModelsView(BaseView):
    @operation(
        "The system's model providers and models",
        tag="system",
        token=TokenScope.READ,
        response=ModelsResponse,
        offline=True,
    )
    def get(self, request: Request) -> Response:
        return self.respond(system.models(), message=_("System models listed"))


class BaseBotDefaultsView(BaseView):
    @operation(
        "The bots' default sections",
        tag="system",
        token=TokenScope.READ,
        response=serializers.DictField(),
        offline=True,
    )
    def get(self, request: Request) -> Response:
        return self.respond(system.bot_defaults(), message=_("Bot defaults listed"))


class AgentListView(BaseAgentListView, V1View):
    create_request_class = AgentCreateRequest
    response_class = AgentResponse

    @operation(
        "List the agents of all one's tenants",
        tag="agents",
        token=TokenScope.READ,
        query=AgentListQuerySerializer,
        response=ListOf(AgentListItemResponse),
    )
    def get(self, request: Request) -> Response:
        filters, part = self.validated_list_query(AgentListQuerySerializer)
        rows = AgentList(self.actor, sort=filters.pop("sort", NEWEST_FIRST), filters=filters)
        return self.respond_list(rows, AgentListItemResponse, part, message=_("Agents listed"))


class AgentDetailView(BaseAgentDetailView, V1View):
    response_class = AgentResponse
    patch = BaseAgentDetailView.put

    def get(self, request: Request, agent_id: str) -> Response:
        agent = get_listed_agent(self.actor, agent_id)
        return self.respond_conditionally(agent, AgentResponse, message=_("Agent found"))


class PluginSettingsView(BasePluginSettingsView):
    response_class = PluginResponse

    @operation(
        "Read plugin settings, an agent's merged over its tenant's",
        tag="plugins",
        token=TokenScope.READ,
        query=PluginListQuerySerializer,
        response=PluginResponse(many=True),
        errors=(404,),
    )
    def get(self, request: Request) -> Response:
        query = self.validated_query(PluginListQuerySerializer)
        return self.list_plugins(*self._get_scope(query, Access.READ, Access.READ), query)

    @operation(
        "Set a plugin for an agent, or for a tenant",
        tag="plugins",
        token=TokenScope.WRITE,
        query=PluginQuerySerializer,
        request=PluginRequest,
        response=PluginResponse,
        errors=(404, 409, 412),
        revised=True,
    )
    def post(self, request: Request) -> Response:
        query = self.validated_query(PluginQuerySerializer)
        return self.set_plugin(*self._get_scope(query, Access.WRITE_AGENTS, Access.MANAGE_TENANT))

    def _get_scope(self, query: Mapping[str, Any], on_agent: Access, on_tenant: Access) -> tuple[Tenant, Agent | None]:
        if "agent_id" in query:
            agent = get_agent(self.actor, query["agent_id"], on_agent)
            return agent.tenant, agent
        return get_chosen_tenant(self.actor, query.get("tenant_id"), on_tenant), None


class SystemModelsView(BaseSystemModelsView, V1View):
    pass


class BotDefaultsView(BaseBotDefaultsView, V1View):
    pass
