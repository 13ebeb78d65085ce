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
from agents.services.config_writes import AgentConfigWrite, WriteOptions, check_expected, lock_agent
from core import audit, change_feed, epoch
from core.actor import Actor
from core.db import transactional, unique_or, upsert
from core.models import Change
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
    write = AgentConfigWrite(agent, actor=actor)
    write.check_template()
    write.apply(config or {}, strict=strict)
    add_agent(write, action="agent.create")
    if active_for is not None:
        _mark_active(agent, int(active_for.total_seconds()))
    return agent


def add_agent(
    write: AgentConfigWrite, *, action: str, note: str | None = None, extra: Mapping[str, Any] | None = None
) -> None:
    """Store a new agent with version 1 of its config; the audit row gets the `extra` fields, too.

    Part of a transactional service, which has locked the tenant. Raise AgentNameTaken.
    """
    agent = write.row
    agent.config_version = 1
    with unique_or(_NAME_TAKEN):
        agent.save(force_insert=True)
    write.record(note=note)
    after = {**audit_state(agent), "config": masked(agent.config), **(extra or {})}
    audit.record(actor=write.actor, action=action, object_id=agent.id, tenant_id=agent.tenant_id, after=after)


@transactional
def update_agent(
    *, actor: Actor, agent: Agent, changes: Mapping[str, Any], config_write: WriteOptions | None = None
) -> Agent:
    """Changes any of `name, description, template_id, status, tags, rate_limit, quota`, and `config`, which is merged
    unless `config_write` says otherwise.

    Raises AgentNameTaken, BadConfig, ForeignTemplate, Invalid for a bad name, PreconditionFailed, AgentNotFound.
    """
    options = config_write or WriteOptions()
    write = AgentConfigWrite.lock(agent, actor=actor, expected=options.expected)
    row = write.row
    before = audit_state(row)
    if "name" in changes:
        row.change_name(changes["name"])
    fields = ["description", "status", "tags", "rate_limit", "quota", "template_id"]
    for field in fields:
        setattr(row, field, changes.get(field, getattr(row, field)))
    if "config" in changes:
        write.apply(changes["config"], replace=options.replace, strict=options.strict)
    if row.template_id != before["template_id"]:
        write.check_template()
    after = audit_state(row)
    if audit.differ(before, after):
        row.updated_at = timezone.now()
        with unique_or(_NAME_TAKEN):
            row.save(update_fields=["name", "name_folded", "config", "config_version", *fields, "updated_at"])
        audit.record(
            actor=actor, action="agent.update", object_id=row.id, tenant_id=row.tenant_id, before=before, after=after
        )
    if write.is_changed:
        write.record(note=options.note)
    elif (row.template_id, row.status) != (before["template_id"], before["status"]):
        change_feed.publish(Change.Kind.AGENT, [row.id], tenant_id=row.tenant_id)
    # Also where nothing changes: the same change may have been made a moment ago, and still be waiting.
    if not _VERIFICATION_FIELDS.isdisjoint(changes):
        epoch.invalidate(row.id)
    return row


@transactional
def delete_agent(*, actor: Actor, agent: Agent, expected: Container[int] | None = None) -> None:
    """Removes an agent with its keys, settings and heartbeat; `expected` is as of `check_expected`.

    Raises AgentNotFound if it is gone, PreconditionFailed.
    """
    row = lock_agent(agent.pk)
    check_expected(row, expected)
    before = {**audit_state(row), "config": masked(row.config)}
    epoch.invalidate(row.id)
    change_feed.publish(Change.Kind.DELETED, [row.id], tenant_id=row.tenant_id)
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
