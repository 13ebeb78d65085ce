"""Bulk import of agents from another system, with their config, plugin settings and heartbeats."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

from django.db.models import Q, QuerySet

from agent_config import secrets
from agent_config.document import Config
from agents.fields import AGENT_FIELDS, PLUGIN_FIELDS
from agents.models import Agent, AgentActivity, ConfigVersion, PluginSetting
from agents.services.config_writes import AgentConfigWrite, build_version
from core import audit, change_feed, counts, epoch
from core.actor import Actor
from core.audit import AuditChange
from core.db import RowUpdate, bulk_overwrite, transactional, transactional_and_propagated
from core.models import FeedEntry
from core.revisions import raise_revisions

IMPORTED_FIELDS = ("name", "name_folded", "description", "template_id", "status", "created_at", "updated_at")
IMPORTED_PLUGIN_FIELDS = ("enabled", "config", "created_at", "updated_at")
IMPORTED_ACTIVITY_FIELDS = ("last_seen_at", "ttl_seconds", "expires_at")


@transactional_and_propagated
def import_agents(*, actor: Actor, new: Sequence[Agent], changed: Sequence[RowUpdate[Agent]]) -> None:
    """Insert the new agents, whose names are distinct, and update the changed ones.

    Seal their configs, which went through `agent_config.bulk_import`. A new agent's config becomes version 1.
    """
    before = [AGENT_FIELDS.audit_state(stored) for stored, _wanted in changed]
    counted = counts.remove_stored([stored for stored, _wanted in changed])
    raise_revisions([stored for stored, _wanted in changed])
    bulk_overwrite(changed, IMPORTED_FIELDS, unique=[["name_folded"]])
    for agent in new:
        agent.config, agent.config_version = secrets.sealed(agent.config, {}), 1
    Agent.unscoped.bulk_create(new)  # after updating: a new row may reuse a name that an update freed
    counts.add(*new, *counted)
    ConfigVersion.unscoped.bulk_create(build_version(agent, {}, actor=actor) for agent in new)
    by_tenant = defaultdict[str, list[str]](list)
    for agent in new:
        by_tenant[agent.tenant_id].append(agent.id)
    for tenant_id, ids in by_tenant.items():
        change_feed.publish(FeedEntry.Kind.AGENT, ids, tenant_id=tenant_id)
    recorded = [AuditChange(agent.id, agent.tenant_id, after=AGENT_FIELDS.audit_state(agent)) for agent in new]
    for (stored, wanted), was in zip(changed, before, strict=True):
        if not _set_config(stored, wanted.config, actor=actor) and (stored.template_id, stored.status) != (
            was["template_id"],
            was["status"],
        ):
            change_feed.publish(FeedEntry.Kind.AGENT, [stored.id], tenant_id=stored.tenant_id)
        epoch.invalidate(stored.id)
        recorded.append(AuditChange(stored.id, stored.tenant_id, was, AGENT_FIELDS.audit_state(stored)))
    audit.record_all(actor=actor, action="agent.import", changes=recorded)


def _set_config(stored: Agent, wanted: Config, *, actor: Actor) -> bool:
    """Store a changed config as a new version, and return whether it changed."""
    write = AgentConfigWrite(stored, actor=actor)
    write.put(secrets.sealed(wanted, stored.config))
    if write.is_changed:
        Agent.unscoped.filter(pk=stored.pk).update(config=stored.config, config_version=stored.config_version)
        write.record()
    return write.is_changed


@transactional
def import_plugins(*, actor: Actor, new: Sequence[PluginSetting], changed: Sequence[RowUpdate[PluginSetting]]) -> None:
    """Insert the new plugin settings, and update the changed ones. Seal their secrets."""
    for row in new:
        row.config = secrets.sealed(row.config, {})
    for stored, wanted in changed:
        wanted.config = secrets.sealed(wanted.config, stored.config)
    PluginSetting.unscoped.bulk_create(new)
    before = [PLUGIN_FIELDS.audit_state(stored) for stored, _wanted in changed]
    raise_revisions([stored for stored, _wanted in changed])
    bulk_overwrite(changed, IMPORTED_PLUGIN_FIELDS)
    recorded = [
        AuditChange(row.agent_id or row.tenant_id, row.tenant_id, after=PLUGIN_FIELDS.audit_state(row)) for row in new
    ]
    recorded += [
        AuditChange(
            row.existing.agent_id or row.existing.tenant_id,
            row.existing.tenant_id,
            was,
            PLUGIN_FIELDS.audit_state(row.existing),
            identity=("agent_id", "plugin_name"),
        )
        for row, was in zip(changed, before, strict=True)
    ]
    audit.record_all(actor=actor, action="plugin.import", changes=recorded)


def plugins_of(owner: str, name: str) -> QuerySet[PluginSetting]:
    """Return the setting of a plugin for an agent or, by a tenant's id, for the tenant."""
    whose = Q(agent_scope=owner) | Q(agent_scope="", tenant_id=owner)
    return PluginSetting.unscoped.filter(whose, plugin_name=name)


@transactional
def remove_plugins(*, actor: Actor, settings: Collection[tuple[str, str]]) -> None:
    """Delete plugin settings, each named by the id of its agent or tenant and the plugin's name."""
    recorded = []
    for owner, name in settings:
        for row in plugins_of(owner, name):
            recorded.append(AuditChange(owner, row.tenant_id, before=PLUGIN_FIELDS.audit_state(row)))
            row.delete()
    audit.record_all(actor=actor, action="plugin.remove", changes=recorded)


@transactional
def import_activity(*, new: Sequence[AgentActivity], changed: Sequence[RowUpdate[AgentActivity]]) -> None:
    """Store heartbeats, of each agent the latest. Write no audit rows, because these are measurements."""
    AgentActivity.unscoped.bulk_create(new)
    bulk_overwrite(
        [row for row in changed if row.target.last_seen_at > row.existing.last_seen_at], IMPORTED_ACTIVITY_FIELDS
    )
