"""The kinds of objects that a bridge keeps in step, each with the old tables that it has."""

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
from legacy.bridge.target import Action, Target, Write
from legacy.bridge.writes import writes_for
from legacy.configs import LISTS, TABLES
from legacy.names import is_distinct_form
from legacy.values import Row
from tenants.models import Tenant

PAGE = 200


class Plan(NamedTuple):
    """What has to be written for one object, and whether it is here."""

    object_id: str
    is_here: bool
    writes: list[Write]


class Mirror(ABC):
    """A kind of objects; `name` is that of its kind in an import (legacy.importers)."""

    name: ClassVar[str]

    def __init__(self, *, with_secrets: bool) -> None:
        self._with_secrets = with_secrets

    @abstractmethod
    def stored(self) -> QuerySet[Any]:
        """All objects here."""

    def pages(self) -> Iterator[list[str]]:
        """Return the ids of all objects here, PAGE at a time."""
        last = ""
        while page := list(self.stored().filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:PAGE]):
            yield page
            last = page[-1]

    def here(self, object_ids: Collection[str]) -> set[str]:
        """Return those of the ids that are of objects here."""
        return set(self.stored().filter(pk__in=object_ids).values_list("pk", flat=True))

    @abstractmethod
    def plans(self, target: Target, object_ids: Sequence[str]) -> list[Plan]:
        """Return what has to be written for objects with these ids, here or there. Raise Unavailable."""

    def alternative(self, plan: Plan) -> Plan | None:
        """Return another plan for one that the old database refused, or None."""
        return None


def _by(found: Sequence[Row], column: str) -> dict[str, list[Row]]:
    grouped = defaultdict[str, list[Row]](list)
    for row in found:
        grouped[str(row[column])].append(row)
    return grouped


class Tenants(Mirror):
    """Tenants. Their names are unique in the old table, and here only with their owner."""

    name = "tenants"
    _MOST = 100

    def stored(self) -> QuerySet[Tenant]:
        return Tenant.objects.all()

    def plans(self, target: Target, object_ids: Sequence[str]) -> list[Plan]:
        here = {row.pk: row for row in Tenant.objects.filter(pk__in=object_ids)}
        there = _by(target.rows("tenants", "id", object_ids), "id")
        return [self._plan(target, object_id, here.get(object_id), there[object_id]) for object_id in object_ids]

    def _plan(self, target: Target, tenant_id: str, tenant: Tenant | None, found: list[Row]) -> Plan:
        old = found[0] if found else None
        wanted = [] if tenant is None else [dict(rows.tenant_row(tenant, old, with_secrets=self._with_secrets))]
        for row in wanted:
            row["tenant_name"] = row["tenant_name"][: self._MOST]
            if found and is_distinct_form(str(found[0]["tenant_name"]), row["tenant_name"], tenant_id):
                row["tenant_name"] = str(found[0]["tenant_name"])
        return Plan(tenant_id, tenant is not None, writes_for(target, "tenants", wanted, found))

    def alternative(self, plan: Plan) -> Plan | None:
        """Return the plan with the tenant's id behind its name, which somebody else may have."""
        suffix = f" ({plan.object_id})"
        writes = [
            write._replace(
                values={
                    **write.values,
                    "tenant_name": f"{write.values['tenant_name'][: self._MOST - len(suffix)].rstrip()}{suffix}",
                }
            )
            for write in plan.writes
            if "tenant_name" in write.values
        ]
        return plan._replace(writes=writes) if writes else None


class Agents(Mirror):
    """Agents, with what was set for them by themselves, their tenant and their template."""

    name = "agents"

    def stored(self) -> QuerySet[Agent]:
        return Agent.unscoped.all()

    def plans(self, target: Target, object_ids: Sequence[str]) -> list[Plan]:
        here = {row.pk: row for row in Agent.unscoped.filter(pk__in=object_ids)}
        configs = effective_config.get_configs_without_defaults(list(here))
        there = {"agents": _by(target.rows("agents", "id", object_ids), "id")}
        there |= {table: _by(target.rows(table, "agent_id", object_ids), "agent_id") for table in TABLES}
        plans = list[Plan]()
        for object_id in object_ids:
            old = {table: found[object_id] for table, found in there.items()}
            if object_id in configs:  # else it was deleted between the two queries
                writes = self._writes(target, here[object_id], rows.shown_config(
                    configs[object_id], object_id, old, with_secrets=self._with_secrets
                ), old)  # fmt: skip
                plans.append(Plan(object_id, True, writes))
            elif object_id not in here:
                deletes = [Write(Action.DELETE, table, row["id"]) for table in reversed(old) for row in old[table]]
                plans.append(Plan(object_id, False, deletes))
        return plans

    @staticmethod
    def _writes(target: Target, agent: Agent, config: dict[str, Any], old: Mapping[str, list[Row]]) -> list[Write]:
        writes = writes_for(target, "agents", [rows.agent_row(agent, config)], old["agents"])
        for table, wanted in rows.config_rows(agent.id, config, target.tables).items():
            key = ("agent_id", "name") if table in LISTS else ("agent_id",)
            writes += writes_for(target, table, wanted, old[table], key=key)
        return writes


class Keys(Mirror):
    """API keys, without the secrets of those that were made here."""

    name = "keys"

    def stored(self) -> QuerySet[ApiKey]:
        return ApiKey.unscoped.all()

    def plans(self, target: Target, object_ids: Sequence[str]) -> list[Plan]:
        here = {row.pk: row for row in ApiKey.unscoped.filter(pk__in=object_ids).prefetch_related("secrets")}
        there = _by(target.rows("api_keys", "id", object_ids), "id")
        plans = list[Plan]()
        for object_id in object_ids:
            key, found = here.get(object_id), there[object_id]
            wanted = [] if key is None else [rows.key_row(key, found[0] if found else None)]
            plans.append(Plan(object_id, key is not None, writes_for(target, "api_keys", wanted, found)))
        return plans


class Plugins(Mirror):
    """Plugin settings. They go by whose they are, an agent's or a tenant's id, and the plugin's name."""

    name = "plugins"
    _KEY = ("tenant_id", "agent_id", "plugin_name")

    def stored(self) -> QuerySet[PluginSetting]:
        return PluginSetting.unscoped.only("pk", "tenant_id", "agent_id", "plugin_name")

    def pages(self) -> Iterator[list[str]]:
        last = 0
        while page := list(self.stored().filter(pk__gt=last).order_by("pk")[:PAGE]):
            yield [setting_id(row) for row in page]
            last = page[-1].pk

    def here(self, object_ids: Collection[str]) -> set[str]:
        return set(map(setting_id, settings_of(_owners(object_ids)))) & set(object_ids)

    def plans(self, target: Target, object_ids: Sequence[str]) -> list[Plan]:
        owners = _owners(object_ids)
        here = {setting_id(row): row for row in settings_of(owners)}
        there = defaultdict[str, list[Row]](list)
        for row in rows_of(target, owners):
            there[row_id(row)].append(row)
        plans = list[Plan]()
        for object_id in object_ids:
            setting, found = here.get(object_id), there[object_id]
            old = found[0] if found else None
            wanted = [] if setting is None else [rows.plugin_row(setting, old, with_secrets=self._with_secrets)]
            # An id of their place: in the old table an agent's may be empty instead of null.
            found = [{**row, "agent_id": row["agent_id"] or None, "plugin_name": _name(row)} for row in found]
            writes = writes_for(target, "plugin_settings", wanted, found, key=self._KEY)
            plans.append(Plan(object_id, setting is not None, writes))
        return plans


def setting_id(setting: PluginSetting) -> str:
    """Return the id by which a plugin setting goes here and there."""
    return f"{setting.agent_id or setting.tenant_id}/{setting.plugin_name}"


def row_id(row: Row) -> str:
    """Return the same of an old row."""
    return f"{row['agent_id'] or row['tenant_id']}/{_name(row)}"


def settings_of(owners: Collection[str]) -> QuerySet[PluginSetting]:
    """The settings of agents and, themselves, of tenants, by their ids."""
    return PluginSetting.unscoped.filter(Q(agent_scope__in=owners) | Q(agent_scope="", tenant_id__in=owners))


def rows_of(target: Target, owners: Collection[str]) -> list[Row]:
    """Return the old rows of agents and, themselves, of tenants, by their ids. Raise Unavailable."""
    of_agents = target.rows("plugin_settings", "agent_id", owners)
    return [*of_agents, *target.rows("plugin_settings", "tenant_id", owners, unless="agent_id")]


def _owners(setting_ids: Collection[str]) -> set[str]:
    return {setting_id.partition("/")[0] for setting_id in setting_ids}


def _name(row: Row) -> str:
    return str(row["plugin_name"]).strip()
