"""What has to be written so that rows of the old database become what is wanted.

Rows are compared by what they mean: 1 and True, a number and what a FLOAT keeps of it, JSON however it is spelled.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.utils import timezone

from legacy import values
from legacy.bridge.target import Action, Column, Target, Write
from legacy.configs import PRECISION
from legacy.values import Row, Unreadable

_NOT_COMPARED = ("id", "created_at", "updated_at")


class Json(NamedTuple):
    """A value that a column holds as JSON text."""

    value: Any


def writes_for(
    target: Target, table: str, wanted: Sequence[Row], found: Sequence[Row], *, key: Sequence[str] = ("id",)
) -> list[Write]:
    """Return the writes after which the table has the wanted rows in the place of those found.

    `key` tells which row is which; of several found rows with the same key, the latest stays. Columns that the table
    does not have are left out. Deletions come first: an insert may need their place in a unique index.
    """
    columns = target.tables.get(table)
    if columns is None:
        return []
    by_key = defaultdict[tuple[str, ...], list[Row]](list)
    for row in sorted(found, key=lambda row: (str(row.get("updated_at")), str(row["id"])), reverse=True):
        by_key[_key(row, key)].append(row)
    updates, inserts = list[Write](), list[Write]()
    for row in wanted:
        fitting = {name: _fitted(value, columns[name]) for name, value in row.items() if name in columns}
        old = by_key.get(_key(fitting, key))
        if not old:
            inserts.append(Write(Action.INSERT, table, fitting["id"], _stored(fitting, columns, is_new=True)))
            continue
        current = old.pop(0)
        compared = {name: value for name, value in fitting.items() if name not in (*_NOT_COMPARED, *key)}
        changes = {name: value for name, value in compared.items() if not is_same(value, current.get(name))}
        if changes:
            updates.append(Write(Action.UPDATE, table, current["id"], _stored(changes, columns, is_new=False)))
    deletes = [Write(Action.DELETE, table, row["id"]) for rows in by_key.values() for row in rows]
    return [*deletes, *updates, *inserts]


def is_same(wanted: Any, found: Any) -> bool:
    """Tell whether a column holds a wanted value, as precisely as it can."""
    try:
        if isinstance(wanted, Json):
            return _canonical(values.document(found)) == _canonical(wanted.value)
        if wanted is None or found is None:
            return wanted is found
        if isinstance(wanted, bool):
            return values.flag(found) == wanted
        if isinstance(wanted, datetime):
            return _is_same_moment(wanted, values.moment(found))
        is_number = isinstance(wanted, int | float)
        return math.isclose(float(found), wanted, rel_tol=PRECISION) if is_number else str(found) == wanted
    except (Unreadable, ValueError):
        return False


def _is_same_moment(wanted: datetime, found: datetime | None) -> bool:
    """A DATETIME of MySQL has whole seconds."""
    return found is not None and abs((found - wanted).total_seconds()) <= 1


def _fitted(value: Any, column: Column) -> Any:
    if isinstance(value, str) and column.length is not None:
        return value[: column.length]
    return value


def _key(row: Mapping[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(row.get(name)) for name in names)


def _stored(row: Row, columns: Mapping[str, Column], *, is_new: bool) -> Row:
    """A row as the database takes it, with its times."""
    now = timezone.now()
    times = {"created_at": row.get("created_at", now), "updated_at": now} if is_new else {"updated_at": now}
    full = {**row, **{name: value for name, value in times.items() if name in columns}}
    return {name: _plain(value) for name, value in full.items() if name != "id"}


def _plain(value: Any) -> Any:
    if isinstance(value, Json):
        return None if value.value is None else json.dumps(value.value, ensure_ascii=False)
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
    return int(value) if isinstance(value, bool) else value


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
