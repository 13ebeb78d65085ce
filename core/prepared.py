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
from typing import Any, Generic, ParamSpec, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import Model, QuerySet
from django.db.models.query import get_related_populators
from django.db.transaction import TransactionManagementError

M = TypeVar("M", bound=Model)
P = ParamSpec("P")


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

    The ORM writes the SQL once in each thread. The arguments are texts or times, each of which the query uses once.
    Prefetches are left out.
    """
    thread = threading.local()

    @wraps(build)
    def fetch(*values: P.args, **kwargs: P.kwargs) -> list[M]:
        if kwargs or not all(map(_has_place, values)):
            return list(build(*values, **kwargs))
        prepared: _PreparedQuery[M] | None = getattr(thread, "prepared", None)
        if prepared is None:
            prepared = thread.prepared = _PreparedQuery(build, values)
        return prepared.fetch(values)

    return fetch


def _has_place(value: Any) -> bool:
    """Return whether the SQL is the same for this value: not for None, nor for a text that core.fields treats apart."""
    return value is not None and not (isinstance(value, str) and value.endswith(" "))


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

    def fetch(self, values: Sequence[Any]) -> list[M]:
        """Return the rows for these values."""
        if self._is_locking and not connection.in_atomic_block:
            raise TransactionManagementError("rows are locked outside a transaction")
        params = self._params.copy()
        for place, value in zip(self._places, _adapted(values), strict=True):
            params[place] = value
        with connection.cursor() as cursor:
            cursor.execute(self._sql, params)
            found = cursor.fetchall()
        return [self._make(row) for row in self._compiler.apply_converters(found, self._converters)]

    def _make(self, row: Sequence[Any]) -> M:
        made = self._model.from_db(DEFAULT_DB_ALIAS, self._names, row[self._columns])
        for related in self._related:
            related.populate(row, made)
        return made


def _mark(number: int, value: Any) -> Any:
    """Return a value of the same type, unlike any constant."""
    return datetime(1, 1, 1 + number, tzinfo=UTC) if isinstance(value, datetime) else f"value {number}"


def _place(params: Sequence[Any], mark: Any) -> int:
    places = [number for number, param in enumerate(params) if param == mark]
    if len(places) != 1:
        raise TypeError(f"a prepared query uses each of its values once, but here {mark} {len(places)} times")
    return places[0]


def _adapted(values: Sequence[Any]) -> list[Any]:
    """Return the values as the database driver takes them."""
    return [
        connection.ops.adapt_datetimefield_value(value) if isinstance(value, datetime) else value for value in values
    ]
