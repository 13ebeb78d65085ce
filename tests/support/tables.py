"""The whole content of the database, for comparisons of before and after."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from functools import cache
from typing import Any

from django.apps import apps
from django.db import connection

Tables = dict[str, list[tuple[Any, ...]]]
# How statements begin that write nothing.
_READING = ("SELECT", "SAVEPOINT", "RELEASE SAVEPOINT", "ROLLBACK TO SAVEPOINT")


def tables() -> Tables:
    """Return all rows of all tables by model name, including those of Django's apps."""
    found: Tables = {}
    with connection.cursor() as cursor:
        for name, query in _queries().items():
            cursor.execute(query)
            found[name] = list(cursor.fetchall())
    return found


def changed_tables(before: Tables, after: Tables) -> set[str]:
    """Return the models whose tables differ."""
    return {name for name in before if before[name] != after[name]}


@contextmanager
def unchanged_tables(*, may_change: Set[str] = frozenset()) -> Iterator[None]:
    """Assert that the block changes no table, apart from those of some models, or takes its changes back.

    The tables are read before the first statement that writes, and not at all without one: two reads of every table
    would take longer than most requests.
    """
    reader = _ReaderBeforeWrites()
    with connection.execute_wrapper(reader):
        yield
    if reader.before is not None:
        changed = changed_tables(reader.before, tables()) - may_change
        assert not changed, f"changed: {', '.join(sorted(changed))}"


class _ReaderBeforeWrites:
    """A wrapper (connection.execute_wrapper) that reads all tables before the first write."""

    before: Tables | None = None

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if self.before is None and not sql.lstrip().upper().startswith(_READING):
            self.before = tables()
        return execute(sql, params, many, context)


@cache
def _queries() -> dict[str, str]:
    quote = connection.ops.quote_name
    return {
        model._meta.label: f"SELECT * FROM {quote(model._meta.db_table)} ORDER BY "
        + ", ".join(quote(str(field.column)) for field in model._meta.pk_fields)
        for model in apps.get_models()
        if model._meta.managed
    }
