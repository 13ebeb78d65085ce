"""Lists of large tables: far pages are found in an index, and totals come from `core.counts`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, NamedTuple, TypeVar

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import Model, QuerySet
from django.db.models.functions import Coalesce
from django.db.models.lookups import GreaterThanOrEqual, LessThan

M = TypeVar("M", bound=Model)
R = TypeVar("R")
# Rows that a page may pass over whole. Beyond that their ids are read first, from an index.
NEAR = 200
# Clocks of machines differ by less, so that a row of a log with a greater id is not older by more.
CLOCK_SKEW = timedelta(minutes=1)
LATEST = datetime.max.replace(tzinfo=UTC) - CLOCK_SKEW


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


class LogList(LargeList[M]):
    """A log, whose rows are always found by their ids first.

    MariaDB reads the ids from the cursor on, in an index that ends with them. For whole rows it would begin at an end
    of the log, and pass over all that come before.
    """

    def __getitem__(self, part: slice) -> Sequence[M]:
        return rows_in_order(self._rows, list(ids_of(self._rows)[part]))

    def after(self, cursor: Any) -> LogList[M]:
        """Return the rows with greater ids, ordered by id.

        A column before the id in the order (`filter_in_index`) has one value, so its direction makes no difference.
        """
        ascending = [str(term).removeprefix("-") for term in self._rows.query.order_by]
        return LogList(self._rows.filter(pk__gt=cursor).order_by(*ascending))


def filter_in_index(rows: QuerySet[M], column: str, value: Any) -> QuerySet[M]:
    """Filter ordered rows by the value of a column, so that the database reads an index that begins with the column.

    The column is compared as a range, and comes first in the order. With an equality, MariaDB may read the whole log
    from its end instead, because it expects matches there; a tenant that is quiet now has none near the end.
    """
    order = [str(term) for term in rows.query.order_by]
    direction = "-" if order[0].startswith("-") else ""
    matching = rows.filter(**{f"{column}__gte": value, f"{column}__lte": value})
    return matching.order_by(f"{direction}{column}", *order)


def newest_with(log: QuerySet[M], **values: Any) -> QuerySet[M]:
    """Return the rows of a log that have these values, the newest first. A value of None is no condition.

    The first given column decides which index is read (`filter_in_index`), so name the most selective one first.
    """
    given = {name: value for name, value in values.items() if value is not None}
    rows = log.order_by("-id")
    if not given:
        return rows
    first = next(iter(given))
    return filter_in_index(rows, first, given.pop(first)).filter(**given)


class Sample(NamedTuple, Generic[R]):
    """The first of some rows, and whether there are more, which nobody has counted."""

    rows: list[R]
    has_more: bool


def sample_of(rows: QuerySet[M], limit: int) -> Sample[M]:
    """Return at most so many rows of a queryset."""
    found = list(rows[: limit + 1])
    return Sample(found[:limit], len(found) > limit)


def ids_of(rows: QuerySet[Any]) -> QuerySet[Any, Any]:
    """Return the ids of the rows alone.

    MariaDB finds them in an index, and does not begin with a table that the rows are joined with.
    """
    return rows.select_related(None).prefetch_related(None).values_list("pk", flat=True)


def ids_of_all(slices: Iterable[QuerySet[Any, Any]]) -> list[Any]:
    """Return the ids that each of these slices of `ids_of` has, one slice after the other, by one statement.

    Each part finds its rows in an index of its own, where MariaDB would sort all that fit any of several conditions.
    """
    parts, params = list[str](), list[Any]()
    for each in slices:
        with suppress(EmptyResultSet):
            sql, values = each.query.sql_with_params()
            # Within another, because SQLite takes no LIMIT in a union.
            parts.append(f"SELECT * FROM ({sql}) AS part_{len(parts)}")  # noqa: S608  # Django wrote it
            params += values
    if not parts:
        return []
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts), params)
        return [row[0] for row in cursor.fetchall()]


def rows_in_order(rows: QuerySet[M], ids: Sequence[Any]) -> list[M]:
    """Return the rows with these ids, in their order, without those that are gone."""
    # Not in the order of the queryset, for which MariaDB may read all its rows instead of these.
    found = {row.pk: row for row in rows.filter(pk__in=ids).order_by()}
    return [found[row_id] for row_id in ids if row_id in found]


def in_period(
    rows: QuerySet[M], log: QuerySet[M], field: str, since: datetime | None, until: datetime | None
) -> QuerySet[M]:
    """Return those rows of a log whose time is in a period, without its end.

    `log` has all rows of the log, and an index of the time. It narrows the rows down by their ids, because the indexes
    of other filters end with these. The times themselves are compared as expressions, for which no index is chosen:
    MariaDB would now and then read the whole period by them, and sort it.
    """
    time = Coalesce(field, field)
    ids = log.order_by().values_list("pk", flat=True)
    if since is not None:
        rows = rows.filter(GreaterThanOrEqual(time, since))
        earlier = ids.filter(**{f"{field}__lt": since - CLOCK_SKEW}).order_by(f"-{field}").first()
        rows = rows if earlier is None else rows.filter(pk__gt=earlier)
    if until is not None:
        rows = rows.filter(LessThan(time, until))
        # Nothing is later than the last times that can be written.
        later = None if until > LATEST else ids.filter(**{f"{field}__gte": until + CLOCK_SKEW}).order_by(field).first()
        rows = rows if later is None else rows.filter(pk__lt=later)
    return rows
