"""The whole content of the database, for comparisons of before and after."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.apps import apps
from django.db import connection

Tables = dict[str, list[tuple[Any, ...]]]


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


@cache
def _queries() -> dict[str, str]:
    quote = connection.ops.quote_name
    return {
        model._meta.label: f"SELECT * FROM {quote(model._meta.db_table)} ORDER BY "
        + ", ".join(quote(str(field.column)) for field in model._meta.pk_fields)
        for model in apps.get_models()
        if model._meta.managed
    }
