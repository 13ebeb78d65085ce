"""What Django's ORM leaves to the caller."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Generic, NamedTuple, ParamSpec, TypeVar

from django.db import IntegrityError, InterfaceError, OperationalError, connection, models, transaction
from django.db.models.functions import Concat

from core import epoch, primary
from core.errors import DomainError

M = TypeVar("M", bound=models.Model)
P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def unique_or(errors: Mapping[str, DomainError]) -> Iterator[None]:
    """Turns the violation of a unique constraint into the domain's own error.

    `errors` maps a constraint's name, or the column MariaDB or SQLite may name in its place, to what
    to raise. Any other integrity error is a bug and passes through. Runs in a savepoint, so that the
    surrounding transaction stays usable.
    """
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        text = str(error)
        for name, domain_error in errors.items():
            if name in text:
                raise domain_error from error
        raise


def upsert(row: M, *, unique_fields: Sequence[str], update_fields: Sequence[str]) -> None:
    """Inserts `row`, or updates the one that has its unique fields, in one statement that cannot race."""
    upsert_all([row], unique_fields=unique_fields, update_fields=update_fields)


def upsert_all(rows: Sequence[M], *, unique_fields: Sequence[str], update_fields: Sequence[str]) -> None:
    """As `upsert`, for some rows of one kind."""
    if not rows:
        return
    supports_target = connection.features.supports_update_conflicts_with_target
    type(rows[0])._base_manager.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=unique_fields if supports_target else None,
        update_fields=update_fields,
    )


_NOBODYS = models.Value("ID ")  # no folded text has capitals


class Wanted(NamedTuple, Generic[M]):
    """A row that is stored, and what it is to become."""

    stored: M
    wanted: M


def overwrite(rows: Sequence[Wanted[M]], fields: Sequence[str], *, unique: Sequence[Sequence[str]] = ()) -> None:
    """Gives many stored rows the wanted values of these fields, in few statements.

    `unique` has the fields of each unique constraint, a folded text first: rows may swap what they have in them.
    """
    if not rows:
        return
    manager = type(rows[0].stored)._base_manager
    for constraint in unique:
        moving = [
            row.stored.pk
            for row in rows
            if any(getattr(row.stored, field) != getattr(row.wanted, field) for field in constraint)
        ]
        manager.filter(pk__in=moving).update(**{constraint[0]: Concat(_NOBODYS, models.F("pk"))})
    for stored, wanted in rows:
        for field in fields:
            setattr(stored, field, getattr(wanted, field))
    manager.bulk_update([row.stored for row in rows], fields, batch_size=200)


DATABASE_ERRORS = (OperationalError, InterfaceError)


def reconnecting(read: Callable[P, R]) -> Callable[P, R]:
    """Reads, and once more on a fresh connection if this one turns out to be broken, as an idle one may be.

    For reads that show by themselves that the server is the primary (core.primary), by threads whose
    connection no request opens or closes, and for what most requests read first: to ask beforehand whether
    the connection is usable, as Django does, is a round trip more. Raises one of DATABASE_ERRORS, and leaves no
    broken connection behind.
    """

    @wraps(read)
    def with_fresh_connection(*args: P.args, **kwargs: P.kwargs) -> R:
        primary.drop_obsolete_connection()
        connection.health_check_done = True  # type: ignore[attr-defined]  # not in the stubs; by this read
        for is_last in (False, True):
            try:
                return read(*args, **kwargs)
            except DATABASE_ERRORS:
                if connection.in_atomic_block:
                    raise
                connection.close()
                if is_last:
                    raise
        raise AssertionError("unreachable")

    return with_fresh_connection


def from_primary(read: Callable[P, R]) -> Callable[P, R]:
    """As `reconnecting`, for a read that shows nothing of its server: that is asked first, if it was not just now."""

    @wraps(read)
    def proven(*args: P.args, **kwargs: P.kwargs) -> R:
        primary.require()
        return read(*args, **kwargs)

    return reconnecting(proven)


_RETRIED = frozenset({1213})  # MariaDB: deadlock found, or on Galera, certification failed at commit
_ATTEMPTS = 5


def transactional(function: Callable[P, R]) -> Callable[P, R]:
    """Runs a service in one transaction, and again if the database chose it as a deadlock's victim.

    On a server that takes no writes any more it is run once again, on a fresh connection, which may lead to
    the server that took over. In both cases the database has applied nothing. Where the outcome of a commit is
    not known, it is not run again.

    Returns when what it invalidated is answered by no worker any more (core.epoch). Inside another
    transactional service it is part of that one, and the outermost does all this.
    """

    @wraps(function)
    def in_transaction(*args: P.args, **kwargs: P.kwargs) -> R:
        if epoch.in_change():
            return function(*args, **kwargs)
        was_refused = False
        with epoch.settling():
            for remaining in reversed(range(_ATTEMPTS)):
                try:
                    with epoch.change():
                        return function(*args, **kwargs)
                except OperationalError as error:
                    if not connection.in_atomic_block and primary.refuses_writes(error) and not was_refused:
                        was_refused = True
                        connection.close()
                    elif not remaining or not error.args or error.args[0] not in _RETRIED:
                        raise
        raise AssertionError("unreachable")

    return in_transaction
