"""The rules about agents, their config, and whether they are alive."""

from __future__ import annotations

from collections.abc import Container, Mapping
from datetime import timedelta
from typing import Any

from django.db import IntegrityError
from django.db.models import QuerySet
from django.utils import timezone

from agent_config.document import Config
from agent_config.secrets import masked
from agents.errors import AgentNameTaken, NoActivityFor, NotActive
from agents.models import Agent, AgentActivity, AgentStatus
from agents.services import config_versions
from agents.services.config_versions import ConfigWrite, lock_agent
from core import audit, change_feed, epoch
from core.actor import Actor
from core.db import transactional, transactional_and_propagated, translate_unique_violation, upsert
from core.models import FeedEntry
from tenants.models import Tenant, TenantStatus
from tenants.services import lock_tenant

_NAME_TAKEN = {"agent_name_unique": AgentNameTaken(), "name_folded": AgentNameTaken()}
_VERIFICATION_FIELDS = {"name", "status", "rate_limit", "quota"}
NEW_AGENT_ACTIVE_FOR = timedelta(hours=12)


def audit_state(agent: Agent) -> dict[str, Any]:
    """What the audit log keeps of an agent; what became of its config is in the versions of that."""
    return {
        "name": agent.name,
        "description": agent.description,
        "template_id": agent.template_id,
        "config_version": agent.config_version,
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
    strict: bool = False,
) -> Agent:
    """A new agent, marked active for `active_for` if that is given. Its config is version 1, also when it is empty.

    Raises AgentNameTaken, BadConfig, ForeignTemplate, Invalid for a bad name, TenantNotFound.
    """
    agent = Agent(
        tenant=lock_tenant(tenant.id),
        description=description,
        template_id=template_id,
        tags=tags or [],
        rate_limit=rate_limit,
        quota=quota,
    )
    agent.change_name(name)
    config_versions.check_template(agent, {})
    config_versions.change(agent, config or {}, ConfigWrite(strict=strict), actor=actor)
    add_agent(agent, actor=actor, action="agent.create")
    if active_for is not None:
        _mark_active(agent, int(active_for.total_seconds()))
    return agent


def add_agent(
    agent: Agent, *, actor: Actor, action: str, note: str | None = None, told: Mapping[str, Any] | None = None
) -> None:
    """Stores a new agent with version 1 of its config; the audit row has what else is `told`.

    Part of a transactional service, which has locked the tenant. Raises AgentNameTaken.
    """
    agent.config_version = 1
    with translate_unique_violation(_NAME_TAKEN):
        agent.save(force_insert=True)
    config_versions.add_version(agent, {}, actor=actor, note=note)
    after = {**audit_state(agent), "config": masked(agent.config), **(told or {})}
    audit.record(actor=actor, action=action, object_id=agent.id, tenant_id=agent.tenant_id, after=after)


@transactional_and_propagated
def update_agent(
    *, actor: Actor, agent: Agent, changes: Mapping[str, Any], config_write: ConfigWrite | None = None
) -> Agent:
    """Changes any of `name, description, template_id, status, tags, rate_limit, quota`, and `config`, which is merged
    unless `config_write` says otherwise.

    Raises AgentNameTaken, BadConfig, ForeignTemplate, Invalid for a bad name, PreconditionFailed, AgentNotFound.
    """
    write = config_write or ConfigWrite()
    row = lock_agent(agent.pk)
    config_versions.expect(row, write.expected)
    before, config_before = audit_state(row), row.config
    if "name" in changes:
        row.change_name(changes["name"])
    fields = ["description", "status", "tags", "rate_limit", "quota", "template_id"]
    for field in fields:
        setattr(row, field, changes.get(field, getattr(row, field)))
    has_new_config = "config" in changes and config_versions.change(row, changes["config"], write, actor=actor)
    if row.template_id != before["template_id"]:
        config_versions.check_template(row, config_before)
    after = audit_state(row)
    if audit.differ(before, after):
        row.updated_at = timezone.now()
        with translate_unique_violation(_NAME_TAKEN):
            row.save(update_fields=["name", "name_folded", "config", "config_version", *fields, "updated_at"])
        audit.record(
            actor=actor, action="agent.update", object_id=row.id, tenant_id=row.tenant_id, before=before, after=after
        )
    if has_new_config:
        config_versions.add_version(row, config_before, actor=actor, note=write.note)
    elif (row.template_id, row.status) != (before["template_id"], before["status"]):
        change_feed.publish(FeedEntry.Kind.AGENT, [row.id], tenant_id=row.tenant_id)
    # Also where nothing changes: the same change may have been made a moment ago, and still be waiting.
    if not _VERIFICATION_FIELDS.isdisjoint(changes):
        epoch.invalidate(row.id)
    return row


@transactional_and_propagated
def delete_agent(*, actor: Actor, agent: Agent, expected: Container[int] | None = None) -> None:
    """Removes an agent with its keys, settings and heartbeat; `expected` is as of `config_versions.expect`.

    Raises AgentNotFound if it is gone, PreconditionFailed.
    """
    row = lock_agent(agent.pk)
    config_versions.expect(row, expected)
    before = {**audit_state(row), "config": masked(row.config)}
    epoch.invalidate(row.id)
    change_feed.publish(FeedEntry.Kind.DELETED, [row.id], tenant_id=row.tenant_id)
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


def active_agents(tenant_id: str | None = None) -> QuerySet[AgentActivity]:
    """The heartbeats that still count, latest first; of one tenant, or of all."""
    rows = AgentActivity.unscoped if tenant_id is None else AgentActivity.objects.in_tenants([tenant_id])
    return rows.filter(expires_at__gt=timezone.now()).order_by("-last_seen_at", "agent_id")


def sweep_activity() -> int:
    """Deletes heartbeats that no longer count; how many there were."""
    return AgentActivity.unscoped.filter(expires_at__lte=timezone.now()).delete()[0]


def _mark_active(agent: Agent, ttl_seconds: int) -> AgentActivity:
    now = timezone.now()
    activity = AgentActivity(
        agent=agent,
        tenant_id=agent.tenant_id,
        last_seen_at=now,
        ttl_seconds=ttl_seconds,
        expires_at=now + timedelta(seconds=ttl_seconds),
    )
    upsert(activity, unique_fields=["agent"], update_fields=["tenant", "last_seen_at", "ttl_seconds", "expires_at"])
    return activity
