"""The importer of plugin settings of tenants and agents."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from django.db.models import QuerySet

from agent_config import secrets
from agents import bulk_import
from agents.models import PluginSetting
from core import audit
from core.actor import Actor
from legacy.importers.base import (
    ChangedObject,
    Importer,
    SourceObject,
    chunked,
    differing_fields,
    placeholders,
    row_updates,
)
from legacy.importers.fields import read_json, read_time
from legacy.parsing import Row, parse_bool, parse_text
from legacy.reports import Notes, Reason, Report
from legacy.snapshot import Snapshot


class PluginImporter(Importer[PluginSetting, PluginSetting]):
    """An importer of plugin settings.

    Their id is made of the owner and the plugin's name. The old SQLite tables may have several of one id.
    """

    name = "plugins"
    model = PluginSetting
    has_own_id = False
    belongs_to_agent = True

    def read(
        self, snapshot: Snapshot, tenant_ids: Collection[str], report: Report
    ) -> Iterator[list[SourceObject[PluginSetting]]]:
        seen: set[str] = set()

        def convert(row: Row) -> SourceObject[PluginSetting] | None:
            return _plugin(row, report.notes_for(self.name, row["id"], row["tenant_id"]), seen)

        query = (
            "SELECT plugin_settings.*, agents.tenant_id AS tenant_of_agent FROM plugin_settings"
            f" LEFT JOIN agents ON agents.id = agent_id WHERE plugin_settings.tenant_id IN ({placeholders(tenant_ids)})"
            " ORDER BY plugin_settings.updated_at DESC, plugin_settings.id"
        )
        return chunked(snapshot.rows(query, list(tenant_ids)), convert)

    def ids_with_owner(self, snapshot: Snapshot, tenant_ids: Collection[str]) -> Iterator[tuple[str, str | None]]:
        """Yield id and tenant of the settings of tenants, and of agents that exist."""
        query = (
            "SELECT plugin_settings.tenant_id, agent_id, plugin_name FROM plugin_settings LEFT JOIN agents"
            " ON agents.id = agent_id AND agents.tenant_id = plugin_settings.tenant_id"
            f" WHERE plugin_settings.tenant_id IN ({placeholders(tenant_ids)})"
            " AND (coalesce(agent_id, '') = '' OR agents.id IS NOT NULL)"
        )
        return (
            (_id(row["agent_id"] or row["tenant_id"], row["plugin_name"]), row["tenant_id"])
            for row in snapshot.rows(query, list(tenant_ids))
        )

    def count(self, snapshot: Snapshot) -> int:
        return snapshot.fetch_number("SELECT count(*) FROM plugin_settings")

    def existing(self, objects: Sequence[SourceObject[PluginSetting]]) -> dict[str, PluginSetting]:
        rows = PluginSetting.objects.in_tenants({str(one.tenant_id) for one in objects})
        names = {one.target.plugin_name for one in objects}
        return {self.source_id(row): row for row in rows.filter(plugin_name__in=names)}

    def source_id(self, row: PluginSetting) -> str:
        return _id(row.agent_id or row.tenant_id, row.plugin_name)

    def rows_with_ids(self, object_ids: Collection[str]) -> QuerySet[PluginSetting]:
        rows = PluginSetting.unscoped.none()
        for object_id in object_ids:
            rows |= bulk_import.plugins_of(*_parts(object_id))
        return rows

    def save(
        self,
        *,
        actor: Actor,
        new: Sequence[SourceObject[PluginSetting]],
        changed: Sequence[ChangedObject[PluginSetting, PluginSetting]],
    ) -> None:
        bulk_import.import_plugins(actor=actor, new=[one.target for one in new], changed=row_updates(changed))

    def remove(self, *, actor: Actor, object_ids: Collection[str]) -> None:
        bulk_import.remove_plugins(actor=actor, settings=[_parts(object_id) for object_id in object_ids])

    def differences(self, existing: PluginSetting, source: SourceObject[PluginSetting]) -> list[str]:
        differ = differing_fields(existing, source.target, ("tenant_id", "agent_id", "plugin_name", "enabled"))
        configs = (secrets.comparable(setting.config) for setting in (existing, source.target))
        return [*differ, "config"] if audit.differ(*configs) else differ

    def report_orphans(self, snapshot: Snapshot, report: Report) -> None:
        for row in snapshot.rows(
            "SELECT id, tenant_id FROM plugin_settings"
            " WHERE tenant_id IS NULL OR tenant_id NOT IN (SELECT id FROM tenant_ids)"
        ):
            notes = report.notes_for(self.name, row["id"], row["tenant_id"])
            notes.refuse(Reason.REFERS_TO_NOTHING, f"there is no tenant {row['tenant_id']}")


def _plugin(row: Row, notes: Notes, seen: set[str]) -> SourceObject[PluginSetting] | None:
    agent_id = parse_text(row["agent_id"]) or None
    if agent_id is not None and row["tenant_of_agent"] != row["tenant_id"]:
        notes.refuse(Reason.REFERS_TO_NOTHING, f"the tenant has no agent {agent_id[:50]}")
        return None
    name = (parse_text(row["plugin_name"]) or "").strip()
    if not name or len(name) > 100:
        notes.refuse(Reason.BAD_ID, "a plugin's name has 1 to 100 characters")
        return None
    setting = PluginSetting(
        tenant_id=row["tenant_id"],
        agent_id=agent_id,
        agent_scope=agent_id or "",
        plugin_name=name,
        enabled=parse_bool(row.get("enabled", 1)),
        config=_config(row, notes),
        created_at=read_time(row, "created_at", notes),
        updated_at=read_time(row, "updated_at", notes),
    )
    object_id = _id(agent_id or row["tenant_id"], name)
    if object_id in seen:
        notes.refuse(Reason.REPEATED, "the plugin has another setting in the same place")
        return None
    seen.add(object_id)
    source_values = {"enabled": setting.enabled, "config": setting.config}
    return SourceObject(object_id, setting.tenant_id, setting, source_values, agent_id=agent_id)


def _config(row: Row, notes: Notes) -> dict[str, Any]:
    config = read_json(row, "config", notes)
    if config is not None and not isinstance(config, dict):
        notes.add(Reason.BAD_JSON, "config: not an object; it was left out")
        return {}
    kept, left_out = secrets.without_reserved(config or {})
    if left_out:
        notes.add(Reason.CONFIG_LEFT_OUT, f"config: {', '.join(left_out)}: only maim seals secrets")
    return kept


def _id(owner: str, name: Any) -> str:
    return f"{owner}/{(parse_text(name) or '').strip()}"


def _parts(object_id: str) -> tuple[str, str]:
    """Return the owner, an agent or a tenant, and the plugin's name."""
    owner, _slash, name = object_id.partition("/")
    return owner, name
