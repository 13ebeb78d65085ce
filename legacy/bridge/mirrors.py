"""The kinds of objects that a bridge mirrors, each into its old tables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from django.db.models import Q, QuerySet

from agents import effective_config
from agents.models import Agent, PluginSetting
from apikeys.models import ApiKey
from legacy.bridge import rows
from legacy.bridge.database import Action, LegacyDatabase, Write
from legacy.bridge.row_diff import diff_rows
from legacy.configs import CONFIG_TABLES, LIST_TABLES
from legacy.names import is_unique_form
from legacy.parsing import Row
from tenants.models import Tenant

PAGE = 200


class Plan(NamedTuple):
    """The writes that bring one object's old rows up to date. `exists` says whether maim has the object."""

    object_id: str
    exists: bool
    writes: list[Write]


class Mirror(ABC):
    """A mirror of one kind of object. `name` is the kind's name in an import (legacy.importers)."""

    name: ClassVar[str]

    def __init__(self, *, with_secrets: bool) -> None:
        self._with_secrets = with_secrets

    @abstractmethod
    def queryset(self) -> QuerySet[Any]:
        """Return all objects of maim."""

    def id_pages(self) -> Iterator[list[str]]:
        """Yield the ids of all objects of maim, PAGE at a time."""
        last = ""
        while page := list(self.queryset().filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:PAGE]):
            yield page
            last = page[-1]

    def existing_ids(self, object_ids: Collection[str]) -> set[str]:
        """Return the given ids of objects that maim has."""
        return set(self.queryset().filter(pk__in=object_ids).values_list("pk", flat=True))

    @abstractmethod
    def plan(self, database: LegacyDatabase, object_ids: Sequence[str]) -> list[Plan]:
        """Return plans for objects that are in maim, in the old database, or in both. Raise DatabaseUnavailable."""

    def fallback(self, plan: Plan) -> Plan | None:
        """Return another plan for one that the old database refused, or None."""
        return None


def _group_by(found: Sequence[Row], column: str) -> dict[str, list[Row]]:
    grouped = defaultdict[str, list[Row]](list)
    for row in found:
        grouped[str(row[column])].append(row)
    return grouped


class TenantMirror(Mirror):
    """A mirror of tenants. The old table requires unique names, maim only unique names of one owner's tenants."""

    name = "tenants"
    _MAX_NAME_LENGTH = 100

    def queryset(self) -> QuerySet[Tenant]:
        return Tenant.objects.all()

    def plan(self, database: LegacyDatabase, object_ids: Sequence[str]) -> list[Plan]:
        tenants = {tenant.pk: tenant for tenant in Tenant.objects.filter(pk__in=object_ids)}
        old_rows = _group_by(database.select("tenants", "id", object_ids), "id")
        return [
            self._plan_one(database, object_id, tenants.get(object_id), old_rows[object_id]) for object_id in object_ids
        ]

    def _plan_one(self, database: LegacyDatabase, tenant_id: str, tenant: Tenant | None, old_rows: list[Row]) -> Plan:
        old = old_rows[0] if old_rows else None
        target = [] if tenant is None else [dict(rows.tenant_row(tenant, old, with_secrets=self._with_secrets))]
        for row in target:
            row["tenant_name"] = row["tenant_name"][: self._MAX_NAME_LENGTH]
            if old is not None and is_unique_form(str(old["tenant_name"]), row["tenant_name"], tenant_id):
                row["tenant_name"] = str(old["tenant_name"])
        return Plan(tenant_id, tenant is not None, diff_rows(database, "tenants", target, old_rows))

    def fallback(self, plan: Plan) -> Plan | None:
        """Return the plan with the tenant's id behind its name, because another tenant may have the name."""
        suffix = f" ({plan.object_id})"
        writes = [
            write._replace(
                values={
                    **write.values,
                    "tenant_name": write.values["tenant_name"][: self._MAX_NAME_LENGTH - len(suffix)].rstrip() + suffix,
                }
            )
            for write in plan.writes
            if "tenant_name" in write.values
        ]
        return plan._replace(writes=writes) if writes else None


class AgentMirror(Mirror):
    """A mirror of agents. Their configs include what their tenant and template set."""

    name = "agents"

    def queryset(self) -> QuerySet[Agent]:
        return Agent.unscoped.all()

    def plan(self, database: LegacyDatabase, object_ids: Sequence[str]) -> list[Plan]:
        agents = {agent.pk: agent for agent in Agent.unscoped.filter(pk__in=object_ids)}
        configs = effective_config.get_configs_without_defaults(list(agents))
        tables = {"agents": _group_by(database.select("agents", "id", object_ids), "id")}
        for table in CONFIG_TABLES:
            tables[table] = _group_by(database.select(table, "agent_id", object_ids), "agent_id")
        plans = list[Plan]()
        for object_id in object_ids:
            old = {table: by_agent[object_id] for table, by_agent in tables.items()}
            if object_id in configs:  # else the agent was deleted between the two queries
                config = rows.shown_config(configs[object_id], object_id, old, with_secrets=self._with_secrets)
                plans.append(Plan(object_id, True, self._writes(database, agents[object_id], config, old)))
            elif object_id not in agents:
                deletes = [Write(Action.DELETE, table, row["id"]) for table in reversed(old) for row in old[table]]
                plans.append(Plan(object_id, False, deletes))
        return plans

    @staticmethod
    def _writes(
        database: LegacyDatabase, agent: Agent, config: dict[str, Any], old: Mapping[str, list[Row]]
    ) -> list[Write]:
        writes = diff_rows(database, "agents", [rows.agent_row(agent, config)], old["agents"])
        for table, target in rows.config_rows(agent.id, config, database.tables).items():
            key = ("agent_id", "name") if table in LIST_TABLES else ("agent_id",)
            writes += diff_rows(database, table, target, old[table], key=key)
        return writes


class KeyMirror(Mirror):
    """A mirror of API keys, without the secrets of keys that were created in maim."""

    name = "keys"

    def queryset(self) -> QuerySet[ApiKey]:
        return ApiKey.unscoped.all()

    def plan(self, database: LegacyDatabase, object_ids: Sequence[str]) -> list[Plan]:
        keys = {key.pk: key for key in ApiKey.unscoped.filter(pk__in=object_ids).prefetch_related("secrets")}
        old_rows = _group_by(database.select("api_keys", "id", object_ids), "id")
        plans = list[Plan]()
        for object_id in object_ids:
            key, old = keys.get(object_id), old_rows[object_id]
            target = [] if key is None else [rows.key_row(key, old[0] if old else None)]
            plans.append(Plan(object_id, key is not None, diff_rows(database, "api_keys", target, old)))
        return plans


class PluginMirror(Mirror):
    """A mirror of plugin settings. Their id is made of the owner, an agent or a tenant, and the plugin's name."""

    name = "plugins"
    _KEY = ("tenant_id", "agent_id", "plugin_name")

    def queryset(self) -> QuerySet[PluginSetting]:
        return PluginSetting.unscoped.only("pk", "tenant_id", "agent_id", "plugin_name")

    def id_pages(self) -> Iterator[list[str]]:
        last = 0
        while page := list(self.queryset().filter(pk__gt=last).order_by("pk")[:PAGE]):
            yield [setting_id(row) for row in page]
            last = page[-1].pk

    def existing_ids(self, object_ids: Collection[str]) -> set[str]:
        return set(map(setting_id, settings_of(_owner_ids(object_ids)))) & set(object_ids)

    def plan(self, database: LegacyDatabase, object_ids: Sequence[str]) -> list[Plan]:
        owner_ids = _owner_ids(object_ids)
        settings = {setting_id(setting): setting for setting in settings_of(owner_ids)}
        old_rows = defaultdict[str, list[Row]](list)
        for row in setting_rows(database, owner_ids):
            old_rows[setting_row_id(row)].append(row)
        plans = list[Plan]()
        for object_id in object_ids:
            setting, old = settings.get(object_id), old_rows[object_id]
            target = []
            if setting is not None:
                target = [rows.plugin_row(setting, old[0] if old else None, with_secrets=self._with_secrets)]
            # The key columns are normalized, because an agent_id may be empty in place of NULL.
            old = [{**row, "agent_id": row["agent_id"] or None, "plugin_name": _plugin_name(row)} for row in old]
            writes = diff_rows(database, "plugin_settings", target, old, key=self._KEY)
            plans.append(Plan(object_id, setting is not None, writes))
        return plans


def setting_id(setting: PluginSetting) -> str:
    """Return the id that a plugin setting has in imports and bridges."""
    return f"{setting.agent_id or setting.tenant_id}/{setting.plugin_name}"


def setting_row_id(row: Row) -> str:
    """Return the id of `setting_id` for an old row."""
    return f"{row['agent_id'] or row['tenant_id']}/{_plugin_name(row)}"


def settings_of(owner_ids: Collection[str]) -> QuerySet[PluginSetting]:
    """Return the settings of these agents and tenants. A tenant's are those without an agent."""
    return PluginSetting.unscoped.filter(Q(agent_scope__in=owner_ids) | Q(agent_scope="", tenant_id__in=owner_ids))


def setting_rows(database: LegacyDatabase, owner_ids: Collection[str]) -> list[Row]:
    """Return the old rows of the settings of these agents and tenants. Raise DatabaseUnavailable."""
    of_agents = database.select("plugin_settings", "agent_id", owner_ids)
    return [*of_agents, *database.select("plugin_settings", "tenant_id", owner_ids, unless="agent_id")]


def _owner_ids(setting_ids: Collection[str]) -> set[str]:
    return {setting_id.partition("/")[0] for setting_id in setting_ids}


def _plugin_name(row: Row) -> str:
    return str(row["plugin_name"]).strip()
