"""Folded names, computed anew by migrations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from django.db import models, transaction

from maim.common.db import Wanted, overwrite
from maim.common.naming import namesake_fold
from maim.common.text import Fold

_BATCH = 1000


class Columns(NamedTuple):
    """The columns of a model's names: the name itself, and what it is unique in together with its folded form."""

    name: str
    scope: str


def refold(model: type[models.Model], columns: Columns, fold: Fold) -> None:
    """Give every row the folded form of its name.

    Of rows that come to have the same, the oldest has it; the others have it with their ids. Writes rows that change
    only, a batch a transaction, so that it can be interrupted and run again.
    """
    last = ""
    while True:
        with transaction.atomic():
            rows = _locked(model, columns, pk__gt=last)[:_BATCH]
            batch = list(rows)
            if batch:
                _Batch(model, columns, fold).refold(batch)
        if not batch:
            return
        last = batch[-1].pk


def _locked(model: type[models.Model], columns: Columns, **lookups: Any) -> models.QuerySet[Any]:
    fields = ("pk", columns.name, columns.scope, "name_folded", "created_at")
    rows = model._base_manager.select_for_update().filter(**lookups).order_by("pk")
    return rows.only(*fields)


class _Batch:
    """Some rows, and those whose place they take."""

    def __init__(self, model: type[models.Model], columns: Columns, fold: Fold) -> None:
        self._model, self._columns, self._fold = model, columns, fold
        self._new: dict[str, tuple[Any, str]] = {}
        self._holders: dict[tuple[str, str], Any] = {}

    def refold(self, rows: Sequence[Any]) -> None:
        stale = [row for row in rows if row.name_folded != self._folded(row)]
        if not stale:
            return
        self._holders = {(self._scope(row), row.name_folded): row for row in self._rows_at(stale)}
        for row in stale:
            self._place(row)
        overwrite(
            [self._wanted(row, folded) for row, folded in self._new.values() if row.name_folded != folded],
            ["name_folded"],
            unique=[["name_folded"]],
        )

    def _rows_at(self, stale: Iterable[Any]) -> models.QuerySet[Any]:
        """The rows that have the folded forms which these are to have."""
        return _locked(
            self._model,
            self._columns,
            name_folded__in={self._folded(row) for row in stale},
            **{f"{self._columns.scope}__in": {self._scope(row) for row in stale}},
        )

    def _place(self, row: Any) -> None:
        folded = self._folded(row)
        place = (self._scope(row), folded)
        holder = self._holders.get(place)
        if holder is not None and self._folded(holder) == folded and _age(holder) < _age(row):
            self._move(row, namesake_fold(folded, row.pk))
            return
        if holder is not None:
            # Younger, or yet to move to a place of its own when its turn comes.
            self._move(holder, namesake_fold(folded, holder.pk))
        self._move(row, folded)
        self._holders[place] = row

    def _move(self, row: Any, folded: str) -> None:
        self._new[row.pk] = row, folded
        former = self._scope(row), row.name_folded
        if former in self._holders and self._holders[former].pk == row.pk:
            del self._holders[former]

    def _wanted(self, row: Any, folded: str) -> Wanted[Any]:
        return Wanted(row, self._model(pk=row.pk, name_folded=folded))

    def _folded(self, row: Any) -> str:
        return self._fold(getattr(row, self._columns.name))

    def _scope(self, row: Any) -> str:
        return str(getattr(row, self._columns.scope))


def _age(row: Any) -> tuple[Any, str]:
    return row.created_at, row.pk
