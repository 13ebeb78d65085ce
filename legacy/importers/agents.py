"""The importer of agents with their configs."""

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
from legacy import configs, names
from legacy.importers.base import (
    ChangedObject,
    Importer,
    SourceObject,
    chunked,
    differing_fields,
    placeholders,
    row_updates,
)
from legacy.importers.fields import check_id, read_json, read_status, read_text, read_time
from legacy.importers.renaming import names_for_duplicates, rename, rename_conflicting, rows_with_same_names
from legacy.parsing import Row, parse_text
from legacy.reports import Notes, Reason, Report
from legacy.snapshot import Snapshot

_MAX_NAME_LENGTH = 100
_BATCH = 200  # agents whose config tables are read with one query each
_SHOWN_WARNINGS = 5


class AgentImporter(Importer[Agent, Agent]):
    name = "agents"
    model = Agent
    has_contents = True

    def read(
        self, snapshot: Snapshot, tenant_ids: Collection[str], report: Report
    ) -> Iterator[list[SourceObject[Agent]]]:
        new_names = names_for_duplicates(snapshot, "agents", tenant_ids, max_length=_MAX_NAME_LENGTH)
        tables: dict[str, dict[str, list[Row]]] = {}

        def convert(row: Row) -> SourceObject[Agent] | None:
            notes = report.notes_for(self.name, row["id"], row["tenant_id"])
            return _agent(row, tables.pop(row["id"], {}), notes, other_name=new_names.get(row["id"]))

        def rows() -> Iterator[Row]:
            query = f"SELECT * FROM agents WHERE tenant_id IN ({placeholders(tenant_ids)}) ORDER BY created_at, id"
            batch: list[Row] = []
            for row in snapshot.rows(query, list(tenant_ids)):
                batch.append(row)
                if len(batch) == _BATCH:
                    tables.update(_config_rows(snapshot, batch))
                    yield from batch
                    batch = []
            tables.update(_config_rows(snapshot, batch))
            yield from batch

        return chunked(rows(), convert)

    def ids_with_owner(self, snapshot: Snapshot, tenant_ids: Collection[str]) -> Iterator[tuple[str, str | None]]:
        query = f"SELECT id, tenant_id FROM agents WHERE tenant_id IN ({placeholders(tenant_ids)}) AND id IS NOT NULL"
        return ((row["id"], row["tenant_id"]) for row in snapshot.rows(query, list(tenant_ids)))

    def count(self, snapshot: Snapshot) -> int:
        return snapshot.fetch_number("SELECT count(*) FROM agents")

    def ids_with_same_names(self, objects: Sequence[SourceObject[Agent]]) -> set[str]:
        return set(rows_with_same_names([one.target for one in objects]).values())

    def resolve_conflicts(
        self, objects: Sequence[SourceObject[Agent]], report: Report, *, to_delete: Collection[str]
    ) -> None:
        rename_conflicting(
            [one.target for one in objects], self.name, report, to_delete=to_delete, max_length=_MAX_NAME_LENGTH
        )

    def save(
        self, *, actor: Actor, new: Sequence[SourceObject[Agent]], changed: Sequence[ChangedObject[Agent, Agent]]
    ) -> None:
        bulk_import.import_agents(actor=actor, new=[one.target for one in new], changed=row_updates(changed))

    def remove(self, *, actor: Actor, object_ids: Collection[str]) -> None:
        for agent in Agent.unscoped.filter(pk__in=object_ids):
            agents.delete_agent(actor=actor, agent=agent)

    def differences(self, existing: Agent, source: SourceObject[Agent]) -> list[str]:
        fields = ("tenant_id", "name", "description", "template_id", "status", "created_at")
        differ = differing_fields(existing, source.target, fields)
        if audit.differ(secrets.comparable(existing.config), secrets.comparable(source.target.config)):
            differ.append("config")
        return differ

    def report_orphans(self, snapshot: Snapshot, report: Report) -> None:
        for row in snapshot.rows(
            "SELECT id, tenant_id FROM agents WHERE tenant_id IS NULL OR tenant_id NOT IN (SELECT id FROM tenant_ids)"
        ):
            notes = report.notes_for(self.name, row["id"], row["tenant_id"])
            notes.refuse(Reason.REFERS_TO_NOTHING, f"there is no tenant {row['tenant_id']}")
        for table in configs.CONFIG_TABLES:
            query = f'SELECT count(*) FROM "{table}" WHERE NOT EXISTS (SELECT 1 FROM agents WHERE id = agent_id)'
            if number := snapshot.fetch_number(query):
                notes = report.notes_for(self.name, table, None)
                notes.add(Reason.REFERS_TO_NOTHING, f"{number} rows of {table} refer to agents that do not exist")


def _config_rows(snapshot: Snapshot, agents: Sequence[Row]) -> dict[str, dict[str, list[Row]]]:
    """Return the rows of the config tables, by agent and table."""
    by_agent: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    ids = [row["id"] for row in agents]
    for table in configs.CONFIG_TABLES:
        query = f'SELECT * FROM "{table}" WHERE agent_id IN ({placeholders(ids)}) ORDER BY created_at, id'
        for row in snapshot.rows(query, ids):
            by_agent[row["agent_id"]][table].append(row)
    return by_agent


def _agent(
    row: Row, tables: Mapping[str, Sequence[Row]], notes: Notes, *, other_name: str | None
) -> SourceObject[Agent] | None:
    if not check_id(row["id"], notes):
        return None
    result = import_config(configs.build_config(read_json(row, "config", notes), tables, notes))
    for reason, errors in ((Reason.CONFIG_LEFT_OUT, result.left_out), (Reason.CONFIG_WARNING, result.warnings)):
        sentences = [f"{place}: {', '.join(sentences)}" for place, sentences in errors.items()]
        if sentences:
            more = f"; and {len(sentences) - _SHOWN_WARNINGS} more" if len(sentences) > _SHOWN_WARNINGS else ""
            notes.add(reason, "; ".join(sentences[:_SHOWN_WARNINGS]) + more)
    agent = Agent(
        id=row["id"],
        tenant_id=row["tenant_id"],
        description=read_text(row, "description", notes),
        template_id=_template_id(row, notes),
        config=result.config,
        status=read_status(row, AgentStatus, AgentStatus.INACTIVE, notes),
        created_at=read_time(row, "created_at", notes),
        updated_at=read_time(row, "updated_at", notes),
    )
    name = names.valid_name(parse_text(row["name"]), agent.id, max_length=_MAX_NAME_LENGTH)
    agent.set_name(name.text)
    if name.problem:
        notes.add(Reason.RENAMED, f"{name.problem}; it is now {name.text}")
    if other_name:
        rename(agent, other_name, "an older agent of the tenant has this name", notes)
    fields = ("name", "tenant_id", "description", "template_id", "config", "status", "created_at")
    return SourceObject(agent.id, agent.tenant_id, agent, {field: getattr(agent, field) for field in fields})


def _template_id(row: Row, notes: Notes) -> str | None:
    """Return the template id, even if it names no template."""
    template_id = parse_text(row.get("template_id")) or None
    if template_id is not None and len(template_id) > 50:
        notes.add(Reason.CHANGED_TEXT, "template_id was longer than 50 characters, and was left out")
        return None
    return template_id
