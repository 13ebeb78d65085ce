"""Queries whose SQL the ORM writes once, and the database driver runs many times.

The ORM takes longer to write the SQL of a small query than the database takes to run it, so the frequent ones are
prepared: `prepared_query` returns models, `prepared_sql` the SQL for those who need a few columns only. Their writes
are in core.prepared_writes (docs/decisions/0020-reads-below-django.md).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache, wraps
from itertools import chain
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import Model, QuerySet
from django.db.models.query import get_related_populators
from django.db.transaction import TransactionManagementError

M = TypeVar("M", bound=Model)
P = ParamSpec("P")
_ALL = slice(None)


def prepared_sql(build: Callable[P, QuerySet[Any, Any]]) -> Callable[P, str]:
    """Decorate a function that builds a queryset, so that it returns the queryset's SQL.

    The ORM writes it once for each set of arguments. The values that the queryset is built with only hold places: the
    query is run with others, in the same number and order.
    """

    @cache
    @wraps(build)
    def sql(*args: P.args, **kwargs: P.kwargs) -> str:
        return build(*args, **kwargs).query.sql_with_params()[0]

    return sql  # type: ignore[return-value]  # the arguments have to be hashable


def prepared_query(build: Callable[P, QuerySet[M]]) -> Callable[P, list[M]]:
    """Decorate a function that builds a queryset, so that it returns the rows.

    The ORM writes the SQL once in each thread, and once more for None in place of an argument. The arguments are texts,
    times or tuples of texts for `__in`, each of which the query uses once. Prefetches are left out.
    """
    rows = prepared_page(build)

    @wraps(build)
    def fetch(*values: P.args, **kwargs: P.kwargs) -> list[M]:
        return rows(_ALL, *values, **kwargs)

    return fetch


def prepared_page(build: Callable[P, QuerySet[M]]) -> Callable[Concatenate[slice, P], list[M]]:
    """Decorate a function like `prepared_query`, so that it returns the slice of the rows that it is called with."""
    thread = _Thread()

    @wraps(build)
    def fetch(part: slice, /, *values: P.args, **kwargs: P.kwargs) -> list[M]:
        if kwargs or not all(map(_has_place, values)):
            return list(build(*values, **kwargs)[part])
        padded = [*map(_padded, values)]
        shape = tuple(len(value) if isinstance(value, tuple) else value is None for value in padded)
        if shape not in thread.queries:
            thread.queries[shape] = _PreparedQuery(build, padded)
        return thread.queries[shape].fetch(part, padded)

    return fetch


class _Thread(threading.local):
    """A thread's queries of one function, by the shape of its arguments: None, or the length of a tuple."""

    def __init__(self) -> None:
        self.queries: dict[tuple[int, ...], _PreparedQuery[Any]] = {}


def _has_place(value: Any) -> bool:
    """Return whether the query has places for this value: not for a text that core.fields treats apart, nor `()`."""
    if isinstance(value, tuple):
        return bool(value) and all(map(_has_place, value))
    return not (isinstance(value, str) and value.endswith(" "))


def _padded(value: Any) -> Any:
    """Return a tuple with its last text repeated, so that few lengths are prepared; other values as they are."""
    if not isinstance(value, tuple):
        return value
    length = 1 << (len(value) - 1).bit_length()
    return value + value[-1:] * (length - len(value))


class _PreparedQuery(Generic[M]):
    """A compiled query, which makes models of its rows as `django.db.models.query.ModelIterable` does."""

    def __init__(self, build: Callable[..., QuerySet[M]], values: Sequence[Any]) -> None:
        marks = [_mark(number, value) for number, value in enumerate(values)]
        rows = build(*marks)
        self._compiler = rows.query.get_compiler(connection=connection)
        self._sql, params = self._compiler.as_sql()
        # The places of the values among the parameters, the others of which are constants of the query.
        self._params, self._places = [*params], [_place(params, mark) for mark in _adapted(marks)]
        self._is_locking = rows.query.select_for_update
        select, info = self._compiler.select, self._compiler.klass_info
        self._converters = self._compiler.get_converters([column for column, _sql, _alias in select])
        self._columns = slice(info["select_fields"][0], info["select_fields"][-1] + 1)
        self._names = [column.target.attname for column, _sql, _alias in select[self._columns]]
        self._related = get_related_populators(info, select, DEFAULT_DB_ALIAS)  # type: ignore[call-arg]  # the stubs are of Django 6
        self._model = rows.model

    def fetch(self, part: slice, values: Sequence[Any]) -> list[M]:
        """Return a slice of the rows for these values."""
        if self._is_locking and not connection.in_atomic_block:
            raise TransactionManagementError("rows are locked outside a transaction")
        params = self._params.copy()
        for place, value in zip(self._places, _adapted(values), strict=True):
            params[place] = value
        sql = self._sql
        if part != _ALL:
            sql, params = f"{sql} LIMIT %s OFFSET %s", [*params, part.stop - part.start, part.start]
        with connection.cursor() as cursor:
            cursor.execute(sql, params)
            found = cursor.fetchall()
        return [self._make(row) for row in self._compiler.apply_converters(found, self._converters)]

    def _make(self, row: Sequence[Any]) -> M:
        made = self._model.from_db(DEFAULT_DB_ALIAS, self._names, row[self._columns])
        for related in self._related:
            related.populate(row, made)
        return made


def _mark(number: int, value: Any) -> Any:
    """Return a value of the same shape, unlike any constant."""
    if isinstance(value, tuple):
        return tuple(f"value {number} {each}" for each in range(len(value)))
    if isinstance(value, datetime):
        return datetime(1, 1, 1 + number, tzinfo=UTC)
    return None if value is None else f"value {number}"


def _place(params: Sequence[Any], mark: Any) -> int:
    places = [number for number, param in enumerate(params) if param == mark]
    if len(places) != 1:
        raise TypeError(f"a prepared query uses each of its values once, but here {mark} {len(places)} times")
    return places[0]


def _adapted(values: Sequence[Any]) -> list[Any]:
    """Return the values as the database driver takes them: those of tuples one by one, and no None."""
    adapt = connection.ops.adapt_datetimefield_value
    flat = chain.from_iterable(value if isinstance(value, tuple) else (value,) for value in values)
    return [adapt(value) if isinstance(value, datetime) else value for value in flat if value is not None]
