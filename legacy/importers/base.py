"""What all kinds of objects have in common."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

from django.db import models
from django.utils.crypto import salted_hmac

from core.actor import Actor
from core.db import RowUpdate
from core.text import fold_name
from legacy import names, values
from legacy.reports import Notes, Reason, Report
from legacy.snapshot import Snapshot
from legacy.values import Row, Unreadable

S = TypeVar("S", bound=models.Model)  # what is stored here
W = TypeVar("W")  # what was there, as it is to be here

CHUNK = 200
CHUNK_BYTES = 2 * 1024 * 1024  # a database takes a statement of some megabytes (max_allowed_packet)
# Of one text: the old services took it in one request, and the old MySQL columns held a sixteenth of it.
LONGEST = 1024 * 1024
# When something was made whose time cannot be read.
UNKNOWN_TIME = datetime(2000, 1, 1, tzinfo=UTC)
_ID_LENGTH = 50


@dataclass(frozen=True, slots=True)
class Found(Generic[W]):
    """One object of the old system, as it is to be here."""

    object_id: str
    tenant_id: str | None
    wanted: W
    told: Mapping[str, Any]  # what else was said of it, JSON-ready; it is not shown, for configs have secrets
    agent_id: str | None = None  # whose it is
    secret: str | None = None  # its password's hash, or its key
    is_copy: bool = False  # the web service has it from the config service, which has it no more, or never had it

    def __repr__(self) -> str:
        return f"Found({self.object_id}, …)"

    @property
    def fingerprint(self) -> str:
        """Another whenever the old system says something else of it; tells nobody what."""
        return _hmac("legacy.import", self.told_text)

    @property
    def told_text(self) -> str:
        """What was said of it, in ASCII: no shorter than what is stored of it."""
        return json.dumps(self.told, sort_keys=True, default=str)

    @property
    def secret_fingerprint(self) -> str:
        """Another whenever it has another secret there; empty for what has none."""
        return "" if self.secret is None else _hmac("legacy.import.secret", self.secret)


class Changed(NamedTuple, Generic[S, W]):
    """What is stored here of an object that has changed there, and whether its secret has."""

    stored: S
    found: Found[W]
    has_new_secret: bool


class Kind(ABC, Generic[S, W]):
    """A kind of objects: how they are read there, found here, and taken over."""

    name: ClassVar[str]
    model: type[S]
    # Whether it stays until somebody deletes it, here or there.
    is_lasting: ClassVar[bool] = True
    # Whether it has an id of its own; otherwise it goes by whose it is, and both systems may make the same one.
    has_own_id: ClassVar[bool] = True
    # Whether other kinds refer to it.
    holds_others: ClassVar[bool] = False
    goes_with_agent: ClassVar[bool] = False

    @abstractmethod
    def found(self, old: Snapshot, tenants: Collection[str], report: Report) -> Iterator[list[Found[W]]]:
        """The objects of some tenants, a chunk at a time; what is wrong with them goes into the report."""

    @abstractmethod
    def places(self, old: Snapshot, tenants: Collection[str]) -> Iterator[tuple[str, str | None]]:
        """The ids of what is there in some tenants, and whose of them it is. What is here and not among them goes: of
        what `found` refuses, it has those that went on working there."""

    @abstractmethod
    def number(self, old: Snapshot) -> int:
        """How many there are, with those that `found` refuses and those of no tenant."""

    def stored(self, found: Sequence[Found[W]]) -> dict[str, S]:
        """Those that are here, by their id there."""
        rows = self.model._base_manager.filter(pk__in=[one.object_id for one in found])
        return {str(row.pk): row for row in rows}

    def name_holders(self, found: Sequence[Found[W]]) -> set[str]:
        """Return the ids of other rows here that have a name which one of these wants."""
        return set()

    def fit_in(self, found: Sequence[Found[W]], report: Report, *, leaving: Collection[str]) -> None:
        """Changes what cannot be here as it was there, for the sake of what is here already: a name that is taken.
        Those `leaving` are not in the way."""

    def identity(self, row: S) -> str:
        """Return the id that a stored row has there."""
        return str(row.pk)

    def rows(self, object_ids: Collection[str]) -> models.QuerySet[S]:
        """Return the stored rows with these ids there."""
        return self.model._base_manager.filter(pk__in=object_ids)

    def rows_within(self, holder: str, ids: Collection[str]) -> models.QuerySet[S]:
        """Return the stored rows that go with tenants or, where an agent can hold them, with agents of these ids."""
        if holder == "tenants":
            return self.model._base_manager.filter(tenant__in=ids)
        return (
            self.model._base_manager.filter(agent__in=ids) if self.goes_with_agent else self.model._base_manager.none()
        )

    @abstractmethod
    def adopt(self, *, actor: Actor, new: Sequence[Found[W]], changed: Sequence[Changed[S, W]]) -> None:
        """Takes them over; in a transaction."""

    @abstractmethod
    def remove(self, *, actor: Actor, object_ids: Collection[str]) -> None:
        """Removes what is no longer there, as far as it is still here."""

    @abstractmethod
    def differences(self, stored: S, found: Found[W]) -> list[str]:
        """The fields in which what is here is not what was there."""

    def orphans(self, old: Snapshot, report: Report) -> None:
        """Reports those of no tenant."""


def rows_wanted(changed: Sequence[Changed[S, S]]) -> list[RowUpdate[S]]:
    """Pairs for the services, of a kind whose wanted objects are rows."""
    return [RowUpdate(one.stored, one.found.wanted) for one in changed]


def _hmac(salt: str, text: str) -> str:
    return salted_hmac(salt, text, algorithm="sha256").hexdigest()


def differing(stored: Any, wanted: Any, fields: Iterable[str]) -> list[str]:
    """Return the fields in which two rows differ. A name that was changed because somebody here has it is the same."""
    return [field for field in fields if not _is_same(stored, wanted, field)]


def _is_same(stored: Any, wanted: Any, field: str) -> bool:
    here, there = getattr(stored, field), getattr(wanted, field)
    is_name = field in ("name", "username", "tenant_name")
    return here == there or (is_name and names.is_distinct_form(here, there, str(wanted.pk)))


def in_chunks(rows: Iterable[Row], convert: Callable[[Row], Found[W] | None]) -> Iterator[list[Found[W]]]:
    """What rows become, a few at a time, so that neither memory nor a statement grows with the whole."""
    chunk: list[Found[W]] = []
    size = 0
    for row in rows:
        found = convert(row)
        if found is None:
            continue
        chunk.append(found)
        size += len(found.told_text)
        if len(chunk) >= CHUNK or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def marks(items: Collection[Any]) -> str:
    """As many places in a query as there are items."""
    return ", ".join("?" * len(items))


def names_of_later_namesakes(old: Snapshot, table: str, tenants: Collection[str], *, most: int) -> dict[str, str]:
    """By id, the names that objects get instead of those that an older one of their tenant has."""
    in_turn = f"SELECT id, tenant_id, name FROM {table} WHERE tenant_id IN ({marks(tenants)}) ORDER BY created_at, id"
    return names.of_later_namesakes(
        (
            (row["tenant_id"], row["id"], names.kept(values.text(row["name"]), row["id"], most=most).text)
            for row in old.rows(in_turn, list(tenants))
        ),
        most=most,
    )


class Named(Protocol):
    """A row of a tenant that has a name of its own there."""

    pk: Any
    tenant_id: str
    name: str
    name_folded: str

    def set_name(self, name: str) -> None: ...


def rename(row: Named, name: str, why: str, notes: Notes) -> None:
    """Gives a row another name, reported."""
    notes.found(Reason.RENAMED, f"{why}: {row.name} is now {name}")
    row.set_name(name)


def holders_of_names(rows: Sequence[Named]) -> dict[tuple[str, str], str]:
    """Return the other rows here that have the names of these, by tenant and folded name. The rows are of one model."""
    manager = type(rows[0])._base_manager  # type: ignore[attr-defined]  # a protocol cannot be a model, too
    others = manager.exclude(pk__in=[row.pk for row in rows]).filter(
        tenant__in={row.tenant_id for row in rows}, name_folded__in=[row.name_folded for row in rows]
    )
    wanted = {(row.tenant_id, row.name_folded) for row in rows}
    found = others.values_list("tenant_id", "name_folded", "pk")
    return {(tenant, name): pk for tenant, name, pk in found if (tenant, name) in wanted}


def rename_taken(rows: Sequence[Named], kind: str, report: Report, *, leaving: Collection[str], most: int) -> None:
    """Gives another name to those whose name a row of their tenant here has that neither changes with them nor is
    leaving. The rows are of one model."""
    manager = type(rows[0])._base_manager  # type: ignore[attr-defined]  # a protocol cannot be a model, too
    others = manager.exclude(pk__in=[*(row.pk for row in rows), *leaving])
    taken = {place for place, pk in holders_of_names(rows).items() if pk not in leaving}

    def is_free(tenant_id: str, name: str) -> bool:
        wanted = {(row.tenant_id, row.name_folded) for row in rows}
        is_here = others.filter(tenant=tenant_id, name_folded=fold_name(name)).exists()
        return (tenant_id, fold_name(name)) not in wanted and not is_here

    for row in rows:
        if (row.tenant_id, row.name_folded) in taken:
            name = names.distinct(row.name, row.pk, partial(is_free, row.tenant_id), most=most)
            rename(row, name, "another one here has this name", report.about(kind, row.pk, row.tenant_id))


def has_good_form(object_id: Any) -> bool:
    """Whether it can be an id here."""
    return isinstance(object_id, str) and 0 < len(object_id) <= _ID_LENGTH and object_id.strip() == object_id


def is_good_id(object_id: Any, notes: Notes) -> bool:
    """As `has_good_form`; otherwise the object is refused."""
    if has_good_form(object_id):
        return True
    notes.refused(Reason.BAD_ID, "an id has 1 to 50 characters")
    return False


def made_at(row: Row, column: str, notes: Notes) -> datetime:
    """When something happened; UNKNOWN_TIME, reported, where that cannot be read."""
    try:
        found = values.moment(row.get(column))
    except Unreadable as error:
        notes.found(Reason.BAD_TIME, f"{column}: {error}")
        found = None
    return found or UNKNOWN_TIME


def long_text(row: Row, column: str, notes: Notes) -> str | None:
    """A text of any length that a statement can carry; cut, reported, where it is longer."""
    text = values.text(row.get(column))
    if text is not None and len(text) > LONGEST:
        notes.found(Reason.CHANGED_TEXT, f"{column} was longer than {LONGEST} characters, and was cut")
        return text[:LONGEST]
    return text


def document(row: Row, column: str, notes: Notes) -> Any:
    """A JSON value; None, reported, where it cannot be read or is longer than a statement can carry."""
    if len(str(row.get(column) or "")) > LONGEST:
        notes.found(Reason.BAD_JSON, f"{column}: longer than {LONGEST} characters")
        return None
    try:
        return values.document(row.get(column))
    except Unreadable as error:
        notes.found(Reason.BAD_JSON, f"{column}: {error}")
        return None


def status(row: Row, known: type[models.TextChoices], otherwise: models.TextChoices, notes: Notes) -> str:
    """Return a known status, or else, reported, the one that lets nobody in.

    The old services compared to the letter: `ACTIVE` was not active.
    """
    value = str(row.get("status") or "")
    if value in known.values:
        return value
    spelled = value.strip().lower()
    kept = spelled if spelled in known.values and spelled != "active" else str(otherwise.value)
    notes.found(Reason.BAD_STATUS, f"{value[:30]!r} is none; it is now {kept}")
    return kept
