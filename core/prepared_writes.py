"""Writes whose SQL is written once, and several of which may be sent in one round trip.

The ORM takes longer to write the SQL of a small write than the database takes to run it. A model that is a
`PreparedWrites` is saved as usual, in a fraction of that time; `insert_all` is for rows that are only ever inserted.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from itertools import chain, cycle
from typing import Any, NamedTuple, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection, connections, models
from django.db.transaction import TransactionManagementError

R = TypeVar("R")

_BATCH_SIZE = 500


class _Thread(threading.local):
    """The statements that this thread is to send together, with their parameters; None outside of `one_round_trip`."""

    waiting: list[tuple[str, list[Any]]] | None = None


_thread = _Thread()


@contextmanager
def one_round_trip() -> Iterator[None]:
    """Send the prepared writes of the block together at its end, in their order, where the database can.

    The block may not read what it writes, nor use ids that the database gives to new rows. It is part of a transaction,
    because a write that fails leaves those before it.
    """
    if not connection.in_atomic_block:
        raise TransactionManagementError("writes are sent together outside a transaction")
    if _thread.waiting is not None:  # inside such a block
        yield
        return
    waiting = _thread.waiting = []
    try:
        yield
    finally:
        _thread.waiting = None
    if connection.vendor == "mysql" and waiting:
        with connection.cursor() as cursor:
            cursor.execute(
                ";\n".join(sql for sql, _params in waiting), [each for _sql, params in waiting for each in params]
            )
            while cursor.nextset():  # which raises the error of the next statement
                pass
    else:
        for sql, params in waiting:
            _write(sql, params)


class _Written(NamedTuple):
    """The outcome of a write: how many rows, and the automatic id of the last new one."""

    rows: int
    new_id: int | None


def _write(sql: str, params: list[Any]) -> _Written:
    if _thread.waiting is not None:
        _thread.waiting.append((sql, params))
        return _Written(1, None)
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return _Written(cursor.rowcount, cursor.lastrowid)


def insert_all(rows: Sequence[models.Model]) -> None:
    """Insert rows of one model, like `bulk_create`, without returning their automatic ids."""
    for some in _batches(rows):
        model = type(some[0])
        fields = _inserted_fields(model)
        values = [field.pre_save(row, True) for row in some for field in fields]
        _write(_insert_many_sql(model, len(some)), _as_stored(fields, values))


def insert_values(model: type[models.Model], rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows like `insert_all`, given as the stored values of the model's fields, in their order."""
    for some in _batches(rows):
        _write(_insert_many_sql(model, len(some)), list(chain.from_iterable(some)))


def _batches(rows: Sequence[R]) -> Iterator[Sequence[R]]:
    return (rows[start : start + _BATCH_SIZE] for start in range(0, len(rows), _BATCH_SIZE))


def _inserted_fields(model: type[models.Model]) -> tuple[Any, ...]:
    return tuple(field for field in model._meta.concrete_fields if field != model._meta.auto_field)


def _insert_many_sql(model: type[models.Model], number: int) -> str:
    fields = _inserted_fields(model)
    return _insert_sql(model, fields) + f", {_places(fields)}" * (number - 1)


class PreparedWrites(models.Model):
    """A model whose `save` inserts and updates by SQL that is written once for each set of fields."""

    class Meta:
        abstract = True

    def _do_insert(
        self, manager: Any, using: str, fields: Sequence[Any], returning_fields: Sequence[Any], raw: bool
    ) -> Any:
        """Insert the row. Return the values of `returning_fields`, in a row of their own."""
        values = [getattr(self, field.attname) if raw else field.pre_save(self, True) for field in fields]
        if any(map(_is_expression, values)):
            return super()._do_insert(manager, using, fields, returning_fields, raw)  # type: ignore[misc]  # not in the stubs
        written = _write(_insert_sql(type(self), tuple(fields)), _as_stored(fields, values))
        returned = [getattr(self, field.attname) for field in returning_fields]
        return [[written.new_id if value is None else value for value in returned]]

    def _do_update(  # type: ignore[override]  # noqa: PLR0917  # as in Django 5.2; the stubs are of Django 6
        self,
        base_qs: Any,
        using: str,
        pk_val: Any,
        values: Sequence[tuple[Any, Any, Any]],
        update_fields: Collection[str] | None,
        forced_update: Any,
    ) -> bool:
        """Update the row. Return whether there is one."""
        new = [value for _field, _model, value in values]
        if not values or any(map(_is_expression, new)):
            return super()._do_update(base_qs, using, pk_val, values, update_fields, forced_update)  # type: ignore[call-arg, return-value]  # as above
        fields = (*(field for field, _model, _value in values), self._meta.pk)
        return _write(_update_sql(type(self), fields), _as_stored(fields, [*new, pk_val])).rows > 0


def _is_expression(value: Any) -> bool:
    return hasattr(value, "resolve_expression")


def _as_stored(fields: Sequence[Any], values: Sequence[Any]) -> list[Any]:
    """Return the values of one row or several as the database gets them.

    Texts and times, which most values are, are not given to their fields, because asking these for each value of many
    rows takes longer than all else.
    """
    this = connections[DEFAULT_DB_ALIAS]  # because each look through the proxy takes a microsecond
    columns = [(field, _keeps_texts(field), _is_time(field)) for field in fields]
    stored = []
    for (field, keeps_text, is_time), value in zip(cycle(columns), values):
        if keeps_text and (value is None or type(value) is str):
            stored.append(value)
        elif is_time and type(value) is datetime and value.tzinfo is UTC:
            stored.append(str(value.replace(tzinfo=None)))
        else:
            stored.append(field.get_db_prep_save(value, this))
    return stored


def _keeps_texts(field: Any) -> bool:
    """Return whether a field stores a text as it is."""
    while field.remote_field is not None:
        field = field.target_field
    kind = type(field)
    return (
        kind.get_prep_value in (models.CharField.get_prep_value, models.TextField.get_prep_value)
        and kind.get_db_prep_value == models.Field.get_db_prep_value
        and kind.get_db_prep_save == models.Field.get_db_prep_save
    )


def _is_time(field: Any) -> bool:
    """Return whether a field stores a time without its zone, in UTC, as both databases do."""
    return type(field) is models.DateTimeField


@cache
def _insert_sql(model: type[models.Model], fields: tuple[Any, ...]) -> str:
    """Return the SQL that inserts one row. Further rows may follow."""
    quoted = connection.ops.quote_name
    columns = ", ".join(quoted(field.column) for field in fields)
    return f"INSERT INTO {quoted(model._meta.db_table)} ({columns}) VALUES {_places(fields)}"  # noqa: S608  # a model's own names


def _places(fields: Sequence[Any]) -> str:
    return f"({', '.join(['%s'] * len(fields))})"


@cache
def _update_sql(model: type[models.Model], fields: tuple[Any, ...]) -> str:
    """Return the SQL that sets all of these fields but the last, by which it finds the row."""
    quoted = connection.ops.quote_name
    *values, condition = (f"{quoted(field.column)} = %s" for field in fields)
    return f"UPDATE {quoted(model._meta.db_table)} SET {', '.join(values)} WHERE {condition}"  # noqa: S608  # as above
