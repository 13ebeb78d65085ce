"""Agents, their config, and their plugin settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from agents import models, services
from agents.access import agents_for, get_agent
from agents.config_warnings import find_warnings
from agents.errors import AgentNotFound
from agents.serializers.agents import (
    AgentUpdateRequest,
    InternalAgentResponse,
    InternalPluginListQuerySerializer,
    InternalPluginQuerySerializer,
    InternalPluginResponse,
    ListedInternalAgentResponse,
    PluginRequest,
    TenantAgentCreateRequest,
)
from agents.services.config_writes import WriteOptions
from agents.views.agents import PluginSettingsView
from core.http.openapi import operation
from core.http.pagination import page
from core.http.preferences import warnings_header
from core.http.views import InternalAccessMixin, InternalV2View
from internal_api.serializers import AgentPage, AgentPageQuerySerializer, DeletedAgent
from tenants.access import Access, get_tenant
from tenants.models import Tenant


class Agents(InternalV2View):
    @operation(
        "List a tenant's agents", tag="agents", query=AgentPageQuerySerializer, response=AgentPage, errors=(404,)
    )
    def get(self, request: Request) -> Response:
        query = self.validated_query(AgentPageQuerySerializer)
        tenant = get_tenant(self.actor, query["tenant_id"], Access.READ)
        rows = agents_for(self.actor).filter(tenant=tenant)
        if "status" in query:
            rows = rows.filter(status=query["status"])
        found = page(
            rows, ListedInternalAgentResponse, page=query["page"], size=query["size"], after=query.get("after")
        )
        return self.respond(found, message=_("Agents listed"), tenant_id=tenant.id)

    @operation(
        "Create an agent, active for 12 hours",
        tag="agents",
        request=TenantAgentCreateRequest,
        response=InternalAgentResponse,
        errors=(404, 409),
        revised=True,
        strict=True,
    )
    def post(self, request: Request) -> Response:
        body = self.validated_data(TenantAgentCreateRequest)
        tenant = get_tenant(self.actor, body.pop("tenant_id"), Access.WRITE_AGENTS)
        agent = services.create_agent(
            actor=self.actor,
            tenant=tenant,
            active_for=services.NEW_AGENT_ACTIVE_FOR,
            strict=self.is_strict,
            **body,
        )
        return self.respond_revised(
            InternalAgentResponse(agent).data,
            message=_("Agent created"),
            tenant_id=tenant.id,
            headers=warnings_header(agent.config_warnings),
        )


class Agent(InternalV2View):
    @operation("Read an agent", tag="agents", response=InternalAgentResponse, errors=(404,), conditional=True)
    def get(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Access.READ)
        return self.respond_conditionally(
            agent, InternalAgentResponse, message=_("Agent found"), tenant_id=agent.tenant_id
        )

    @operation(
        "Change an agent: only the keys sent",
        tag="agents",
        request=AgentUpdateRequest,
        response=InternalAgentResponse,
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
            InternalAgentResponse(agent).data,
            message=_("Agent changed"),
            tenant_id=agent.tenant_id,
            headers=warnings_header(agent.config_warnings),
        )

    @operation("Delete an agent with its keys", tag="agents", response=DeletedAgent, errors=(404, 412))
    def delete(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Access.WRITE_AGENTS)
        services.delete_agent(actor=self.actor, agent=agent, expected=self.if_match)
        return self.respond({"id": agent_id}, message=_("Agent deleted"), tenant_id=agent.tenant_id)


class PluginSettings(InternalAccessMixin, PluginSettingsView):
    """Plugin settings with their secrets, which bots need and no cache keeps."""

    shape = InternalPluginResponse

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
            agent = self._agent_of(tenant, query, Access.READ)
        except AgentNotFound:
            agent = None  # the old service did not look agents up
        return self.part(tenant, agent, query)

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
        tenant = get_tenant(self.actor, query["tenant_id"], Access.MANAGE)
        return self.set_plugin(tenant, self._agent_of(tenant, query, Access.MANAGE))

    def _agent_of(self, tenant: Tenant, query: Mapping[str, Any], access: Access) -> models.Agent | None:
        """Return the agent that the query names, if any; raise AgentNotFound also for another tenant's."""
        if "agent_id" not in query:
            return None
        agent = get_agent(self.actor, query["agent_id"], access)
        if agent.tenant_id != tenant.id:
            raise AgentNotFound
        return agent
