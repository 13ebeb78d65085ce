"""The rules about agents and their config."""

from __future__ import annotations

from collections.abc import Container, Mapping
from datetime import timedelta
from typing import Any, Unpack

from django.utils import timezone

from agent_config.secrets import masked
from agents.errors import AgentNameTaken
from agents.fields import AGENT_FIELDS, AgentChanges, AgentSettings
from agents.models import Agent
from agents.services.activity import mark_active, new_activity
from agents.services.config_writes import AgentConfigWrite, WriteOptions, check_expected, lock_agent
from core import audit, change_feed, counts, epoch
from core.actor import Actor
from core.db import delete_many, lock_in_order, transactional, transactional_and_propagated, translate_unique_violation
from core.models import DeletedObject, FeedEntry
from core.prepared_writes import one_round_trip
from core.resource_fields import check_names
from core.undo.storing import store_deleted
from tenants.access import lock_tenant
from tenants.capacity import Resource, check_limit
from tenants.models import Tenant

_NAME_TAKEN = {"agent_name_unique": AgentNameTaken(), "name_folded": AgentNameTaken()}
NEW_AGENT_ACTIVE_FOR = timedelta(hours=12)


@transactional
def create_agent(
    *,
    actor: Actor,
    tenant: Tenant,
    name: str,
    active_for: timedelta | None = None,
    strict: bool = False,
    **settings: Unpack[AgentSettings],
) -> Agent:
    """Create an agent, active for `active_for` if that is given. Its config becomes version 1 even if it is empty.

    Raise AgentNameTaken, BadConfig, ForeignTemplate, Invalid for a bad name, TenantNotFound, and TenantLimitReached.
    """
    check_names(settings, AgentSettings.__annotations__)
    agent = Agent(tenant=lock_tenant(tenant.id))
    AGENT_FIELDS.assign(agent, settings, skip=("config",))
    agent.change_name(name)
    write = AgentConfigWrite(agent, actor=actor)
    write.check_template()
    write.apply(settings.get("config", {}), strict=strict)
    add_agent(write, action="agent.create")
    if active_for is not None:
        mark_active([new_activity(agent.tenant_id, agent.id, int(active_for.total_seconds()), timezone.now())])
    return agent


def add_agent(
    write: AgentConfigWrite, *, action: str, note: str | None = None, extra: Mapping[str, Any] | None = None
) -> None:
    """Store a new agent with version 1 of its config, and audit it with the `extra` members.

    Call this inside a transactional service that has locked the tenant. Raise AgentNameTaken and TenantLimitReached.
    """
    agent = write.row
    check_limit(agent.tenant, Resource.AGENTS)
    agent.config_version = 1
    counts.add(agent)
    after = {**AGENT_FIELDS.audit_state(agent), "config": masked(agent.config), **(extra or {})}
    with translate_unique_violation(_NAME_TAKEN), one_round_trip():
        agent.save(force_insert=True)
        write.record(note=note)
        audit.record(actor=write.actor, action=action, object_id=agent.id, tenant_id=agent.tenant_id, after=after)


@transactional_and_propagated
def update_agent(
    *, actor: Actor, agent: Agent, changes: AgentChanges, config_write: WriteOptions | None = None
) -> Agent:
    """Change some fields of an agent, and return the changed row. Merge `config` unless `config_write` replaces it.

    Raise AgentNameTaken, BadConfig, ForeignTemplate, Invalid for a bad name, PreconditionFailed, and AgentNotFound.
    """
    options = config_write or WriteOptions()
    write = AgentConfigWrite.lock(agent, actor=actor, expected=options.expected)
    row = write.row
    before = AGENT_FIELDS.audit_state(row)
    counts.remove(row)
    if "name" in changes:
        row.change_name(changes["name"])
    AGENT_FIELDS.assign(row, changes, skip=("name", "config"))
    if "config" in changes:
        write.apply(changes["config"], replace=options.replace, strict=options.strict)
    if row.template_id != before["template_id"]:
        write.check_template()
    after = AGENT_FIELDS.audit_state(row)
    counts.add(row)
    if audit.differ(before, after):
        row.updated_at = timezone.now()
        with translate_unique_violation(_NAME_TAKEN), one_round_trip():
            row.save(update_fields=[*AGENT_FIELDS.changeable, "name_folded", "config_version", "updated_at"])
            audit.record(
                actor=actor,
                action="agent.update",
                object_id=row.id,
                tenant_id=row.tenant_id,
                before=before,
                after=after,
            )
            if write.is_changed:
                write.record(note=options.note)
    if not write.is_changed and any(
        getattr(row, name) != before[name] for name in ("template_id", "config_schema", "status")
    ):
        change_feed.publish(FeedEntry.Kind.AGENT, [row.id], tenant_id=row.tenant_id)
    # Even if nothing changes: another request may have made the same change a moment ago and still be waiting.
    if AGENT_FIELDS.affect_verdicts(changes):
        epoch.invalidate(row.id)
    return row


@transactional_and_propagated
def delete_agent(*, actor: Actor, agent: Agent, expected: Container[int] | None = None) -> None:
    """Delete an agent with its keys, settings and heartbeat. An operator can restore it for MAIM_UNDO_DAYS (core.undo).

    Check `expected` as `check_expected` does. Raise AgentNotFound if it is gone, and PreconditionFailed.
    """
    row = lock_agent(agent.pk)
    check_expected(row, expected)
    before = {**AGENT_FIELDS.audit_state(row), "config": masked(row.config)}
    epoch.invalidate(row.id)
    change_feed.publish(FeedEntry.Kind.DELETED, [row.id], tenant_id=row.tenant_id)
    keys = row.api_keys(manager="unscoped").all()
    key_ids = lock_in_order(keys)
    store_deleted(actor=actor, kind=DeletedObject.Kind.AGENT, object_id=row.id, tenant_id=row.tenant_id, name=row.name)
    counts.remove_agent(row, keys)
    delete_many(keys.model, key_ids)
    row.delete()
    audit.record(actor=actor, action="agent.delete", object_id=agent.id, tenant_id=agent.tenant_id, before=before)
