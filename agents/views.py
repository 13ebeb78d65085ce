"""v1: a person's agents, their plugin settings, and what the system offers."""

from __future__ import annotations

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from agents import plugins, services
from agents.access import get_agent
from agents.config import system
from agents.config_versions import ConfigWrite
from agents.listing import AgentList
from agents.models import Agent
from agents.serializers import (
    AgentAnswer,
    AgentBody,
    AgentChanges,
    AgentListQuery,
    ModelsAnswer,
    PluginAnswer,
    PluginBody,
    PluginQuery,
)
from maim.http import conditional
from maim.http.openapi import operation
from maim.http.pages import bare_list
from maim.http.views import PlainView
from tenants.access import Need, default_tenant, get_tenant
from tenants.models import Tenant


class Agents(PlainView):
    @operation(
        "List the agents of all one's tenants",
        tag="agents",
        query=AgentListQuery,
        answer=AgentAnswer(many=True),
        total_count=True,
    )
    def get(self, request: Request) -> Response:
        query = self.query(AgentListQuery)
        skip, limit, sort = query.pop("skip"), query.pop("limit"), query.pop("sort")
        return bare_list(AgentList(self.actor, sort=sort, filters=query), AgentAnswer, skip=skip, limit=limit)

    @operation("Create an agent", tag="agents", request=AgentBody, answer=AgentAnswer, refusals=(404, 409))
    def post(self, request: Request) -> Response:
        body = self.body(AgentBody)
        named = body.pop("tenant_id", None)
        tenant = (
            get_tenant(self.actor, named, Need.WRITE_AGENTS)
            if named is not None
            else default_tenant(self.actor, Need.WRITE_AGENTS)
        )
        return Response(AgentAnswer(services.create_agent(actor=self.actor, tenant=tenant, **body)).data)


class AgentResource(PlainView):
    @operation("Read an agent", tag="agents", answer=AgentAnswer, refusals=(404,))
    def get(self, request: Request, agent_id: str) -> Response:
        return Response(AgentAnswer(get_agent(self.actor, agent_id, Need.READ)).data)

    @operation(
        "Change an agent: only the keys sent",
        tag="agents",
        request=AgentChanges,
        answer=AgentAnswer,
        refusals=(404, 409, 412),
    )
    def put(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Need.WRITE_AGENTS)
        write = ConfigWrite(expected=conditional.expected_versions(request._request))
        agent = services.update_agent(
            actor=self.actor, agent=agent, changes=self.body(AgentChanges), config_write=write
        )
        return Response(AgentAnswer(agent).data)

    patch = put

    @operation("Delete an agent with its keys", tag="agents", answer=None, status=204, refusals=(404, 409))
    def delete(self, request: Request, agent_id: str) -> Response:
        services.delete_agent(actor=self.actor, agent=get_agent(self.actor, agent_id, Need.WRITE_AGENTS))
        return Response(status=204)


class PluginSettings(PlainView):
    @operation(
        "Read plugin settings, an agent's merged over its tenant's",
        tag="plugins",
        query=PluginQuery,
        answer=PluginAnswer(many=True),
        refusals=(404,),
    )
    def get(self, request: Request) -> Response:
        tenant, agent = self._scope(Need.READ, Need.READ)
        return Response(PluginAnswer(plugins.merged_plugins(tenant=tenant, agent=agent), many=True).data)

    @operation(
        "Set a plugin for an agent, or for a tenant",
        tag="plugins",
        query=PluginQuery,
        request=PluginBody,
        answer=PluginAnswer,
        refusals=(404, 409),
    )
    def post(self, request: Request) -> Response:
        tenant, agent = self._scope(Need.WRITE_AGENTS, Need.MANAGE)
        body = {"config": {}, **self.body(PluginBody)}
        return Response(PluginAnswer(plugins.set_plugin(actor=self.actor, tenant=tenant, agent=agent, **body)).data)

    def _scope(self, on_agent: Need, on_tenant: Need) -> tuple[Tenant, Agent | None]:
        query = self.query(PluginQuery)
        if "agent_id" in query:
            agent = get_agent(self.actor, query["agent_id"], on_agent)
            return agent.tenant, agent
        if "tenant_id" in query:
            return get_tenant(self.actor, query["tenant_id"], on_tenant), None
        return default_tenant(self.actor, on_tenant), None


class SystemModels(PlainView):
    @operation("The system's model providers and models", tag="system", answer=ModelsAnswer)
    def get(self, request: Request) -> Response:
        return Response(system.models())


class BotDefaults(PlainView):
    @operation("The bots' default sections", tag="system", answer=serializers.DictField())
    def get(self, request: Request) -> Response:
        return Response(system.bot_defaults())
