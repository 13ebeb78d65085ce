"""Agents, their config, and their plugin settings."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from agents import models, plugins, services
from agents.access import agents_for, get_agent
from agents.config.masking import masked
from agents.errors import AgentNotFound
from agents.serializers import (
    AgentChanges,
    InternalAgentAnswer,
    InternalPluginQuery,
    MaskedConfigField,
    PluginAnswer,
    PluginBody,
    TenantAgentBody,
)
from internal_api.serializers import AgentPage, AgentPageQuery, DeletedAgent
from maim.http import strict_json
from maim.http.openapi import operation
from maim.http.pages import page
from maim.http.views import InternalPlainView, InternalView
from tenants.access import Need, get_tenant
from tenants.models import Tenant

_OPEN_OBJECT = {"application/json": {"type": "object", "additionalProperties": True}}


class Agents(InternalView):
    @operation("List a tenant's agents", tag="agents", query=AgentPageQuery, answer=AgentPage, refusals=(404,))
    def get(self, request: Request) -> Response:
        query = self.query(AgentPageQuery)
        tenant = get_tenant(self.actor, query["tenant_id"], Need.READ)
        rows = agents_for(self.actor).filter(tenant=tenant)
        if "status" in query:
            rows = rows.filter(status=query["status"])
        found = page(rows, InternalAgentAnswer, page=query["page"], size=query["size"])
        return self.answer(found, message=_("Agents listed"), tenant_id=tenant.id)

    @operation(
        "Create an agent, active for 12 hours",
        tag="agents",
        request=TenantAgentBody,
        answer=InternalAgentAnswer,
        refusals=(404, 409),
    )
    def post(self, request: Request) -> Response:
        body = self.body(TenantAgentBody)
        tenant = get_tenant(self.actor, body.pop("tenant_id"), Need.WRITE_AGENTS)
        agent = services.create_agent(actor=self.actor, tenant=tenant, active_for=services.NEW_AGENT_ACTIVE_FOR, **body)
        return self.answer(InternalAgentAnswer(agent).data, message=_("Agent created"), tenant_id=tenant.id)


class Agent(InternalView):
    @operation("Read an agent", tag="agents", answer=InternalAgentAnswer, refusals=(404,))
    def get(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Need.READ)
        return self.answer(InternalAgentAnswer(agent).data, message=_("Agent found"), tenant_id=agent.tenant_id)

    @operation(
        "Change an agent: only the keys sent",
        tag="agents",
        request=AgentChanges,
        answer=InternalAgentAnswer,
        refusals=(404, 409),
    )
    def put(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Need.WRITE_AGENTS)
        agent = services.update_agent(actor=self.actor, agent=agent, changes=self.body(AgentChanges))
        return self.answer(InternalAgentAnswer(agent).data, message=_("Agent changed"), tenant_id=agent.tenant_id)

    @operation("Delete an agent with its keys", tag="agents", answer=DeletedAgent, refusals=(404,))
    def delete(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Need.WRITE_AGENTS)
        services.delete_agent(actor=self.actor, agent=agent)
        return self.answer({"id": agent_id}, message=_("Agent deleted"), tenant_id=agent.tenant_id)


class AgentConfig(InternalView):
    @operation(
        "Read an agent's config as it was set, secrets masked",
        tag="agents",
        answer=MaskedConfigField(),
        refusals=(404,),
    )
    def get(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Need.READ)
        return self.answer(masked(agent.config), message=_("Agent config found"), tenant_id=agent.tenant_id)

    @operation(
        "Merge into an agent's config", tag="agents", request=_OPEN_OBJECT, answer=MaskedConfigField(), refusals=(404,)
    )
    def put(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Need.WRITE_AGENTS)
        agent = services.update_agent(actor=self.actor, agent=agent, changes={"config": self._sent_config()})
        return self.answer(masked(agent.config), message=_("Agent config changed"), tenant_id=agent.tenant_id)

    def _sent_config(self) -> dict[str, Any]:
        """The body, which is the config itself."""
        sent = self.sent
        if not isinstance(sent, dict):
            raise ParseError(_("The body must be a JSON object"))
        try:
            strict_json.check(sent)
        except strict_json.NotAcceptable as error:
            raise ParseError(str(error)) from error
        return sent


class PluginSettings(InternalPlainView):
    @operation(
        "Read plugin settings, an agent's merged over its tenant's",
        tag="plugins",
        query=InternalPluginQuery,
        answer=PluginAnswer(many=True),
        refusals=(404,),
    )
    def get(self, request: Request) -> Response:
        tenant, agent = self._scope(Need.READ)
        return Response(PluginAnswer(plugins.merged_plugins(tenant=tenant, agent=agent), many=True).data)

    @operation(
        "Set a plugin for an agent, or for a tenant",
        tag="plugins",
        query=InternalPluginQuery,
        request=PluginBody,
        answer=PluginAnswer,
        refusals=(404,),
    )
    def post(self, request: Request) -> Response:
        tenant, agent = self._scope(Need.MANAGE)
        body = {"config": {}, **self.body(PluginBody)}
        return Response(PluginAnswer(plugins.set_plugin(actor=self.actor, tenant=tenant, agent=agent, **body)).data)

    def _scope(self, need: Need) -> tuple[Tenant, models.Agent | None]:
        query = self.query(InternalPluginQuery)
        tenant = get_tenant(self.actor, query["tenant_id"], need)
        if "agent_id" not in query:
            return tenant, None
        agent = get_agent(self.actor, query["agent_id"], need)
        if agent.tenant_id != tenant.id:
            raise AgentNotFound
        return tenant, agent
