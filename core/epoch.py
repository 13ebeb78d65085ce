"""The epoch: a counter in the database that tells every worker which cached facts are outdated.

Workers cache facts about keys under a lease (apikeys.verification): they poll the epoch, and use the
cache only while the last successful poll was *sent* less than LEASE_SECONDS ago. A change that makes
cached facts outdated names their subjects (`invalidate`). They are written with the next epoch as the
last statements of the transaction, and the response is delayed until one lease after the commit. By
then no worker on any machine can answer from before the change.

    invalidate ── commit ──── wait_for_workers ──── response
                    every poll sent before the commit has expired by now

Waits overlap: each ends one lease after its own commit, however many there are. A server that keeps responses back
itself needs no thread for a wait (`defer_wait`), and may end it as soon as all workers have approved (core.approvals).

Monotonic clocks are compared only with themselves, never between machines.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import QuerySet
from django.db.transaction import atomic
from django.utils import timezone

from core import primary
from core.models import Epoch, Invalidation
from core.prepared import prepared_sql
from core.prepared_writes import insert_all, one_round_trip

LEASE_SECONDS = primary.PROVEN_SECONDS
POLL_SECONDS = 0.1
# A lease, and a little more because the clocks of two machines may run at different speeds.
PROPAGATION_SECONDS = LEASE_SECONDS * 1.04
MAX_SUBJECTS = 1000
KEPT_FOR = timedelta(hours=1)

EVERYTHING, NOTHING = "*", ""

# Statements that return the number that they write, which costs no second round trip.
_INCREMENT = {
    "mysql": "UPDATE common_epoch SET value = LAST_INSERT_ID(value + 1) WHERE id = %s",
    "sqlite": "UPDATE common_epoch SET value = value + 1 WHERE id = %s RETURNING value",
}


@dataclass
class Wait:
    """The wait for workers that the changes of a block require."""

    epoch: int | None = None  # that workers have to approve; None: nothing but time ends the wait
    server: Hashable = None  # the database server that has it
    _until: float | None = None

    def require(self, epoch: int | None = None) -> None:
        """Require a wait for what has committed by now, with this epoch or an earlier one."""
        is_known = self._until is None or (self.epoch is not None and self.server == primary.server())
        self.epoch, self.server = epoch if is_known else None, primary.server()
        self._until = time.monotonic() + PROPAGATION_SECONDS

    def end(self) -> None:
        """End the wait, because all workers have approved the epoch."""
        self._until = None

    @property
    def seconds_left(self) -> float:
        """The seconds until no worker answers from before the changes; 0 when that is over, or was never required."""
        return 0.0 if self._until is None else max(0.0, self._until - time.monotonic())


@dataclass
class Transaction:
    """The transaction of a service, with what is to be written at its end."""

    wait: Wait | None  # None: the service never waits for workers
    subjects: set[str] = field(default_factory=set)
    epoch_callbacks: list[Callable[[int], None]] = field(default_factory=list)
    sums: dict[Callable[[Counter[Any]], None], Counter[Any]] = field(default_factory=dict)
    must_wait: bool = False


class _Thread(threading.local):
    """The transaction and the wait under way in this thread."""

    transaction: Transaction | None = None
    wait: Wait | None = None


_thread = _Thread()


def invalidate(*subjects: str, wait: bool = True) -> None:
    """Tell workers that what they remember of these keys, agents or tenants is outdated once this commits.

    The service returns when no worker answers from before the change any more. It must be
    `transactional_and_propagated`. With `wait=False` it does not wait, and workers may serve the old value for
    one more lease. Without subjects the service only waits, because another change that its response depends on
    may still be waiting.

    Raise RuntimeError outside of a service, or where the service may not wait.
    """
    transaction = _require_transaction()
    if wait:
        if transaction.wait is None:
            raise RuntimeError("this invalidation makes the service wait: decorate it @transactional_and_propagated")
        transaction.must_wait = True
    transaction.subjects.update(subjects)


def on_epoch(callback: Callable[[int], None]) -> None:
    """Call `callback(epoch)` at the end of the transaction, with its epoch.

    Epochs are assigned in the order of commits, so a reader who has seen one has seen all before it. Values of an
    auto-increment column are not. Raise RuntimeError outside of a service.
    """
    _require_transaction().epoch_callbacks.append(callback)


def sum_up(write: Callable[[Counter[Any]], None], amounts: Counter[Any]) -> None:
    """Call `write` once at the end of the transaction, with the sums of all amounts that it was named for.

    So what many changes add to is locked for the shortest time. Raise RuntimeError outside of a service.
    """
    _require_transaction().sums.setdefault(write, Counter()).update(amounts)


def current_transaction() -> Transaction | None:
    """Return the transaction of the service that this thread is running, or None."""
    return _thread.transaction


@contextmanager
def wait_for_workers() -> Iterator[Wait]:
    """Run one or more changes; then wait until no worker answers from before them any more.

    Changes made together wait once. Only the outermost of nested blocks waits.
    """
    is_outermost = _thread.wait is None
    with defer_wait() as wait:
        try:
            yield wait
        finally:
            if is_outermost and (seconds := wait.seconds_left):
                time.sleep(seconds)


@contextmanager
def defer_wait() -> Iterator[Wait]:
    """Run one or more changes without waiting. Their response must be kept back while the wait has `seconds_left`."""
    if _thread.wait is not None:
        yield _thread.wait
        return
    wait = _thread.wait = Wait()
    try:
        yield wait
    finally:
        _thread.wait = None


@contextmanager
def transaction(wait: Wait | None) -> Iterator[None]:
    """Open the outermost transaction, which writes its invalidations and its epoch last.

    They come last because all transactions share the epoch's one row: once it is updated, others wait for this
    commit. Where the transaction commits and must wait, `wait` is required.
    """
    opened = _thread.transaction = Transaction(wait)
    epoch: int | None = None
    try:
        with atomic(durable=True):
            yield
            for write, amounts in opened.sums.items():
                write(amounts)
            if opened.subjects or opened.epoch_callbacks:
                epoch = _next()
                with one_round_trip():
                    _insert_invalidations(epoch, opened.subjects)
                    for callback in opened.epoch_callbacks:
                        callback(epoch)
    finally:
        _thread.transaction = None
    if wait is not None and opened.must_wait:
        wait.require(epoch)


def current() -> int:
    """Return the current epoch. Raise OperationalError where the server takes no writes, because its epoch is old.

    Call it in autocommit: a transaction could see the epoch of its start.
    """
    return primary.current_value(_select_value(), [Epoch.ONLY]) or 0


@prepared_sql
def _select_value() -> QuerySet[Epoch, Any]:
    return Epoch.objects.filter(pk=Epoch.ONLY).values("value")


def invalidated_between(seen: int, reached: int) -> list[str] | None:
    """Return the subjects invalidated after epoch `seen`, up to `reached`; None, if they are unknown or too many."""
    rows = list(Invalidation.objects.filter(epoch__gt=seen, epoch__lte=reached).values_list("epoch", "subject"))
    subjects = {subject for _epoch, subject in rows}
    if EVERYTHING in subjects or len({epoch for epoch, _subject in rows}) != reached - seen:
        return None
    return list(subjects)


def sweep() -> int:
    """Delete the invalidations that every worker has seen long ago, and return their number."""
    return Invalidation.objects.filter(at__lt=timezone.now() - KEPT_FOR).delete()[0]


def _require_transaction() -> Transaction:
    if _thread.transaction is None:
        raise RuntimeError("not inside a transactional service")
    return _thread.transaction


def _next() -> int:
    """Return the next epoch, and lock the row of epochs until the commit."""
    while (epoch := _increment()) is None:
        Epoch.objects.get_or_create(pk=Epoch.ONLY)
    return epoch


def _increment() -> int | None:
    """Return the next epoch; None if the table has no row yet."""
    with connection.cursor() as cursor:
        cursor.execute(_INCREMENT[connection.vendor], [Epoch.ONLY])
        if connection.vendor == "mysql":
            return cursor.lastrowid if cursor.rowcount else None
        row = cursor.fetchone()
        return None if row is None else row[0]


def _insert_invalidations(epoch: int, subjects: set[str]) -> None:
    # Every epoch needs a row: a worker that finds none must assume that everything is outdated.
    named = [EVERYTHING] if len(subjects) > MAX_SUBJECTS else subjects or {NOTHING}
    now = timezone.now()
    insert_all([Invalidation(epoch=epoch, subject=subject, at=now) for subject in named])
