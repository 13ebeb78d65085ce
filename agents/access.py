"""Access to agents. An agent in another person's tenant and a missing one both raise AgentNotFound."""

from __future__ import annotations

from django.db.models import QuerySet

from agents.errors import AgentNotFound
from agents.models import Agent
from core.actor import Actor
from core.db import from_primary
from core.errors import DomainError
from core.prepared import prepared_query
from tenants.access import get_tenant, tenant_ids_for
from tenants.errors import TenantNotFound
from tenants.models import Tenant
from tenants.roles import Access


def agents_for(actor: Actor) -> QuerySet[Agent]:
    """Return the agents that the actor may read, newest first."""
    rows = Agent.unscoped.all() if actor.is_trusted else Agent.objects.in_tenants(tenant_ids_for(actor))
    return rows.order_by("-created_at", "-id")


def get_agent(actor: Actor, agent_id: str, access: Access) -> Agent:
    """Return the agent with its tenant, if the actor has this access to the tenant.

    Raise AgentNotFound, Forbidden, and TenantReadOnly.
    """
    found = _select_with_tenant(agent_id) if actor.is_trusted else _select(agent_id)
    if not found:
        raise AgentNotFound
    agent = found[0]
    if not actor.is_trusted:
        agent.tenant = _tenant_of_agent(actor, agent.tenant_id, access)
    return agent


@from_primary
@prepared_query
def _select(agent_id: str) -> QuerySet[Agent]:
    return Agent.unscoped.filter(pk=agent_id)


@from_primary
@prepared_query
def _select_with_tenant(agent_id: str) -> QuerySet[Agent]:
    return Agent.unscoped.select_related("tenant").filter(pk=agent_id)


def get_agent_in(actor: Actor, tenant_id: str, agent_id: str, access: Access) -> Agent:
    """Return the agent like `get_agent`, if it is in this tenant. Read the tenant only to explain why it is not.

    Raise what `get_tenant` would for the tenant, else AgentNotFound, Forbidden, and TenantReadOnly.
    """
    try:
        agent = get_agent(actor, agent_id, access)
        if agent.tenant_id != tenant_id:
            raise AgentNotFound
    except DomainError:
        get_tenant(actor, tenant_id, access)
        raise
    return agent


def check_agent(actor: Actor, tenant_id: str, access: Access) -> None:
    """Raise what `get_agent` would for an agent of this tenant, without loading it.

    Cost no query for trusted actors.
    """
    if not actor.is_trusted:
        _tenant_of_agent(actor, tenant_id, access)


def _tenant_of_agent(actor: Actor, tenant_id: str, access: Access) -> Tenant:
    try:
        return get_tenant(actor, tenant_id, access)
    except TenantNotFound as error:
        raise AgentNotFound from error
