"""Helpers around Django's ORM: services in transactions, upserts, bulk updates, and reads that reconnect."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar

from django.db import (
    DEFAULT_DB_ALIAS,
    IntegrityError,
    InterfaceError,
    OperationalError,
    connection,
    models,
    transaction,
)
from django.db.models.constants import OnConflict
from django.db.models.functions import Concat

from core import epoch, primary
from core.errors import DomainError

M = TypeVar("M", bound=models.Model)
P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def translate_unique_violation(errors: Mapping[str, DomainError]) -> Iterator[None]:
    """Raise a domain error in place of the violation of a unique constraint.

    `errors` maps the name of a constraint, or of the column that MariaDB or SQLite may name instead, to the
    error. Any other integrity error is a bug and passes through. The block is one write, or one that others follow in
    the same round trip. The database undoes it by itself and does not begin the others, so that the surrounding
    transaction stays usable without the two round trips of a savepoint.
    """
    try:
        yield
    except IntegrityError as error:
        text = str(error)
        for name, domain_error in errors.items():
            if name in text:
                if connection.in_atomic_block:
                    transaction.set_rollback(False)
                raise domain_error from error
        raise


def upsert(row: M, *, unique_fields: Sequence[str], update_fields: Sequence[str]) -> None:
    """Insert `row`, or update the row with the same unique fields, in one statement without a race."""
    upsert_all([row], unique_fields=unique_fields, update_fields=update_fields)


def upsert_all(rows: Sequence[M], *, unique_fields: Sequence[str], update_fields: Sequence[str]) -> None:
    """Upsert several rows of one model."""
    if not rows:
        return
    supports_target = connection.features.supports_update_conflicts_with_target
    type(rows[0])._base_manager.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=unique_fields if supports_target else None,
        update_fields=update_fields,
    )


def upsert_at_once(rows: Sequence[M], *, unique_fields: Sequence[str], update_fields: Sequence[str]) -> None:
    """Upsert a few rows like `upsert_all`, without three round trips that open and end a transaction.

    It is one statement, which is a transaction by itself.
    """
    if not rows:
        return
    model = type(rows[0])
    get_field = model._meta.get_field
    supports_target = connection.features.supports_update_conflicts_with_target
    model._base_manager._insert(  # type: ignore[attr-defined]  # `bulk_create` without its transaction
        rows,
        fields=model._meta.concrete_fields,
        on_conflict=OnConflict.UPDATE,
        update_fields=[get_field(name) for name in update_fields],
        unique_fields=[get_field(name) for name in unique_fields] if supports_target else None,
    )


def lock_in_order(rows: models.QuerySet[Any]) -> list[Any]:
    """Lock rows in the order of their ids, before they are deleted after the rows that refer to them. Return the ids.

    Writers lock a row before those that refer to it; in the opposite order the two would end in a deadlock.
    """
    return list(rows.order_by("pk").select_for_update().values_list("pk", flat=True))


_DELETED_TOGETHER = 1000


def delete_many(model: type[models.Model], ids: Sequence[Any]) -> None:
    """Delete locked rows of a model, and the rows that refer to them, to which nothing refers in turn.

    `QuerySet.delete` would load each row, which takes this process twice as long.
    """
    for start in range(0, len(ids), _DELETED_TOGETHER):
        some = ids[start : start + _DELETED_TOGETHER]
        for relation in model._meta.related_objects:
            referring = relation.related_model._base_manager.filter(**{f"{relation.field.name}__in": some})
            referring._raw_delete(DEFAULT_DB_ALIAS)
        model._base_manager.filter(pk__in=some)._raw_delete(DEFAULT_DB_ALIAS)


def delete_one_by_one(rows: models.QuerySet[Any]) -> int:
    """Delete rows, and those that refer to them, each in its own transaction, because thousands may refer to one.

    Return the number of rows, without those that another process has deleted meanwhile.
    """
    label = rows.model._meta.label
    return sum(rows.filter(pk=pk).delete()[1].get(label, 0) for pk in list(rows.values_list("pk", flat=True)))


_PLACEHOLDER = models.Value("ID ")  # free, because folded text has no capital letters


class RowUpdate(NamedTuple, Generic[M]):
    """An existing row, and a row with the values that it is to get."""

    existing: M
    target: M


def bulk_overwrite(
    updates: Sequence[RowUpdate[M]], fields: Sequence[str], *, unique: Sequence[Sequence[str]] = ()
) -> None:
    """Copy these fields from each target to its existing row, in few statements.

    `unique` lists the fields of each unique constraint, a folded text first, so that rows may swap their values.
    """
    if not updates:
        return
    manager = type(updates[0].existing)._base_manager
    for constraint in unique:
        moving = [
            existing.pk
            for existing, target in updates
            if any(getattr(existing, field) != getattr(target, field) for field in constraint)
        ]
        manager.filter(pk__in=moving).update(**{constraint[0]: Concat(_PLACEHOLDER, models.F("pk"))})
    for existing, target in updates:
        for field in fields:
            setattr(existing, field, getattr(target, field))
    manager.bulk_update([existing for existing, _target in updates], fields, batch_size=200)


DATABASE_ERRORS = (OperationalError, InterfaceError)


def retry_if_disconnected(read: Callable[P, R]) -> Callable[P, R]:
    """Run a read, and once more on a fresh connection if this one is broken, as an idle one may be.

    It is for reads that prove by themselves that the server is the primary (core.primary): those of threads whose
    connection no request opens or closes, and the first read of most requests. Django would first ask whether the
    connection is usable, which costs another round trip. Raise one of DATABASE_ERRORS, and leave no broken
    connection behind.
    """

    @wraps(read)
    def with_fresh_connection(*args: P.args, **kwargs: P.kwargs) -> R:
        primary.drop_obsolete_connection()
        connection.health_check_done = True  # type: ignore[attr-defined]  # not in the stubs; the read is the check
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
    """Run a read like `retry_if_disconnected`, after asking the server whether it is the primary.

    A server that was asked less than PROVEN_SECONDS ago (core.primary) is not asked again.
    """

    @wraps(read)
    def proven(*args: P.args, **kwargs: P.kwargs) -> R:
        primary.require()
        return read(*args, **kwargs)

    return retry_if_disconnected(proven)


# It makes the write that follows in this thread find a usable connection, without repeating that write.
ensure_primary = retry_if_disconnected(primary.require)


_RETRIED = frozenset({1213})  # MariaDB: deadlock found, or on Galera, certification failed at commit
_ATTEMPTS = 5


def transactional(service: Callable[P, R]) -> Callable[P, R]:
    """Run a service in one transaction; run it again if it was the victim of a deadlock.

    Where the server takes no writes any more, run it once again on a fresh connection, which may lead to the
    server that took over. In both cases the database has applied nothing. Where the outcome of a commit is
    unknown, it is not run again.

    Inside another transactional service it joins that service's transaction. It never waits for workers; a
    service that calls `epoch.invalidate` and waits is `transactional_and_propagated`.
    """

    @wraps(service)
    def in_transaction(*args: P.args, **kwargs: P.kwargs) -> R:
        if epoch.current_transaction() is not None:
            return service(*args, **kwargs)
        return _run(partial(service, *args, **kwargs), wait=None)

    return in_transaction


def transactional_and_propagated(service: Callable[P, R]) -> Callable[P, R]:
    """Run a service like `transactional`, and return when no worker answers from before its changes any more.

    It waits for PROPAGATION_SECONDS (core.epoch) if the service has invalidated something. Raise RuntimeError
    inside a service that is only `transactional`, because that one could not wait for it after the commit.
    """

    @wraps(service)
    def in_transaction(*args: P.args, **kwargs: P.kwargs) -> R:
        outer = epoch.current_transaction()
        if outer is None:
            with epoch.wait_for_workers() as wait:
                return _run(partial(service, *args, **kwargs), wait=wait)
        if outer.wait is None:
            raise RuntimeError(f"{service.__qualname__} is called by a service that is not propagated")
        return service(*args, **kwargs)

    return in_transaction


def _run(service: Callable[[], R], *, wait: epoch.Wait | None) -> R:
    was_refused = False
    for remaining in reversed(range(_ATTEMPTS)):
        try:
            with epoch.transaction(wait):
                return service()
        except OperationalError as error:
            if not connection.in_atomic_block and primary.refuses_writes(error) and not was_refused:
                was_refused = True
                connection.close()
            elif not remaining or not _is_deadlock(error):
                raise
    raise AssertionError("unreachable")


def retry_on_deadlock(work: Callable[[], R]) -> R:
    """Call an idempotent function, and again if it was the victim of a deadlock. Return what it returns."""
    for remaining in reversed(range(_ATTEMPTS)):
        try:
            return work()
        except OperationalError as error:
            if not remaining or not _is_deadlock(error):
                raise
    raise AssertionError("unreachable")


def _is_deadlock(error: OperationalError) -> bool:
    return bool(error.args) and error.args[0] in _RETRIED
