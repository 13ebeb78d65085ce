"""Lists of large tables: far pages are found in an index, and totals come from `core.counts`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from django.db.models import Model, QuerySet

M = TypeVar("M", bound=Model)
# Rows that a page may pass over whole. Beyond that their ids are read first, from an index.
NEAR = 200


class LargeList(Generic[M]):
    """A queryset for paginated lists. `total` returns its length, which would take long to count."""

    def __init__(self, rows: QuerySet[M], total: Callable[[], int]) -> None:
        self._rows, self.count = rows, total

    def __getitem__(self, part: slice) -> Sequence[M]:
        return list(far_slice(self._rows, part))

    def after(self, cursor: Any) -> LargeList[M]:
        """Return the rows with greater ids, ordered by id."""
        return LargeList(self._rows.filter(pk__gt=cursor).order_by("pk"), self.count)


def far_slice(rows: QuerySet[M], part: slice) -> QuerySet[M]:
    """Return a slice of the rows. Of a far one the database reads the ids alone of the rows before it."""
    if (part.start or 0) < NEAR:
        return rows[part]
    ids = rows.prefetch_related(None).values_list("pk", flat=True)[part]
    return rows.filter(pk__in=list(ids))
