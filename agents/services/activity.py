"""The heartbeats of agents, which have no audit rows because they are measurements."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import IntegrityError
from django.db.models import QuerySet
from django.utils import timezone

from agents.errors import NoActivityFor, NotActive
from agents.models import Agent, AgentActivity, AgentStatus
from core import primary
from core.db import upsert_at_once
from core.errors import DomainError
from core.prepared import prepared_sql
from tenants.models import TenantStatus


class Heartbeat(NamedTuple):
    """The report that an agent is alive for so many seconds from now."""

    tenant_id: str
    agent_id: str
    ttl_seconds: int


def record_activity(heartbeat: Heartbeat) -> AgentActivity:
    """Record a heartbeat. Raise NoActivityFor and NotActive."""
    try:
        (outcome,) = record_activities([heartbeat])
    except IntegrityError as error:  # deleted since it was read, which is cheaper than a lock at every heartbeat
        raise NoActivityFor from error
    if isinstance(outcome, DomainError):
        raise outcome
    return outcome


def record_activities(heartbeats: Sequence[Heartbeat]) -> list[AgentActivity | DomainError]:
    """Record several heartbeats. Return for each its activity, or the error that `record_activity` would raise.

    The last heartbeat of an agent counts. Raise IntegrityError, having recorded none, if an agent was deleted
    since it was read. Raise OperationalError where the server takes no writes.
    """
    agents = _agents(heartbeats)
    now = timezone.now()
    outcomes = [_outcome(each, agents.get(each.agent_id), now) for each in heartbeats]
    latest = {each.agent_id: each for each in outcomes if isinstance(each, AgentActivity)}
    mark_active([latest[agent_id] for agent_id in sorted(latest)])
    return outcomes


def mark_active(activities: Sequence[AgentActivity]) -> None:
    """Store activities in place of their agents' former ones.

    Several have to be in the order of their agents, so that writers do not deadlock.
    """
    fields = ["tenant", "last_seen_at", "ttl_seconds", "expires_at"]
    upsert_at_once(activities, unique_fields=["agent"], update_fields=fields)


def new_activity(tenant_id: str, agent_id: str, ttl_seconds: int, now: datetime) -> AgentActivity:
    """Return the activity, not stored yet, of an agent that is alive for so many seconds from now."""
    return AgentActivity(
        agent_id=agent_id,
        tenant_id=tenant_id,
        last_seen_at=now,
        ttl_seconds=ttl_seconds,
        expires_at=now + timedelta(seconds=ttl_seconds),
    )


def active_agents(tenant_id: str | None = None) -> QuerySet[AgentActivity]:
    """Return the heartbeats that have not expired, latest first, of one tenant or of all."""
    rows = AgentActivity.unscoped if tenant_id is None else AgentActivity.objects.in_tenants([tenant_id])
    return rows.filter(expires_at__gt=timezone.now()).order_by("-last_seen_at", "agent_id")


def sweep_activity() -> int:
    """Delete expired heartbeats, and return how many there were."""
    return AgentActivity.unscoped.filter(expires_at__lte=timezone.now()).delete()[0]


class _AgentState(NamedTuple):
    tenant_id: str
    is_active: bool


def _agents(heartbeats: Sequence[Heartbeat]) -> dict[str, _AgentState]:
    """Return the state of each agent that exists, by its id."""
    ids = list({each.agent_id for each in heartbeats})
    rows = primary.fetch_all(_select_agents(len(ids)), ids)
    return {
        agent_id: _AgentState(tenant_id, (status, tenant_status) == (AgentStatus.ACTIVE, TenantStatus.ACTIVE))
        for agent_id, tenant_id, status, tenant_status in rows
    }


@prepared_sql
def _select_agents(number: int) -> QuerySet[Agent, Any]:
    agents = Agent.unscoped.filter(pk__in=[str(each) for each in range(number)])
    return agents.values_list("id", "tenant_id", "status", "tenant__status")


def _outcome(heartbeat: Heartbeat, agent: _AgentState | None, now: datetime) -> AgentActivity | DomainError:
    if agent is None or agent.tenant_id != heartbeat.tenant_id:
        return NoActivityFor()
    return new_activity(*heartbeat, now=now) if agent.is_active else NotActive()
