"""The rules about agents, their config, and whether they are alive."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db import IntegrityError
from django.utils.translation import gettext_lazy as _

from agents.config import masking, merging, rules
from agents.config.document import Config
from agents.errors import AgentNameTaken, AgentNotFound, NoActivityFor, NotActive
from agents.models import Agent, AgentActivity, AgentStatus
from maim.common import audit, clock, epoch
from maim.common.actor import Actor
from maim.common.db import transactional, unique_or, upsert
from maim.common.errors import Invalid
from tenants.models import Tenant, TenantStatus
from tenants.services import lock_tenant

_NAME_TAKEN = {"agent_name_unique": AgentNameTaken(), "name_folded": AgentNameTaken()}
_TOLD_BY_VERDICTS = {"name", "status", "rate_limit", "quota"}
NEW_AGENT_ACTIVE_FOR = timedelta(hours=12)


def snapshot(agent: Agent) -> dict[str, Any]:
    """What the audit log keeps of an agent."""
    return {
        "name": agent.name,
        "description": agent.description,
        "template_id": agent.template_id,
        "config": masking.masked(agent.config),
        "status": agent.status,
        "tags": agent.tags,
        "rate_limit": agent.rate_limit,
        "quota": agent.quota,
    }


@transactional
def create_agent(
    *,
    actor: Actor,
    tenant: Tenant,
    name: str,
    description: str | None = None,
    template_id: str | None = None,
    config: Config | None = None,
    tags: list[str] | None = None,
    rate_limit: dict[str, Any] | None = None,
    quota: dict[str, Any] | None = None,
    active_for: timedelta | None = None,
) -> Agent:
    """A new agent, marked active for `active_for` if that is given.

    Raises AgentNameTaken, BadConfig, TenantNotFound.
    """
    lock_tenant(tenant.id)
    agent = Agent(
        tenant=tenant,
        description=description,
        template_id=template_id,
        config=_changed_config({}, config or {}),
        tags=tags or [],
        rate_limit=rate_limit,
        quota=quota,
    )
    _set_name(agent, name)
    with unique_or(_NAME_TAKEN):
        agent.save(force_insert=True)
    if active_for is not None:
        _mark_active(agent, int(active_for.total_seconds()))
    audit.record(actor=actor, action="agent.create", object_id=agent.id, tenant_id=tenant.id, after=snapshot(agent))
    return agent


@transactional
def update_agent(*, actor: Actor, agent: Agent, changes: Mapping[str, Any]) -> Agent:
    """Changes any of `name, description, template_id, status, tags, rate_limit, quota`; `config` is merged.

    Raises AgentNameTaken, BadConfig, AgentNotFound.
    """
    row = lock_agent(agent.pk)
    before = snapshot(row)
    stored = row.config
    if "name" in changes:
        _set_name(row, changes["name"])
    if "config" in changes:
        row.config = _changed_config(stored, changes["config"])
    fields = ["description", "template_id", "status", "tags", "rate_limit", "quota"]
    for field in fields:
        setattr(row, field, changes.get(field, getattr(row, field)))
    after = snapshot(row)
    if audit.differ([before, stored], [after, row.config]):
        row.updated_at = clock.now()
        with unique_or(_NAME_TAKEN):
            row.save(update_fields=["name", "name_folded", "config", *fields, "updated_at"])
        audit.record(
            actor=actor, action="agent.update", object_id=row.id, tenant_id=row.tenant_id, before=before, after=after
        )
    # Also where nothing changes: the same change may have been made a moment ago, and still be waiting.
    if not _TOLD_BY_VERDICTS.isdisjoint(changes):
        epoch.invalidate(row.id)
    return row


@transactional
def delete_agent(*, actor: Actor, agent: Agent) -> None:
    """Removes an agent with its keys, settings and heartbeat; raises AgentNotFound if it is gone."""
    row = lock_agent(agent.pk)
    before = snapshot(row)
    epoch.invalidate(row.id)
    row.delete()
    audit.record(actor=actor, action="agent.delete", object_id=agent.id, tenant_id=agent.tenant_id, before=before)


def record_activity(*, tenant_id: str, agent_id: str, ttl_seconds: int) -> AgentActivity:
    """Notes that an agent is alive, for `ttl_seconds` from now. A measurement: no audit row.

    Raises NoActivityFor, NotActive.
    """
    agent = Agent.objects.in_tenants([tenant_id]).select_related("tenant").filter(pk=agent_id).first()
    if agent is None:
        raise NoActivityFor
    if agent.status != AgentStatus.ACTIVE or agent.tenant.status != TenantStatus.ACTIVE:
        raise NotActive
    try:
        return _mark_active(agent, ttl_seconds)
    except IntegrityError as error:  # deleted since it was read, which is cheaper than a lock at every heartbeat
        raise NoActivityFor from error


def active_agents(tenant_id: str | None = None) -> list[AgentActivity]:
    """The heartbeats that still count, latest first; of one tenant, or of all."""
    rows = AgentActivity.unscoped if tenant_id is None else AgentActivity.objects.in_tenants([tenant_id])
    return list(rows.filter(expires_at__gt=clock.now()).order_by("-last_seen_at", "agent_id"))


def sweep_activity() -> int:
    """Deletes heartbeats that no longer count; how many there were."""
    return AgentActivity.unscoped.filter(expires_at__lte=clock.now()).delete()[0]


def _mark_active(agent: Agent, ttl_seconds: int) -> AgentActivity:
    now = clock.now()
    activity = AgentActivity(
        agent=agent,
        tenant_id=agent.tenant_id,
        last_seen_at=now,
        ttl_seconds=ttl_seconds,
        expires_at=now + timedelta(seconds=ttl_seconds),
    )
    upsert(activity, unique_fields=["agent"], update_fields=["tenant", "last_seen_at", "ttl_seconds", "expires_at"])
    return activity


def _changed_config(stored: Config, sent: Config) -> Config:
    result = merging.merge(stored, sent)
    rules.check_sent(sent)
    rules.check_size(result)
    return result


def lock_agent(agent_id: str) -> Agent:
    """The agent's row, locked until the transaction ends; raises AgentNotFound."""
    row = Agent.unscoped.select_for_update().filter(pk=agent_id).first()
    if row is None:
        raise AgentNotFound
    return row


def _set_name(agent: Agent, name: str) -> None:
    agent.set_name(name)
    if len(agent.name_folded) > 300:
        raise Invalid({"name": [_("The name is too long")]})
