"""The importer of heartbeats that have not expired."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from django.utils import timezone

from agents import bulk_import
from agents.models import AgentActivity
from core.actor import Actor
from legacy.importers.base import ChangedObject, Importer, SourceObject, chunked, placeholders, row_updates
from legacy.parsing import Row, UnreadableValue, parse_count, parse_datetime
from legacy.reports import Notes, Reason, Report
from legacy.snapshot import Snapshot

_MAX_TTL = 366 * 24 * 3600


class ActivityImporter(Importer[AgentActivity, AgentActivity]):
    """An importer of heartbeats. Their id is the agent's. An expired one counts as none."""

    name = "activity"
    model = AgentActivity
    belongs_to_agent = True
    has_own_id = False
    is_permanent = False  # expired heartbeats are swept

    def read(
        self, snapshot: Snapshot, tenant_ids: Collection[str], report: Report
    ) -> Iterator[list[SourceObject[AgentActivity]]]:
        seen: set[str] = set()

        def convert(row: Row) -> SourceObject[AgentActivity] | None:
            source = activity_of(row, report.notes_for(self.name, row["agent_id"], row["tenant_id"]))
            if source is None or source.object_id in seen:
                return None
            seen.add(source.object_id)
            return source

        query = (
            "SELECT activity.* FROM agent_active_states activity JOIN agents"
            " ON agents.id = activity.agent_id AND agents.tenant_id = activity.tenant_id"
            f" WHERE activity.tenant_id IN ({placeholders(tenant_ids)}) AND activity.expires_at > ?"
            " ORDER BY activity.expires_at DESC"
        )
        return chunked(snapshot.rows(query, [*tenant_ids, now_text()]), convert)

    def ids_with_owner(self, snapshot: Snapshot, tenant_ids: Collection[str]) -> Iterator[tuple[str, str | None]]:
        return iter(())

    def count(self, snapshot: Snapshot) -> int:
        return snapshot.fetch_number("SELECT count(*) FROM agent_active_states WHERE expires_at > ?", [now_text()])

    def save(
        self,
        *,
        actor: Actor,
        new: Sequence[SourceObject[AgentActivity]],
        changed: Sequence[ChangedObject[AgentActivity, AgentActivity]],
    ) -> None:
        bulk_import.import_activity(new=[one.target for one in new], changed=row_updates(changed))

    def remove(self, *, actor: Actor, object_ids: Collection[str]) -> None:
        """Do nothing, because heartbeats expire."""

    def differences(self, existing: AgentActivity, source: SourceObject[AgentActivity]) -> list[str]:
        """Return a difference unless maim has this heartbeat or a later one."""
        return ["last_seen_at"] if existing.last_seen_at < source.target.last_seen_at else []

    def report_orphans(self, snapshot: Snapshot, report: Report) -> None:
        for row in snapshot.rows(
            "SELECT activity.agent_id, activity.tenant_id FROM agent_active_states activity LEFT JOIN agents"
            " ON agents.id = activity.agent_id AND agents.tenant_id = activity.tenant_id"
            " WHERE activity.expires_at > ? AND (agents.id IS NULL OR"
            " activity.tenant_id NOT IN (SELECT id FROM tenant_ids))",
            [now_text()],
        ):
            notes = report.notes_for(self.name, row["agent_id"], row["tenant_id"])
            notes.refuse(Reason.REFERS_TO_NOTHING, f"the tenant has no agent {row['agent_id']}")


def activity_of(row: Row, notes: Notes) -> SourceObject[AgentActivity] | None:
    """Return the heartbeat of a row. Refuse it if its times cannot be read."""
    try:
        seen_at, expires_at = parse_datetime(row.get("last_seen_at")), parse_datetime(row["expires_at"])
        ttl = parse_count(row.get("ttl_seconds"))
        if seen_at is None or expires_at is None or not 0 < ttl <= _MAX_TTL:
            raise UnreadableValue("it has no time, or lasts longer than a year")
    except UnreadableValue as error:
        notes.refuse(Reason.BAD_TIME, str(error))
        return None
    activity = AgentActivity(
        agent_id=row["agent_id"],
        tenant_id=row["tenant_id"],
        last_seen_at=seen_at,
        ttl_seconds=ttl,
        expires_at=expires_at,
    )
    source_values = {"last_seen_at": seen_at, "ttl_seconds": ttl, "expires_at": expires_at}
    return SourceObject(activity.agent_id, activity.tenant_id, activity, source_values, agent_id=activity.agent_id)


def now_text() -> str:
    """Return the current time as the old databases write it, so that it can be compared as text."""
    return timezone.now().replace(tzinfo=None).isoformat(" ")
