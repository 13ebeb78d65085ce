"""The parts of a deleted object: the models whose rows are stored with it, and how each is put back."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, Generic, TypeVar

from django.conf import settings
from django.db import models
from django.db.models import QuerySet
from django.utils.module_loading import import_string

from core.actor import Actor
from core.fields import JSONTextField, json_text
from core.models import DeletedObject
from core.naming import NamedModel
from core.prepared_writes import insert_all
from core.text import fold_name, unique_name

M = TypeVar("M", bound=models.Model)
Kind = DeletedObject.Kind

_INSERTED_TOGETHER = 200


@dataclass
class Restoration:
    """A restoration under way: the deleted object, who restores it, and the names that were taken meanwhile."""

    deleted: DeletedObject
    actor: Actor
    renamed: dict[str, str] = field(default_factory=dict)  # the new name, by the id of the object


class Part(ABC, Generic[M]):
    """A model whose rows are stored with a deleted object, and put back with it.

    `columns` has the column that holds the deleted object's id, for each kind of object that the model is a part of.
    """

    model: ClassVar[type[Any]]
    columns: ClassVar[Mapping[Kind, str]]
    page_size = 200  # rows that are read together; fewer where they may be large

    @property
    def label(self) -> str:
        """The name of the model, by which stored rows find their part."""
        return str(self.model._meta.label_lower)

    def pages(self, kind: Kind, object_id: str) -> Iterator[list[tuple[Any, ...]]]:
        """Yield all rows of a deleted object in pages, with JSON as the text that is stored."""
        yield from self.pages_of(self.rows(kind, object_id))

    def rows(self, kind: Kind, object_id: str) -> QuerySet[M]:
        """Return the rows of a deleted object."""
        rows: QuerySet[M] = self.model._base_manager.filter(**{self.columns[kind]: object_id})
        return rows

    def pages_of(self, rows: QuerySet[M], *, newest_first: bool = False) -> Iterator[list[tuple[Any, ...]]]:
        """Yield rows in pages, in the order of the primary key or its reverse."""
        order, beyond = ("-pk", "pk__lt") if newest_first else ("pk", "pk__gt")
        columns = [
            json_text(field.attname) if isinstance(field, JSONTextField) else field.attname for field in self.fields
        ]
        listed = rows.order_by(order).values_list("pk", *columns)
        page = list(listed[: self.page_size])
        while page:
            yield [values[1:] for values in page]
            is_last = len(page) < self.page_size
            page = [] if is_last else list(listed.filter(**{beyond: page[-1][0]})[: self.page_size])

    @property
    def fields(self) -> Sequence[Any]:
        """The model's columns."""
        columns: Sequence[Any] = self.model._meta.concrete_fields
        return columns

    def put_back(self, rows: Sequence[M], restoration: Restoration) -> int:
        """Insert some stored rows, and return how many. Override it for rows that cannot come back as they were."""
        for row in rows:
            # Not the revision of before, because a client may have it as an ETag.
            if hasattr(row, "revision"):
                row.revision += 1
        if self.model._meta.auto_field is None:
            insert_all(rows)
        else:  # with its id, by which versions are in order
            self.model._base_manager.bulk_create(rows, batch_size=_INSERTED_TOGETHER)
        return len(rows)


@cache
def all_parts() -> tuple[Part[Any], ...]:
    """Return the parts, in the order in which their rows can be inserted."""
    return tuple(import_string(name)() for name in settings.UNDO_PARTS)


def parts_of(kind: Kind) -> list[Part[Any]]:
    """Return the parts of a kind of object."""
    return [part for part in all_parts() if kind in part.columns]


def rename_taken(rows: Sequence[NamedModel], restoration: Restoration, *, among: QuerySet[Any]) -> None:
    """Give rows whose name is taken `among` others a name with their id behind it."""
    taken = set(among.filter(name_folded__in=[row.name_folded for row in rows]).values_list("name_folded", flat=True))
    for row in rows:
        if row.name_folded in taken:
            field: Any = row._meta.get_field(row.name_field)
            name = unique_name(
                getattr(row, row.name_field),
                row.pk,
                lambda name: not among.filter(name_folded=fold_name(name)).exists(),
                max_length=field.max_length,
            )
            row.set_name(name)
            restoration.renamed[row.pk] = name
