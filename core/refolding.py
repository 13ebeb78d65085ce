"""Recomputation of folded names, for migrations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db import connection, models, transaction
from django.db.models.functions import Concat

from core.naming import namesake_fold
from core.text import Fold

_BATCH = 1000


class Columns(NamedTuple):
    """The columns of a model's name, and of the scope in which it is unique."""

    name: str
    scope: str


class _Row(NamedTuple):
    """The columns of a row that its name depends on."""

    pk: str
    name: str
    folded: str
    scope: str
    created_at: Any


def refold(model: type[models.Model], columns: Columns, fold: Fold) -> None:
    """Store the folded form of every row's name.

    Where several rows have the same, the oldest keeps it, and the others get it with their ids. Each batch is one
    transaction and writes changed rows only, so that the function can be interrupted and run again.
    """
    last = ""
    while True:
        names = model._base_manager.filter(pk__gt=last).order_by("pk").values_list("pk", columns.name, "name_folded")
        with transaction.atomic():
            batch = list(names.select_for_update()[:_BATCH])
            stale = [pk for pk, name, folded in batch if fold(name) != folded]
            if stale:
                _Batch(model, columns, fold).refold(stale)
        if not batch:
            return
        last = batch[-1][0]


class _Batch:
    """A batch of rows, with the rows whose folded names they take."""

    def __init__(self, model: type[models.Model], columns: Columns, fold: Fold) -> None:
        self._model, self._columns, self._fold = model, columns, fold
        self._moved: dict[str, str] = {}
        self._holders: dict[tuple[str, str], _Row] = {}

    def refold(self, stale: Sequence[str]) -> None:
        rows = self._rows(pk__in=stale)
        wanted = {self._fold(row.name) for row in rows}
        scopes = {row.scope for row in rows}
        holders = self._rows(name_folded__in=wanted, **{f"{self._columns.scope}__in": scopes})
        self._holders = {(row.scope, row.folded): row for row in holders}
        for row in rows:
            self._place(row)
        self._write({row.pk: row.folded for row in (*rows, *holders)})

    def _rows(self, **lookups: Any) -> list[_Row]:
        fields = ("pk", self._columns.name, "name_folded", self._columns.scope, "created_at")
        rows = self._model._base_manager.filter(**lookups).order_by("pk").values_list(*fields)
        return [_Row(*row) for row in rows.select_for_update()]

    def _place(self, row: _Row) -> None:
        folded = self._fold(row.name)
        place = (row.scope, folded)
        holder = self._holders.get(place)
        if holder is not None and self._fold(holder.name) == folded and _age(holder) < _age(row):
            self._move(row, namesake_fold(folded, row.pk))
            return
        if holder is not None:
            # Younger, or about to get a name of its own later in this batch.
            self._move(holder, namesake_fold(folded, holder.pk))
        self._move(row, folded)
        self._holders[place] = row

    def _move(self, row: _Row, folded: str) -> None:
        self._moved[row.pk] = folded
        former = self._holders.get((row.scope, row.folded))
        if former is not None and former.pk == row.pk:
            del self._holders[row.scope, row.folded]

    def _write(self, stored: dict[str, str]) -> None:
        moved = {pk: folded for pk, folded in self._moved.items() if stored[pk] != folded}
        # Free all names first, because the constraint is checked at every row.
        nowhere = Concat(models.Value(namesake_fold("", "")), models.F("pk"))
        self._model._base_manager.filter(pk__in=moved).update(name_folded=nowhere)
        table = connection.ops.quote_name(self._model._meta.db_table)
        with connection.cursor() as cursor:
            cursor.executemany(
                f"UPDATE {table} SET name_folded = %s WHERE id = %s",  # noqa: S608  # a model's own table
                [(folded, pk) for pk, folded in moved.items()],
            )


def _age(row: _Row) -> tuple[Any, str]:
    return row.created_at, row.pk
