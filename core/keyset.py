"""Keyset pagination: a page begins after the last row of the one before, and reads little more than it shows."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime
from typing import Any, Generic, NamedTuple, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet

from core.listing import ids_of, rows_in_order

M = TypeVar("M", bound=Model)


class InvalidPosition(Exception):
    """A text that is no position in a list."""


class Order(NamedTuple):
    """The order of a list, by columns that are never null, of which the last is unique."""

    columns: tuple[str, ...]
    is_descending: bool

    @staticmethod
    def of(rows: QuerySet[Any]) -> Order:
        """Return the order of a queryset, whose columns have one direction."""
        terms = [str(term) for term in rows.query.order_by] or ["pk"]
        return Order(tuple(term.removeprefix("-") for term in terms), terms[0].startswith("-"))

    def position(self, row: Model) -> str:
        """Return the position of a row, for a URL."""
        return json.dumps([row.serializable_value(column) for column in self.columns], default=str)

    def after(self, rows: QuerySet[M], position: str) -> QuerySet[M]:
        """Return the rows after a position. Raise InvalidPosition."""
        values = dict(zip(self.columns, self._parse(rows, position), strict=True))
        than = "lt" if self.is_descending else "gt"
        further, equal = Q(), Q()
        for column, value in values.items():
            further |= equal & Q(**{f"{column}__{than}": value})
            equal &= Q(**{column: value})
        return rows.filter(further)

    def _parse(self, rows: QuerySet[Any], position: str) -> list[Any]:
        try:
            values = json.loads(position)
            if not isinstance(values, list) or len(values) != len(self.columns) or None in values:
                raise InvalidPosition
            fields = [rows.model._meta.get_field(column) for column in self.columns]
            return [_storable(field.to_python(value)) for field, value in zip(fields, values, strict=True)]
        except (TypeError, ValueError, OverflowError, ValidationError, RecursionError) as error:
            raise InvalidPosition from error


def _storable(value: Any) -> Any:
    """Return the value. Raise ValueError for text that is no Unicode, and OverflowError for a time of no database."""
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
    return value


class Page(NamedTuple, Generic[M]):
    """Some rows of a list, and the position that the next page begins after, or None at the end."""

    rows: list[M]
    next: str | None


def read_page(rows: QuerySet[M], *, after: str | None, limit: int) -> Page[M]:
    """Return the rows after a position that an earlier page ended with, at most `limit`. Raise InvalidPosition."""
    order = Order.of(rows)
    part = rows if after is None else order.after(rows, _decode(after))
    ids = list(ids_of(part)[: limit + 1])
    found = rows_in_order(rows, ids[:limit])
    return Page(found, _encode(order.position(found[-1])) if len(ids) > limit and found else None)


def _encode(position: str) -> str:
    """Return a position as one word, which needs no quoting in a shell."""
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def _decode(word: str) -> str:
    try:
        return base64.urlsafe_b64decode(word + "=" * (-len(word) % 4)).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidPosition from error
