"""A guard against importing an older copy of a database, such as a restored backup.

A backup has nearly every object, so it would hardly be noticed by removals. But keys that were revoked since are still
good in it. So each import records the newest rows of some tables, and the next import compares them.
"""

from __future__ import annotations

from datetime import datetime

from core.db import transactional
from legacy.models import NewestRow
from legacy.parsing import UnreadableValue, parse_datetime
from legacy.snapshot import Snapshot
from legacy.sources import SourceError

_TABLES = ("people", "tenants", "agents", "api_keys")  # as a snapshot names them
_ROWS_PER_TABLE = 20  # several, because some may be deleted until the next import


def check_freshness(snapshot: Snapshot) -> None:
    """Raise SourceError for a database that is older than the one that was imported last.

    It is older if a recorded row was changed earlier in it, or if it has no recorded row and no row as new as those.
    """
    for table in _TABLES:
        recorded = _recorded_changes(table)
        current = _changes(snapshot, table)
        older = [object_id for object_id, time in recorded.items() if time > current.get(object_id, time)]
        if older:
            changed, imported = current[older[0]], recorded[older[0]]
            found = f"{older[0]} of {table} was last changed at {changed}, but at {imported} in that one"
        elif current and recorded and _is_older(current, recorded):
            changed, imported = max(current.values()), max(recorded.values())
            found = f"the newest of {table} was last changed at {changed}, but at {imported} in that one"
        else:
            continue
        raise SourceError(
            f"This is an older copy of the database that was imported last: {found}. Keys that were revoked "
            "since would be good again. Nothing was written. If the old services have gone back to this copy, run it "
            "again with --allow-older"
        )


def _is_older(current: dict[str, datetime], recorded: dict[str, datetime]) -> bool:
    return current.keys().isdisjoint(recorded) and max(current.values()) < min(recorded.values())


@transactional
def record_newest_rows(snapshot: Snapshot) -> None:
    """Record the newest rows of each table, in place of those of the last import. A table without rows is skipped."""
    for table in _TABLES:
        newest = dict(sorted(_changes(snapshot, table).items(), key=lambda row: row[::-1])[-_ROWS_PER_TABLE:])
        if newest and newest != _recorded_changes(table):
            NewestRow.objects.filter(table=table).delete()
            NewestRow.objects.bulk_create(
                NewestRow(table=table, object_id=object_id, updated_at=changed) for object_id, changed in newest.items()
            )


def _recorded_changes(table: str) -> dict[str, datetime]:
    return {row.object_id: row.updated_at for row in NewestRow.objects.filter(table=table)}


def _changes(snapshot: Snapshot, table: str) -> dict[str, datetime]:
    """Return the readable `updated_at` of each row, by id. It is empty for a table without that column."""
    if all(column["name"] != "updated_at" for column in snapshot.rows(f"PRAGMA table_info({table})")):
        return {}
    changes = dict[str, datetime]()
    for row in snapshot.rows(f"SELECT id, updated_at FROM {table} WHERE updated_at IS NOT NULL AND length(id) <= 160"):
        try:
            changed = parse_datetime(row["updated_at"])
        except UnreadableValue:
            continue
        if changed is not None and row["id"]:
            changes[str(row["id"])] = changed
    return changes
