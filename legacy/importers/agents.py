"""Agents, with their config."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from agent_config import secrets
from agent_config.bulk_import import import_config
from agents import bulk_import
from agents import services as agents
from agents.models import Agent, AgentStatus
from core import audit
from core.actor import Actor
from legacy import configs, names, values
from legacy.importers.base import (
    Changed,
    Found,
    Kind,
    differing,
    document,
    holders_of_names,
    in_chunks,
    is_good_id,
    long_text,
    made_at,
    marks,
    names_of_later_namesakes,
    rename,
    rename_taken,
    rows_wanted,
    status,
)
from legacy.reports import Notes, Reason, Report
from legacy.snapshot import Snapshot
from legacy.values import Row

MOST = 100
_ROWS = 200  # of which the tables of the config are read together
_SHOWN_WARNINGS = 5


class Agents(Kind[Agent, Agent]):
    name = "agents"
    model = Agent
    holds_others = True

    def found(self, old: Snapshot, tenants: Collection[str], report: Report) -> Iterator[list[Found[Agent]]]:
        namesakes = names_of_later_namesakes(old, "agents", tenants, most=MOST)
        tables: dict[str, dict[str, list[Row]]] = {}

        def convert(row: Row) -> Found[Agent] | None:
            notes = report.about(self.name, row["id"], row["tenant_id"])
            return _agent(row, tables.pop(row["id"], {}), notes, other_name=namesakes.get(row["id"]))

        def rows() -> Iterator[Row]:
            wanted = f"SELECT * FROM agents WHERE tenant_id IN ({marks(tenants)}) ORDER BY created_at, id"
            batch: list[Row] = []
            for row in old.rows(wanted, list(tenants)):
                batch.append(row)
                if len(batch) == _ROWS:
                    tables.update(_config_rows(old, batch))
                    yield from batch
                    batch = []
            tables.update(_config_rows(old, batch))
            yield from batch

        return in_chunks(rows(), convert)

    def places(self, old: Snapshot, tenants: Collection[str]) -> Iterator[tuple[str, str | None]]:
        query = f"SELECT id, tenant_id FROM agents WHERE tenant_id IN ({marks(tenants)}) AND id IS NOT NULL"
        return ((row["id"], row["tenant_id"]) for row in old.rows(query, list(tenants)))

    def number(self, old: Snapshot) -> int:
        return old.number("SELECT count(*) FROM agents")

    def name_holders(self, found: Sequence[Found[Agent]]) -> set[str]:
        return set(holders_of_names([one.wanted for one in found]).values())

    def fit_in(self, found: Sequence[Found[Agent]], report: Report, *, leaving: Collection[str]) -> None:
        rename_taken([one.wanted for one in found], self.name, report, leaving=leaving, most=MOST)

    def adopt(self, *, actor: Actor, new: Sequence[Found[Agent]], changed: Sequence[Changed[Agent, Agent]]) -> None:
        bulk_import.adopt_agents(actor=actor, new=[one.wanted for one in new], changed=rows_wanted(changed))

    def remove(self, *, actor: Actor, object_ids: Collection[str]) -> None:
        for agent in Agent.unscoped.filter(pk__in=object_ids):
            agents.delete_agent(actor=actor, agent=agent)

    def differences(self, stored: Agent, found: Found[Agent]) -> list[str]:
        fields = ("tenant_id", "name", "description", "template_id", "status", "created_at")
        differ = differing(stored, found.wanted, fields)
        if audit.differ(secrets.comparable(stored.config), secrets.comparable(found.wanted.config)):
            differ.append("config")
        return differ

    def orphans(self, old: Snapshot, report: Report) -> None:
        for row in old.rows(
            "SELECT id, tenant_id FROM agents WHERE tenant_id IS NULL OR tenant_id NOT IN (SELECT id FROM tenant_ids)"
        ):
            notes = report.about(self.name, row["id"], row["tenant_id"])
            notes.refused(Reason.REFERS_TO_NOTHING, f"there is no tenant {row['tenant_id']}")
        for table in configs.TABLES:
            lost = f'SELECT count(*) FROM "{table}" one WHERE NOT EXISTS (SELECT 1 FROM agents WHERE id = one.agent_id)'
            if number := old.number(lost):
                notes = report.about(self.name, table, None)
                notes.found(Reason.REFERS_TO_NOTHING, f"{number} rows of {table} are about agents that there are not")


def _config_rows(old: Snapshot, agents: Sequence[Row]) -> dict[str, dict[str, list[Row]]]:
    """The rows of the config's tables, by agent and table."""
    found: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    ids = [row["id"] for row in agents]
    for table in configs.TABLES:
        of_them = f'SELECT * FROM "{table}" WHERE agent_id IN ({marks(ids)}) ORDER BY created_at, id'
        for row in old.rows(of_them, ids):
            found[row["agent_id"]][table].append(row)
    return found


def _agent(
    row: Row, tables: Mapping[str, Sequence[Row]], notes: Notes, *, other_name: str | None
) -> Found[Agent] | None:
    if not is_good_id(row["id"], notes):
        return None
    result = import_config(configs.config_of(document(row, "config", notes), tables, notes))
    for reason, errors in ((Reason.CONFIG_LEFT_OUT, result.left_out), (Reason.CONFIG_WARNING, result.warnings)):
        sentences = [f"{place}: {', '.join(sentences)}" for place, sentences in errors.items()]
        if sentences:
            more = f"; and {len(sentences) - _SHOWN_WARNINGS} more" if len(sentences) > _SHOWN_WARNINGS else ""
            notes.found(reason, "; ".join(sentences[:_SHOWN_WARNINGS]) + more)
    agent = Agent(
        id=row["id"],
        tenant_id=row["tenant_id"],
        description=long_text(row, "description", notes),
        template_id=_template_id(row, notes),
        config=result.config,
        status=status(row, AgentStatus, AgentStatus.INACTIVE, notes),
        created_at=made_at(row, "created_at", notes),
        updated_at=made_at(row, "updated_at", notes),
    )
    name = names.kept(values.text(row["name"]), agent.id, most=MOST)
    agent.set_name(name.text)
    if name.problem:
        notes.found(Reason.RENAMED, f"{name.problem}; it is now {name.text}")
    if other_name:
        rename(agent, other_name, "an older agent of the tenant has this name", notes)
    fields = ("name", "tenant_id", "description", "template_id", "config", "status", "created_at")
    return Found(agent.id, agent.tenant_id, agent, {field: getattr(agent, field) for field in fields})


def _template_id(row: Row, notes: Notes) -> str | None:
    """Free text: an id that names no template is kept."""
    template_id = values.text(row.get("template_id")) or None
    if template_id is not None and len(template_id) > 50:
        notes.found(Reason.CHANGED_TEXT, "template_id was longer than 50 characters, and was left out")
        return None
    return template_id
