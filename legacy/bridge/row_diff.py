"""The writes that turn existing rows of the old database into target rows.

Values are compared by their meaning: 1 equals True, a number equals what a FLOAT keeps of it, and JSON may be formatted
in any way.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.utils import timezone

from legacy.bridge.database import Action, Column, LegacyDatabase, Write
from legacy.configs import FLOAT_TOLERANCE
from legacy.parsing import Row, UnreadableValue, parse_bool, parse_datetime, parse_json

_NOT_COMPARED = ("id", "created_at", "updated_at")


class JsonValue(NamedTuple):
    """A value that a column stores as JSON text."""

    value: Any


def diff_rows(
    database: LegacyDatabase,
    table: str,
    target: Sequence[Row],
    existing: Sequence[Row],
    *,
    key: Sequence[str] = ("id",),
) -> list[Write]:
    """Return the writes after which the table has the target rows in place of the existing ones.

    `key` names the columns that identify a row. Of several existing rows with the same key, the latest stays. Columns
    that the table does not have are left out. Deletions come first, because an insert may need their place in a unique
    index.
    """
    columns = database.tables.get(table)
    if columns is None:
        return []
    by_key = defaultdict[tuple[str, ...], list[Row]](list)
    for row in sorted(existing, key=lambda row: (str(row.get("updated_at")), str(row["id"])), reverse=True):
        by_key[_key(row, key)].append(row)
    updates, inserts = list[Write](), list[Write]()
    for row in target:
        fitted = {name: _cut(value, columns[name]) for name, value in row.items() if name in columns}
        same_key = by_key.get(_key(fitted, key))
        if not same_key:
            inserts.append(Write(Action.INSERT, table, fitted["id"], _with_times(fitted, columns, is_new=True)))
            continue
        current = same_key.pop(0)
        compared = {name: value for name, value in fitted.items() if name not in (*_NOT_COMPARED, *key)}
        changes = {name: value for name, value in compared.items() if not column_equals(value, current.get(name))}
        if changes:
            updates.append(Write(Action.UPDATE, table, current["id"], _with_times(changes, columns, is_new=False)))
    deletes = [Write(Action.DELETE, table, row["id"]) for rows in by_key.values() for row in rows]
    return [*deletes, *updates, *inserts]


def column_equals(target: Any, existing: Any) -> bool:
    """Return whether a column holds the target value, with the precision of the column."""
    try:
        if isinstance(target, JsonValue):
            return _canonical(parse_json(existing)) == _canonical(target.value)
        if target is None or existing is None:
            return target is existing
        if isinstance(target, bool):
            return parse_bool(existing) == target
        if isinstance(target, datetime):
            return _is_same_time(target, parse_datetime(existing))
        is_number = isinstance(target, int | float)
        return math.isclose(float(existing), target, rel_tol=FLOAT_TOLERANCE) if is_number else str(existing) == target
    except (UnreadableValue, ValueError):
        return False


def _is_same_time(target: datetime, existing: datetime | None) -> bool:
    """Return whether two times are at most a second apart, because MySQL's DATETIME has whole seconds."""
    return existing is not None and abs((existing - target).total_seconds()) <= 1


def _cut(value: Any, column: Column) -> Any:
    if isinstance(value, str) and column.length is not None:
        return value[: column.length]
    return value


def _key(row: Mapping[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(row.get(name)) for name in names)


def _with_times(row: Row, columns: Mapping[str, Column], *, is_new: bool) -> Row:
    """Return a row as the database stores it, with its times."""
    now = timezone.now()
    times = {"created_at": row.get("created_at", now), "updated_at": now} if is_new else {"updated_at": now}
    full = {**row, **{name: value for name, value in times.items() if name in columns}}
    return {name: _plain(value) for name, value in full.items() if name != "id"}


def _plain(value: Any) -> Any:
    if isinstance(value, JsonValue):
        return None if value.value is None else json.dumps(value.value, ensure_ascii=False)
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
    return int(value) if isinstance(value, bool) else value


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
