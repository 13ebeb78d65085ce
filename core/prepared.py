"""Queries that the ORM writes once and the database driver runs many times."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any, ParamSpec

from django.db.models import QuerySet

P = ParamSpec("P")


def prepared_sql(build: Callable[P, QuerySet[Any, Any]]) -> Callable[P, str]:
    """Decorate a function that builds a queryset, so that it returns the queryset's SQL.

    The ORM writes it once for each set of arguments, because that takes longer than running the query. The values that
    the queryset is built with only hold places: the query is run with others, in the same number and order.
    """

    @cache
    @wraps(build)
    def sql(*args: P.args, **kwargs: P.kwargs) -> str:
        return build(*args, **kwargs).query.sql_with_params()[0]

    return sql  # type: ignore[return-value]  # the arguments have to be hashable
