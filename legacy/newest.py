"""The newest rows of the old databases at the last import, by which an older copy of one is recognised.

A backup that was restored has nearly everything, so that few removals betray it. But in it keys are good that were
revoked since.
"""

from __future__ import annotations

from datetime import datetime

from core.db import transactional
from legacy.models import NewestRow
from legacy.snapshot import Snapshot
from legacy.sources import SourceError
from legacy.values import Unreadable, moment

_TABLES = ("people", "tenants", "agents", "api_keys")  # as a snapshot names them
_NUMBER = 20  # of each table, so that some are still there although others were deleted


def check_newest(old: Snapshot) -> None:
    """Raise SourceError for a database that is older than the one that was imported last.

    It is if one of the newest rows of then was changed earlier in it, or if it has none of them and nothing as new.
    """
    for table in _TABLES:
        then = _recorded(table)
        there = _changes(old, table)
        older = [object_id for object_id, changed in then.items() if changed > there.get(object_id, changed)]
        if older:
            found = f"{older[0]} of {table} was last changed at {there[older[0]]}, and at {then[older[0]]}"
        elif there and then and there.keys().isdisjoint(then) and max(there.values()) < min(then.values()):
            found = f"the newest of {table} was last changed at {max(there.values())}, and at {max(then.values())}"
        else:
            continue
        raise SourceError(
            f"This is an older copy of the database that was imported last: {found} in that. Keys that were revoked "
            "since would be good again. Nothing was written. If the old services have gone back to this copy, run it "
            "again with --allow-older"
        )


@transactional
def record_newest(old: Snapshot) -> None:
    """Record the newest rows of the tables that have any, in the place of those of the last import."""
    for table in _TABLES:
        newest = dict(sorted(_changes(old, table).items(), key=lambda row: row[::-1])[-_NUMBER:])
        if newest and newest != _recorded(table):
            NewestRow.objects.filter(table=table).delete()
            NewestRow.objects.bulk_create(
                NewestRow(table=table, object_id=object_id, updated_at=changed) for object_id, changed in newest.items()
            )


def _recorded(table: str) -> dict[str, datetime]:
    return {row.object_id: row.updated_at for row in NewestRow.objects.filter(table=table)}


def _changes(old: Snapshot, table: str) -> dict[str, datetime]:
    """Return when each row of a table was last changed, where it says so."""
    if all(column["name"] != "updated_at" for column in old.rows(f"PRAGMA table_info({table})")):
        return {}
    found = dict[str, datetime]()
    for row in old.rows(f"SELECT id, updated_at FROM {table} WHERE updated_at IS NOT NULL AND length(id) <= 160"):
        try:
            changed = moment(row["updated_at"])
        except Unreadable:
            continue
        if changed is not None and row["id"]:
            found[str(row["id"])] = changed
    return found
