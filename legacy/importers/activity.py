"""Heartbeats of agents, as far as they still count."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from django.utils import timezone

from agents import bulk_import
from agents.models import AgentActivity
from core.actor import Actor
from legacy import values
from legacy.importers.base import Changed, Found, Kind, in_chunks, marks, rows_wanted
from legacy.reports import Notes, Reason, Report
from legacy.snapshot import Snapshot
from legacy.values import Row, Unreadable

_MAX_TTL = 366 * 24 * 3600


class Activity(Kind[AgentActivity, AgentActivity]):
    """They go by their agent. One that is over is as none: it is not read."""

    name = "activity"
    model = AgentActivity
    goes_with_agent = True
    has_own_id = False
    is_lasting = False  # those that are over are swept

    def found(self, old: Snapshot, tenants: Collection[str], report: Report) -> Iterator[list[Found[AgentActivity]]]:
        seen: set[str] = set()

        def convert(row: Row) -> Found[AgentActivity] | None:
            found = activity_of(row, report.about(self.name, row["agent_id"], row["tenant_id"]))
            if found is None or found.object_id in seen:
                return None
            seen.add(found.object_id)
            return found

        wanted = (
            "SELECT activity.* FROM agent_active_states activity JOIN agents"
            " ON agents.id = activity.agent_id AND agents.tenant_id = activity.tenant_id"
            f" WHERE activity.tenant_id IN ({marks(tenants)}) AND activity.expires_at > ?"
            " ORDER BY activity.expires_at DESC"
        )
        return in_chunks(old.rows(wanted, [*tenants, now_text()]), convert)

    def places(self, old: Snapshot, tenants: Collection[str]) -> Iterator[tuple[str, str | None]]:
        return iter(())

    def number(self, old: Snapshot) -> int:
        return old.number("SELECT count(*) FROM agent_active_states WHERE expires_at > ?", [now_text()])

    def adopt(
        self,
        *,
        actor: Actor,
        new: Sequence[Found[AgentActivity]],
        changed: Sequence[Changed[AgentActivity, AgentActivity]],
    ) -> None:
        bulk_import.import_activity(new=[one.wanted for one in new], changed=rows_wanted(changed))

    def remove(self, *, actor: Actor, object_ids: Collection[str]) -> None:
        """Nothing: they end by themselves."""

    def differences(self, stored: AgentActivity, found: Found[AgentActivity]) -> list[str]:
        """A later one was sent here."""
        return ["last_seen_at"] if stored.last_seen_at < found.wanted.last_seen_at else []

    def orphans(self, old: Snapshot, report: Report) -> None:
        for row in old.rows(
            "SELECT activity.agent_id, activity.tenant_id FROM agent_active_states activity LEFT JOIN agents"
            " ON agents.id = activity.agent_id AND agents.tenant_id = activity.tenant_id"
            " WHERE activity.expires_at > ? AND (agents.id IS NULL OR"
            " activity.tenant_id NOT IN (SELECT id FROM tenant_ids))",
            [now_text()],
        ):
            notes = report.about(self.name, row["agent_id"], row["tenant_id"])
            notes.refused(Reason.REFERS_TO_NOTHING, f"the tenant has no agent {row['agent_id']}")


def activity_of(row: Row, notes: Notes) -> Found[AgentActivity] | None:
    try:
        seen_at, expires_at = values.moment(row.get("last_seen_at")), values.moment(row["expires_at"])
        ttl = values.number(row.get("ttl_seconds"))
        if seen_at is None or expires_at is None or not 0 < ttl <= _MAX_TTL:
            raise Unreadable("it has no time, or lasts longer than a year")
    except Unreadable as error:
        notes.refused(Reason.BAD_TIME, str(error))
        return None
    activity = AgentActivity(
        agent_id=row["agent_id"],
        tenant_id=row["tenant_id"],
        last_seen_at=seen_at,
        ttl_seconds=ttl,
        expires_at=expires_at,
    )
    told = {"last_seen_at": seen_at, "ttl_seconds": ttl, "expires_at": expires_at}
    return Found(activity.agent_id, activity.tenant_id, activity, told, agent_id=activity.agent_id)


def now_text() -> str:
    """As the old databases write it, to be compared as text."""
    return timezone.now().replace(tzinfo=None).isoformat(" ")
