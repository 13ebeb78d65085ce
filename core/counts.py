"""Numbers of tenants, agents and API keys, kept with every write so that no list has to count its rows.

A service that inserts, deletes or moves such rows, or changes their status, says so here: with `add` and `remove`, for
one row or many. The numbers are written at the end of its transaction, in one order for all, so that writers neither
deadlock nor wait for each other for long. Of a tenant's keys each agent adds to one of SLOTS, because the keys of one
agent are written one after the other anyway.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import chain
from typing import Any, NamedTuple, Protocol, TypeVar
from zlib import crc32

from django.db import connection
from django.db.models import Count, QuerySet, Sum

from core import epoch
from core.models import RowCount

M = TypeVar("M", bound=Any)
SLOTS = 8
Kind = RowCount.Kind

_BATCH = 500
_INSERT = "INSERT INTO common_rowcount (tenant_id, kind, agent_id, status, slot, number)"
_ADD = {
    "mysql": "ON DUPLICATE KEY UPDATE number = number + VALUES(number)",
    "sqlite": "ON CONFLICT (tenant_id, kind, agent_id, status, slot) DO UPDATE SET number = number + excluded.number",
}


class Group(NamedTuple):
    """Rows that are counted together."""

    tenant_id: str
    kind: str
    agent_id: str = ""
    status: str = ""
    slot: int = 0


class Counted(Protocol):
    """A row that is counted."""

    def count_groups(self) -> Collection[Group]:
        """Return the groups that the row belongs to."""


def slot_of(row_id: str) -> int:
    """Return the slot for what belongs to this row."""
    return crc32(row_id.encode()) % SLOTS


def add(*rows: Counted) -> None:
    """Count rows that the service has inserted, or rows as the service leaves them."""
    epoch.sum_up(write, _groups_of(rows))


def remove(*rows: Counted) -> None:
    """Count rows no longer that the service deletes, or rows as they were."""
    epoch.sum_up(write, _negative(_groups_of(rows)))


def remove_stored(rows: Sequence[M]) -> list[M]:
    """Count rows no longer as they are stored, and lock them. Return those that still exist.

    For services that have read the rows before their transaction, since when others may have changed them.
    """
    if not rows:
        return []
    stored = type(rows[0])._base_manager.filter(pk__in=[row.pk for row in rows]).order_by("pk").select_for_update()
    now = {row.pk: row for row in stored}
    remove(*now.values())
    return [row for row in rows if row.pk in now]


def remove_agent(agent: Any, keys: QuerySet[Any]) -> None:
    """Count an agent no longer that the service deletes with its keys, which are locked."""
    sums = _groups_of([agent])
    for values in keys.order_by().values("tenant_id", "agent_id", "status").annotate(rows=Count("pk")):
        number = values.pop("rows")
        sums.update(dict.fromkeys(keys.model(**values).count_groups(), number))
    epoch.sum_up(write, _negative(sums))
    epoch.sum_up(_forget, Counter([(agent.tenant_id, agent.pk)]))


def remove_tenant(tenant: Any) -> None:
    """Count a tenant no longer that the service deletes with everything in it."""
    remove(tenant)
    epoch.sum_up(_forget, Counter([(tenant.pk, None)]))


def total(kind: RowCount.Kind, tenant_ids: Collection[str], *, agent_id: str = "", status: str | None = None) -> int:
    """Return the number of these tenants' rows of a kind: of all, or of those with a status."""
    rows = RowCount.objects.filter(tenant_id__in=tenant_ids, kind=kind, agent_id=agent_id)
    if status is not None:
        rows = rows.filter(status=status)
    number: int | None = rows.aggregate(number=Sum("number"))["number"]
    return number or 0


def write(sums: Counter[Group]) -> None:
    """Add to the stored numbers."""
    changed = [(*group, number) for group, number in sorted(sums.items()) if number]
    with connection.cursor() as cursor:
        for first in range(0, len(changed), _BATCH):
            batch = changed[first : first + _BATCH]
            places = ", ".join(["(%s, %s, %s, %s, %s, %s)"] * len(batch))
            cursor.execute(f"{_INSERT} VALUES {places} {_ADD[connection.vendor]}", list(chain.from_iterable(batch)))


def _forget(subjects: Counter[tuple[str, str | None]]) -> None:
    """Delete the numbers of agents' keys, and with None those of a whole tenant."""
    for tenant_id, agent_id in subjects:
        rows = RowCount.objects.filter(tenant_id=tenant_id)
        (rows if agent_id is None else rows.filter(kind=Kind.KEYS, agent_id=agent_id)).delete()


def _groups_of(rows: Collection[Counted]) -> Counter[Group]:
    return Counter(group for row in rows for group in row.count_groups())


def _negative(sums: Counter[Group]) -> Counter[Group]:
    return Counter({group: -number for group, number in sums.items()})
