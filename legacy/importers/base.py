"""The base class of importers, and the objects that they read and save."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from django.db import models
from django.utils.crypto import salted_hmac

from core.actor import Actor
from core.db import RowUpdate
from legacy import names
from legacy.parsing import Row
from legacy.reports import Report
from legacy.snapshot import Snapshot

S = TypeVar("S", bound=models.Model)  # the model of stored rows
T = TypeVar("T")  # the type of an object that is to be saved: a row, or a row with more

CHUNK_OBJECTS = 200
CHUNK_BYTES = 2 * 1024 * 1024  # a statement has a maximum size of some megabytes (max_allowed_packet)


@dataclass(frozen=True, slots=True)
class SourceObject(Generic[T]):
    """An object of the old system, with the object of maim that it becomes."""

    object_id: str
    tenant_id: str | None
    target: T
    source_values: Mapping[str, Any]  # JSON-ready, without `secret`; never shown, because configs have secrets
    agent_id: str | None = None
    secret: str | None = None  # a user's password hash, or an API key
    is_copy: bool = False  # only the web service's copy of the object exists

    def __repr__(self) -> str:
        return f"SourceObject({self.object_id}, …)"

    @property
    def fingerprint(self) -> str:
        """A digest that changes whenever the old system changes the values, and does not reveal them."""
        return _hmac("legacy.import", self.source_text)

    @property
    def source_text(self) -> str:
        """The values as ASCII text, which is not shorter than what is stored of them."""
        return json.dumps(self.source_values, sort_keys=True, default=str)

    @property
    def secret_fingerprint(self) -> str:
        """A digest of the secret, or an empty string for an object without one."""
        return "" if self.secret is None else _hmac("legacy.import.secret", self.secret)


class ChangedObject(NamedTuple, Generic[S, T]):
    """An object that the old system has changed since it was imported, with its row in maim."""

    existing: S
    source: SourceObject[T]
    has_new_secret: bool


class Importer(ABC, Generic[S, T]):
    """An importer of one kind of object: it reads the old rows, finds maim's, and saves."""

    name: ClassVar[str]
    model: type[S]
    # False for objects that expire.
    is_permanent: ClassVar[bool] = True
    # False if the id is made of the owner's, so that both systems may create an object of the same id.
    has_own_id: ClassVar[bool] = True
    # True if other kinds refer to this one.
    has_contents: ClassVar[bool] = False
    belongs_to_agent: ClassVar[bool] = False

    @abstractmethod
    def read(self, snapshot: Snapshot, tenant_ids: Collection[str], report: Report) -> Iterator[list[SourceObject[T]]]:
        """Yield the objects of some tenants in chunks, and report what is wrong with them."""

    @abstractmethod
    def ids_with_owner(self, snapshot: Snapshot, tenant_ids: Collection[str]) -> Iterator[tuple[str, str | None]]:
        """Yield id and tenant of the objects of some tenants. An imported object that is not among them is removed.

        Objects that `read` refuses are among them if they kept working in the old system.
        """

    @abstractmethod
    def count(self, snapshot: Snapshot) -> int:
        """Return the number of objects, including refused ones and those without a tenant."""

    def existing(self, objects: Sequence[SourceObject[T]]) -> dict[str, S]:
        """Return the rows of these objects in maim, by the object's id."""
        rows = self.model._base_manager.filter(pk__in=[one.object_id for one in objects])
        return {str(row.pk): row for row in rows}

    def ids_with_same_names(self, objects: Sequence[SourceObject[T]]) -> set[str]:
        """Return the ids of other rows in maim that have the name of one of these objects."""
        return set()

    def resolve_conflicts(
        self, objects: Sequence[SourceObject[T]], report: Report, *, to_delete: Collection[str]
    ) -> None:
        """Resolve conflicts with existing rows, e.g. rename an object whose name is taken.

        Rows whose ids are in `to_delete` are about to be deleted, and do not conflict.
        """

    def source_id(self, row: S) -> str:
        """Return the id that a row of maim has in the old system."""
        return str(row.pk)

    def rows_with_ids(self, object_ids: Collection[str]) -> models.QuerySet[S]:
        """Return the rows of maim whose ids in the old system are given."""
        return self.model._base_manager.filter(pk__in=object_ids)

    def rows_owned_by(self, owner_kind: str, owner_ids: Collection[str]) -> models.QuerySet[S]:
        """Return the rows of maim that are deleted together with these tenants or agents."""
        if owner_kind == "tenants":
            return self.model._base_manager.filter(tenant__in=owner_ids)
        if self.belongs_to_agent:
            return self.model._base_manager.filter(agent__in=owner_ids)
        return self.model._base_manager.none()

    @abstractmethod
    def save(self, *, actor: Actor, new: Sequence[SourceObject[T]], changed: Sequence[ChangedObject[S, T]]) -> None:
        """Insert and update rows. The caller opens the transaction."""

    def import_uses(self, unchanged: Sequence[SourceObject[T]], *, apply: bool) -> int:
        """Store uses that the old system has counted of objects that it has not changed, and return of how many.

        Uses are no change for which what was changed in maim would be overwritten.
        """
        return 0

    @abstractmethod
    def remove(self, *, actor: Actor, object_ids: Collection[str]) -> None:
        """Remove objects that the old system has deleted, if maim still has them."""

    @abstractmethod
    def differences(self, existing: S, source: SourceObject[T]) -> list[str]:
        """Return the names of the fields in which maim's row differs from the old one."""

    def report_orphans(self, snapshot: Snapshot, report: Report) -> None:
        """Report objects whose tenant does not exist, which `read` never yields."""


def row_updates(changed: Sequence[ChangedObject[S, S]]) -> list[RowUpdate[S]]:
    return [RowUpdate(one.existing, one.source.target) for one in changed]


def _hmac(salt: str, text: str) -> str:
    return salted_hmac(salt, text, algorithm="sha256").hexdigest()


def differing_fields(existing: Any, target: Any, fields: Iterable[str]) -> list[str]:
    """Return the fields in which two rows differ. A name that was changed because it is taken does not differ."""
    return [field for field in fields if not _is_same(existing, target, field)]


def _is_same(existing: Any, target: Any, field: str) -> bool:
    existing_value, target_value = getattr(existing, field), getattr(target, field)
    if existing_value == target_value:
        return True
    is_name = field in ("name", "username", "tenant_name")
    return is_name and names.is_unique_form(existing_value, target_value, str(target.pk))


def chunked(rows: Iterable[Row], convert: Callable[[Row], SourceObject[T] | None]) -> Iterator[list[SourceObject[T]]]:
    """Convert rows and yield the objects in chunks, so that memory and statements stay small."""
    chunk: list[SourceObject[T]] = []
    size = 0
    for row in rows:
        source = convert(row)
        if source is None:
            continue
        chunk.append(source)
        size += len(source.source_text)
        if len(chunk) >= CHUNK_OBJECTS or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def placeholders(values: Collection[Any]) -> str:
    """Return the placeholders of a query for these values."""
    return ", ".join("?" * len(values))
