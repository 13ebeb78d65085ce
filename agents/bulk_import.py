"""Taking over the agents of another system, with their config, plugin settings and heartbeats."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

from django.db.models import Q, QuerySet

from agent_config import secrets
from agent_config.document import Config
from agents.models import Agent, AgentActivity, ConfigVersion, PluginSetting
from agents.services import audit_state
from agents.services.config_writes import AgentConfigWrite, build_version
from agents.services.plugins import audit_state as plugin_audit_state
from core import audit, change_feed, epoch
from core.actor import Actor
from core.audit import AuditChange
from core.db import Wanted, overwrite, transactional
from core.models import Change
from core.revisions import raise_revisions

FIELDS = ("name", "name_folded", "description", "template_id", "status", "created_at", "updated_at")
PLUGIN_FIELDS = ("enabled", "config", "created_at", "updated_at")
ACTIVITY_FIELDS = ("last_seen_at", "ttl_seconds", "expires_at")


@transactional
def adopt_agents(*, actor: Actor, new: Sequence[Agent], changed: Sequence[Wanted[Agent]]) -> None:
    """Stores agents whose names were made distinct, and makes others what they are to be.

    Their configs went through `agent_config.bulk_import`, and are sealed here; one that is new is version 1.
    """
    before = [audit_state(stored) for stored, _wanted in changed]
    raise_revisions([stored for stored, _wanted in changed])
    overwrite(changed, FIELDS, unique=[["name_folded"]])
    for agent in new:
        agent.config, agent.config_version = secrets.sealed(agent.config, {}), 1
    Agent.unscoped.bulk_create(new)  # later, for they may have names that others give up
    ConfigVersion.unscoped.bulk_create(build_version(agent, {}, actor=actor) for agent in new)
    by_tenant = defaultdict[str, list[str]](list)
    for agent in new:
        by_tenant[agent.tenant_id].append(agent.id)
    for tenant_id, ids in by_tenant.items():
        change_feed.publish(Change.Kind.AGENT, ids, tenant_id=tenant_id)
    recorded = [AuditChange(agent.id, agent.tenant_id, after=audit_state(agent)) for agent in new]
    for (stored, wanted), was in zip(changed, before, strict=True):
        if not _set_config(stored, wanted.config, actor=actor) and (stored.template_id, stored.status) != (
            was["template_id"],
            was["status"],
        ):
            change_feed.publish(Change.Kind.AGENT, [stored.id], tenant_id=stored.tenant_id)
        epoch.invalidate(stored.id)
        recorded.append(AuditChange(stored.id, stored.tenant_id, was, audit_state(stored)))
    audit.record_all(actor=actor, action="agent.import", changes=recorded)


def _set_config(stored: Agent, wanted: Config, *, actor: Actor) -> bool:
    """Gives an agent another config, as a new version; whether it is another."""
    write = AgentConfigWrite(stored, actor=actor)
    write.put(secrets.sealed(wanted, stored.config))
    if write.is_changed:
        Agent.unscoped.filter(pk=stored.pk).update(config=stored.config, config_version=stored.config_version)
        write.record()
    return write.is_changed


@transactional
def adopt_plugins(*, actor: Actor, new: Sequence[PluginSetting], changed: Sequence[Wanted[PluginSetting]]) -> None:
    """Store plugin settings, and make others what they are to be. Their secrets are sealed here."""
    for row in new:
        row.config = secrets.sealed(row.config, {})
    for stored, wanted in changed:
        wanted.config = secrets.sealed(wanted.config, stored.config)
    PluginSetting.unscoped.bulk_create(new)
    before = [plugin_audit_state(stored) for stored, _wanted in changed]
    raise_revisions([stored for stored, _wanted in changed])
    overwrite(changed, PLUGIN_FIELDS)
    recorded = [AuditChange(row.agent_id or row.tenant_id, row.tenant_id, after=plugin_audit_state(row)) for row in new]
    recorded += [
        AuditChange(
            row.stored.agent_id or row.stored.tenant_id,
            row.stored.tenant_id,
            was,
            plugin_audit_state(row.stored),
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
    """Removes plugin settings by whose they are, an agent's or a tenant's id, and the plugin's name."""
    recorded = []
    for owner, name in settings:
        for row in plugins_of(owner, name):
            recorded.append(AuditChange(owner, row.tenant_id, before=plugin_audit_state(row)))
            row.delete()
    audit.record_all(actor=actor, action="plugin.remove", changes=recorded)


@transactional
def adopt_activity(*, new: Sequence[AgentActivity], changed: Sequence[Wanted[AgentActivity]]) -> None:
    """Stores heartbeats; of two of one agent the later counts. Measurements: no audit rows."""
    AgentActivity.unscoped.bulk_create(new)
    overwrite([row for row in changed if row.wanted.last_seen_at > row.stored.last_seen_at], ACTIVITY_FIELDS)
