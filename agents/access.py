"""The one gate to agents. A stranger's agent and a missing one are the same AgentNotFound."""

from __future__ import annotations

from django.db.models import QuerySet

from agents.errors import AgentNotFound
from agents.models import Agent
from maim.common.actor import Actor
from tenants.access import Need, get_tenant, tenants_for
from tenants.errors import TenantNotFound


def agents_for(actor: Actor) -> QuerySet[Agent]:
    """The agents the actor may see, newest first."""
    rows = Agent.unscoped.all() if actor.is_trusted else Agent.objects.in_tenants(tenants_for(actor))
    return rows.order_by("-created_at", "-id")


def get_agent(actor: Actor, agent_id: str, need: Need) -> Agent:
    """The agent, with its tenant, if the actor may do `need` in its tenant.

    Raises AgentNotFound, Forbidden, TenantReadOnly.
    """
    agent = Agent.unscoped.filter(pk=agent_id).first()
    if agent is None:
        raise AgentNotFound
    try:
        agent.tenant = get_tenant(actor, agent.tenant_id, need)
    except TenantNotFound as error:
        raise AgentNotFound from error
    return agent
