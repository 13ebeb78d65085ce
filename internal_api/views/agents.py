"""Agents, their config, and their plugin settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from agents import models, services
from agents.access import agents_for, get_agent
from agents.errors import AgentNotFound
from agents.serializers.agents import (
    AgentChanges,
    InternalAgentAnswer,
    InternalPluginAnswer,
    InternalPluginListQuery,
    InternalPluginQuery,
    ListedInternalAgentAnswer,
    PluginBody,
    TenantAgentBody,
)
from agents.services.config_versions import ConfigWrite
from agents.views.agents import PluginSettingsView
from core.http.openapi import operation
from core.http.pagination import page
from core.http.preferences import warnings_header
from core.http.views import InternalDoor, InternalView
from internal_api.serializers import AgentPage, AgentPageQuery, DeletedAgent
from tenants.access import Need, get_tenant
from tenants.models import Tenant


class Agents(InternalView):
    @operation("List a tenant's agents", tag="agents", query=AgentPageQuery, answer=AgentPage, refusals=(404,))
    def get(self, request: Request) -> Response:
        query = self.query(AgentPageQuery)
        tenant = get_tenant(self.actor, query["tenant_id"], Need.READ)
        rows = agents_for(self.actor).filter(tenant=tenant)
        if "status" in query:
            rows = rows.filter(status=query["status"])
        found = page(rows, ListedInternalAgentAnswer, page=query["page"], size=query["size"], after=query.get("after"))
        return self.reply(found, message=_("Agents listed"), tenant_id=tenant.id)

    @operation(
        "Create an agent, active for 12 hours",
        tag="agents",
        request=TenantAgentBody,
        answer=InternalAgentAnswer,
        refusals=(404, 409),
        revised=True,
        strict=True,
    )
    def post(self, request: Request) -> Response:
        body = self.body(TenantAgentBody)
        tenant = get_tenant(self.actor, body.pop("tenant_id"), Need.WRITE_AGENTS)
        agent = services.create_agent(
            actor=self.actor,
            tenant=tenant,
            active_for=services.NEW_AGENT_ACTIVE_FOR,
            strict=self.is_strict,
            **body,
        )
        return self.reply_revised(
            InternalAgentAnswer(agent).data,
            message=_("Agent created"),
            tenant_id=tenant.id,
            headers=warnings_header(agent.config_warnings),
        )


class Agent(InternalView):
    @operation("Read an agent", tag="agents", answer=InternalAgentAnswer, refusals=(404,), conditional=True)
    def get(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Need.READ)
        return self.reply_unless_known(agent, InternalAgentAnswer, message=_("Agent found"), tenant_id=agent.tenant_id)

    @operation(
        "Change an agent: only the keys sent",
        tag="agents",
        request=AgentChanges,
        answer=InternalAgentAnswer,
        refusals=(404, 409, 412),
        revised=True,
        strict=True,
    )
    def put(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Need.WRITE_AGENTS)
        write = ConfigWrite(expected=self.if_match, strict=self.is_strict)
        agent = services.update_agent(
            actor=self.actor, agent=agent, changes=self.body(AgentChanges), config_write=write
        )
        return self.reply_revised(
            InternalAgentAnswer(agent).data,
            message=_("Agent changed"),
            tenant_id=agent.tenant_id,
            headers=warnings_header(agent.config_warnings),
        )

    @operation("Delete an agent with its keys", tag="agents", answer=DeletedAgent, refusals=(404, 412))
    def delete(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Need.WRITE_AGENTS)
        services.delete_agent(actor=self.actor, agent=agent, expected=self.if_match)
        return self.reply({"id": agent_id}, message=_("Agent deleted"), tenant_id=agent.tenant_id)


class PluginSettings(InternalDoor, PluginSettingsView):
    """Plugin settings with their secrets, which bots need and no cache keeps."""

    shape = InternalPluginAnswer

    def finalize_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(*args, **kwargs)
        response["Cache-Control"] = "no-store"
        return response

    @operation(
        "Read plugin settings, an agent's merged over its tenant's; of an unknown agent, the tenant's",
        tag="plugins",
        query=InternalPluginListQuery,
        answer=InternalPluginAnswer(many=True),
        refusals=(404,),
    )
    def get(self, request: Request) -> Response:
        query = self.query(InternalPluginListQuery)
        tenant = get_tenant(self.actor, query["tenant_id"], Need.READ)
        try:
            agent = self._agent_of(tenant, query, Need.READ)
        except AgentNotFound:
            agent = None  # the old service did not look agents up
        return self.part(tenant, agent, query)

    @operation(
        "Set a plugin for an agent, or for a tenant",
        tag="plugins",
        query=InternalPluginQuery,
        request=PluginBody,
        answer=InternalPluginAnswer,
        refusals=(404, 412),
        revised=True,
    )
    def post(self, request: Request) -> Response:
        query = self.query(InternalPluginQuery)
        tenant = get_tenant(self.actor, query["tenant_id"], Need.MANAGE)
        return self.set_plugin(tenant, self._agent_of(tenant, query, Need.MANAGE))

    def _agent_of(self, tenant: Tenant, query: Mapping[str, Any], need: Need) -> models.Agent | None:
        """Return the agent that the query names, if any; raise AgentNotFound also for another tenant's."""
        if "agent_id" not in query:
            return None
        agent = get_agent(self.actor, query["agent_id"], need)
        if agent.tenant_id != tenant.id:
            raise AgentNotFound
        return agent
