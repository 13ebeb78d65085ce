"""The one gate to agents. A stranger's agent and a missing one are the same AgentNotFound."""

from __future__ import annotations

from django.db.models import QuerySet

from agents.errors import AgentNotFound
from agents.models import Agent
from core.actor import Actor
from tenants.access import Access, get_tenant, tenant_ids_for
from tenants.errors import TenantNotFound
from tenants.models import Tenant


def agents_for(actor: Actor) -> QuerySet[Agent]:
    """The agents the actor may see, newest first."""
    rows = Agent.unscoped.all() if actor.is_trusted else Agent.objects.in_tenants(tenant_ids_for(actor))
    return rows.order_by("-created_at", "-id")


def get_agent(actor: Actor, agent_id: str, access: Access) -> Agent:
    """The agent, with its tenant, if the actor has `access` in its tenant.

    Raises AgentNotFound, Forbidden, TenantReadOnly.
    """
    rows = Agent.unscoped.select_related("tenant") if actor.is_trusted else Agent.unscoped.all()
    agent = rows.filter(pk=agent_id).first()
    if agent is None:
        raise AgentNotFound
    if not actor.is_trusted:
        agent.tenant = _tenant_of_agent(actor, agent.tenant_id, access)
    return agent


def check_agent(actor: Actor, tenant_id: str, access: Access) -> None:
    """Raises as `get_agent` for an agent of this tenant, of which its caller needs no more; without a query for
    whom every tenant is open to."""
    if not actor.is_trusted:
        _tenant_of_agent(actor, tenant_id, access)


def _tenant_of_agent(actor: Actor, tenant_id: str, access: Access) -> Tenant:
    try:
        return get_tenant(actor, tenant_id, access)
    except TenantNotFound as error:
        raise AgentNotFound from error
