"""Lists of large tables: far pages are found in an index, and totals come from `core.counts`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from django.db.models import Model, QuerySet

M = TypeVar("M", bound=Model)
# Rows that a page may pass over whole. Beyond that their ids are read first, from an index.
NEAR = 200


class LargeList(Generic[M]):
    """A queryset for paginated lists. `total` returns its length, where counting it would take long."""

    def __init__(self, rows: QuerySet[M], total: Callable[[], int] | None = None) -> None:
        self._rows, self.count = rows, total or rows.count

    def __getitem__(self, part: slice) -> Sequence[M]:
        if part.start < NEAR:
            return list(self._rows[part])
        return rows_in_order(self._rows, list(ids_of(self._rows)[part]))

    def after(self, cursor: Any) -> LargeList[M]:
        """Return the rows with greater ids, ordered by id."""
        return LargeList(self._rows.filter(pk__gt=cursor).order_by("pk"), self.count)


def ids_of(rows: QuerySet[Any]) -> QuerySet[Any, Any]:
    """Return the ids of the rows alone.

    MariaDB finds them in an index, and does not begin with a table that the rows are joined with.
    """
    return rows.select_related(None).prefetch_related(None).values_list("pk", flat=True)


def rows_in_order(rows: QuerySet[M], ids: Sequence[Any]) -> list[M]:
    """Return the rows with these ids, in their order, without those that are gone."""
    # Not in the order of the queryset, for which MariaDB may read all its rows instead of these.
    found = {row.pk: row for row in rows.filter(pk__in=ids).order_by()}
    return [found[row_id] for row_id in ids if row_id in found]
