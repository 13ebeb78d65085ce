"""The whole content of the database, to be compared before and after."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.apps import apps
from django.db import connection

Tables = dict[str, list[tuple[Any, ...]]]


def tables() -> Tables:
    """Every row of every table, as the database has it, by model name: ours, and those of Django's own apps."""
    found: Tables = {}
    with connection.cursor() as cursor:
        for name, query in _queries().items():
            cursor.execute(query)
            found[name] = list(cursor.fetchall())
    return found


def changed_tables(before: Tables, after: Tables) -> set[str]:
    """The models whose tables differ."""
    return {name for name in before if before[name] != after[name]}


@cache
def _queries() -> dict[str, str]:
    quote = connection.ops.quote_name
    return {
        model._meta.label: f"SELECT * FROM {quote(model._meta.db_table)} ORDER BY "
        + ", ".join(quote(str(field.column)) for field in model._meta.pk_fields)
        for model in apps.get_models()
        if model._meta.managed
    }
