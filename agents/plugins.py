"""The rules about plugin settings: a tenant's, and an agent's own, which wins."""

from __future__ import annotations

from typing import Any

from agents.config_versions import lock_agent
from agents.models import Agent, PluginSetting
from maim.common import audit, clock
from maim.common.actor import Actor
from maim.common.db import transactional
from tenants.models import Tenant
from tenants.services import lock_tenant


def snapshot(row: PluginSetting) -> dict[str, Any]:
    """What the audit log keeps of a setting."""
    return {
        "agent_id": row.agent_id,
        "plugin_name": row.plugin_name,
        "enabled": row.enabled,
        "config": row.config,
    }


@transactional
def set_plugin(
    *, actor: Actor, tenant: Tenant, agent: Agent | None, plugin_name: str, enabled: bool, config: dict[str, Any]
) -> PluginSetting:
    """Sets a plugin's setting for an agent, or with None for the whole tenant.

    Raises TenantNotFound, AgentNotFound.
    """
    # One row at a time in a tenant: two first settings of one plugin become an insert and an update.
    lock_tenant(tenant.id)
    if agent is not None:
        lock_agent(agent.id)
    scope = agent.id if agent else ""
    row = PluginSetting.objects.in_tenants([tenant.id]).filter(agent_scope=scope, plugin_name=plugin_name).first()
    before = None if row is None else snapshot(row)
    if row is None:
        row = PluginSetting(tenant=tenant, agent=agent, agent_scope=scope, plugin_name=plugin_name)
    row.enabled, row.config, row.updated_at = enabled, config, clock.now()
    row.save()
    after = snapshot(row)
    if audit.differ(before, after):
        audit.record(
            actor=actor,
            action="plugin.set",
            object_id=str(row.pk),
            tenant_id=tenant.id,
            before=before,
            after=after,
        )
    return row


def merged_plugins(*, tenant: Tenant, agent: Agent | None) -> list[PluginSetting]:
    """The settings that apply to an agent, or with None the tenant's own, by plugin name."""
    scopes = ["", agent.id] if agent else [""]
    rows = PluginSetting.objects.in_tenants([tenant.id]).filter(agent_scope__in=scopes).order_by("agent_scope")
    # The tenant's scope sorts first, so that an agent's setting replaces it.
    return sorted({row.plugin_name: row for row in rows}.values(), key=lambda row: row.plugin_name)
