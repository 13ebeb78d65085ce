"""What Django's ORM leaves to the caller."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import IntegrityError, InterfaceError, OperationalError, connection, models, transaction

from maim.common import epoch
from maim.common.errors import DomainError

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
    supports_target = connection.features.supports_update_conflicts_with_target
    type(row)._base_manager.bulk_create(
        [row],
        update_conflicts=True,
        unique_fields=unique_fields if supports_target else None,
        update_fields=update_fields,
    )


DATABASE_AWAY = (OperationalError, InterfaceError)


def reconnecting(read: Callable[P, R]) -> Callable[P, R]:
    """Reads, and once more on a fresh connection if this one turns out to be broken, as an idle one may be.

    For threads whose connection no request opens or closes, and for what most requests read first: to ask
    beforehand whether the connection is usable, as Django does, is a round trip more. Raises one of
    DATABASE_AWAY, and leaves no broken connection behind.
    """

    @wraps(read)
    def with_fresh_connection(*args: P.args, **kwargs: P.kwargs) -> R:
        connection.health_check_done = True  # type: ignore[attr-defined]  # not in the stubs; by this read
        for is_last in (False, True):
            try:
                return read(*args, **kwargs)
            except DATABASE_AWAY:
                if connection.in_atomic_block:
                    raise
                connection.close()
                if is_last:
                    raise
        raise AssertionError("unreachable")

    return with_fresh_connection


_RETRIED = frozenset({1213})  # MariaDB: deadlock found, or on Galera, certification failed at commit
_ATTEMPTS = 5


def transactional(function: Callable[P, R]) -> Callable[P, R]:
    """Runs a service in one transaction, and again if the database chose it as a deadlock's victim.

    Returns when what it invalidated is answered by no worker any more (maim.common.epoch). Inside
    another transactional service it is part of that one, and the outermost does all this.
    """

    @wraps(function)
    def in_transaction(*args: P.args, **kwargs: P.kwargs) -> R:
        if epoch.in_change():
            return function(*args, **kwargs)
        with epoch.settling():
            for remaining in reversed(range(_ATTEMPTS)):
                try:
                    with epoch.change():
                        return function(*args, **kwargs)
                except OperationalError as error:
                    if not remaining or not error.args or error.args[0] not in _RETRIED:
                        raise
        raise AssertionError("unreachable")

    return in_transaction
