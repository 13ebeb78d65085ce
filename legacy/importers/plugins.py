"""Plugin settings, of tenants and of agents."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from django.db.models import QuerySet

from agent_config import secrets
from agents import bulk_import
from agents.models import PluginSetting
from core import audit
from core.actor import Actor
from legacy import values
from legacy.importers.base import Changed, Found, Kind, differing, document, in_chunks, made_at, marks, rows_wanted
from legacy.reports import Notes, Reason, Report
from legacy.snapshot import Snapshot
from legacy.values import Row


class Plugins(Kind[PluginSetting, PluginSetting]):
    """Here they go by whose they are and the plugin's name, of which SQLite let there be several."""

    name = "plugins"
    model = PluginSetting
    has_own_id = False
    goes_with_agent = True

    def found(self, old: Snapshot, tenants: Collection[str], report: Report) -> Iterator[list[Found[PluginSetting]]]:
        seen: set[str] = set()

        def convert(row: Row) -> Found[PluginSetting] | None:
            return _plugin(row, report.about(self.name, row["id"], row["tenant_id"]), seen)

        wanted = (
            "SELECT plugin_settings.*, agents.tenant_id AS tenant_of_agent FROM plugin_settings"
            f" LEFT JOIN agents ON agents.id = agent_id WHERE plugin_settings.tenant_id IN ({marks(tenants)})"
            " ORDER BY plugin_settings.updated_at DESC, plugin_settings.id"
        )
        return in_chunks(old.rows(wanted, list(tenants)), convert)

    def places(self, old: Snapshot, tenants: Collection[str]) -> Iterator[tuple[str, str | None]]:
        """Of an agent, those whose agent is there."""
        query = (
            "SELECT plugin_settings.tenant_id, agent_id, plugin_name FROM plugin_settings LEFT JOIN agents"
            " ON agents.id = agent_id AND agents.tenant_id = plugin_settings.tenant_id"
            f" WHERE plugin_settings.tenant_id IN ({marks(tenants)})"
            " AND (coalesce(agent_id, '') = '' OR agents.id IS NOT NULL)"
        )
        return (
            (_id(row["agent_id"] or row["tenant_id"], row["plugin_name"]), row["tenant_id"])
            for row in old.rows(query, list(tenants))
        )

    def number(self, old: Snapshot) -> int:
        return old.number("SELECT count(*) FROM plugin_settings")

    def stored(self, found: Sequence[Found[PluginSetting]]) -> dict[str, PluginSetting]:
        rows = PluginSetting.objects.in_tenants({str(one.tenant_id) for one in found})
        names = {one.wanted.plugin_name for one in found}
        return {self.identity(row): row for row in rows.filter(plugin_name__in=names)}

    def identity(self, row: PluginSetting) -> str:
        return _id(row.agent_id or row.tenant_id, row.plugin_name)

    def rows(self, object_ids: Collection[str]) -> QuerySet[PluginSetting]:
        rows = PluginSetting.unscoped.none()
        for object_id in object_ids:
            rows |= bulk_import.plugins_of(*_parts(object_id))
        return rows

    def adopt(
        self,
        *,
        actor: Actor,
        new: Sequence[Found[PluginSetting]],
        changed: Sequence[Changed[PluginSetting, PluginSetting]],
    ) -> None:
        bulk_import.import_plugins(actor=actor, new=[one.wanted for one in new], changed=rows_wanted(changed))

    def remove(self, *, actor: Actor, object_ids: Collection[str]) -> None:
        bulk_import.remove_plugins(actor=actor, settings=[_parts(object_id) for object_id in object_ids])

    def differences(self, stored: PluginSetting, found: Found[PluginSetting]) -> list[str]:
        differ = differing(stored, found.wanted, ("tenant_id", "agent_id", "plugin_name", "enabled"))
        configs = (secrets.comparable(setting.config) for setting in (stored, found.wanted))
        return [*differ, "config"] if audit.differ(*configs) else differ

    def orphans(self, old: Snapshot, report: Report) -> None:
        for row in old.rows(
            "SELECT id, tenant_id FROM plugin_settings"
            " WHERE tenant_id IS NULL OR tenant_id NOT IN (SELECT id FROM tenant_ids)"
        ):
            notes = report.about(self.name, row["id"], row["tenant_id"])
            notes.refused(Reason.REFERS_TO_NOTHING, f"there is no tenant {row['tenant_id']}")


def _plugin(row: Row, notes: Notes, seen: set[str]) -> Found[PluginSetting] | None:
    agent_id = values.text(row["agent_id"]) or None
    if agent_id is not None and row["tenant_of_agent"] != row["tenant_id"]:
        notes.refused(Reason.REFERS_TO_NOTHING, f"the tenant has no agent {agent_id[:50]}")
        return None
    name = (values.text(row["plugin_name"]) or "").strip()
    if not name or len(name) > 100:
        notes.refused(Reason.BAD_ID, "a plugin's name has 1 to 100 characters")
        return None
    setting = PluginSetting(
        tenant_id=row["tenant_id"],
        agent_id=agent_id,
        agent_scope=agent_id or "",
        plugin_name=name,
        enabled=values.flag(row.get("enabled", 1)),
        config=_config(row, notes),
        created_at=made_at(row, "created_at", notes),
        updated_at=made_at(row, "updated_at", notes),
    )
    object_id = _id(agent_id or row["tenant_id"], name)
    if object_id in seen:
        notes.refused(Reason.REPEATED, "the plugin has another setting in the same place")
        return None
    seen.add(object_id)
    told = {"enabled": setting.enabled, "config": setting.config}
    return Found(object_id, setting.tenant_id, setting, told, agent_id=agent_id)


def _config(row: Row, notes: Notes) -> dict[str, Any]:
    config = document(row, "config", notes)
    if config is not None and not isinstance(config, dict):
        notes.found(Reason.BAD_JSON, "config: no object; it was left out")
        return {}
    kept, left_out = secrets.without_reserved(config or {})
    if left_out:
        notes.found(Reason.CONFIG_LEFT_OUT, f"config: {', '.join(left_out)}: only maim seals secrets")
    return kept


def _id(owner: str, name: Any) -> str:
    return f"{owner}/{(values.text(name) or '').strip()}"


def _parts(object_id: str) -> tuple[str, str]:
    """Whose it is, an agent or a tenant, and the plugin's name."""
    owner, _slash, name = object_id.partition("/")
    return owner, name
