"""The epoch: how every worker learns, in time, what it may no longer answer from memory.

Workers keep verdicts on keys in memory under a lease (apikeys.verification): they read the epoch again
and again, and what they remember counts only while the last successful reading was *sent* less than
LEASE_SECONDS ago. A change that makes something remembered untrue names it (`invalidate`); that is
written, with the next epoch, as the transaction's last statements, and the change is answered one lease
after its commit. By then no worker on any machine can still answer from before.

    invalidate ── commit ──────── SETTLE ──────── answer
                    every reading sent before the commit has run out by now

Of clocks, only the monotonic ones are compared, each with itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core import primary
from core.errors import Unavailable
from core.models import Epoch, Invalidation

LEASE_SECONDS = primary.PROVEN_SECONDS
POLL_SECONDS = 0.1
# A lease, and a little for two machines whose clocks do not run alike.
PROPAGATION_SECONDS = LEASE_SECONDS * 1.04
# Each waiting change holds a thread of its worker, which has more of them than that (core.http.surfaces).
MAX_SETTLING = 8
MAX_SUBJECTS = 500
KEPT_FOR = timedelta(hours=1)

EVERYTHING, NOTHING = "*", ""

_settling = threading.BoundedSemaphore(MAX_SETTLING)


class _State(threading.local):
    """What the changes of this thread have invalidated so far."""

    is_open = False  # inside `settling`
    subjects: set[str] | None = None  # of the transaction under way; None outside of one
    numbered: list[Callable[[int], None]]  # what is to be written with that transaction's epoch
    is_pending = False  # whether that transaction's answer has to wait
    has_place = False
    must_wait = False


_state = _State()


def invalidate(*subjects: str) -> None:
    """Says that what is remembered of these keys, agents or tenants is untrue once this commits.

    Without any, the change only waits: its answer tells of another, which may still be waiting. Part of a
    service's transaction. Raises Unavailable when too many changes of this worker are waiting already;
    the transaction is then to be given up.
    """
    if _state.subjects is None:
        raise RuntimeError("an invalidation outside of a transactional service")
    if not _state.has_place:
        if not _settling.acquire(blocking=False):
            raise Unavailable(_("Too many changes are being made at this moment, try again shortly"))
        _state.has_place = True
    _state.subjects.update(subjects)
    _state.is_pending = True


def announce(*subjects: str) -> None:
    """As `invalidate`, for what may be answered from before for another lease: the change waits for nothing."""
    if _state.subjects is None:
        raise RuntimeError("an announcement outside of a transactional service")
    _state.subjects.update(subjects)


def numbered(write: Callable[[int], None]) -> None:
    """Has `write` called with this transaction's epoch, among its last statements.

    Epochs are given out in the order of commits: whoever has seen one has seen all before it. Numbers of an
    auto-increment column are not. Raises RuntimeError outside of a transactional service.
    """
    if _state.subjects is None:
        raise RuntimeError("a numbered write outside of a transactional service")
    _state.numbered.append(write)


@contextmanager
def settling() -> Iterator[None]:
    """Around one or more changes: when the last is made, waits until nothing older is answered any more.

    Changes made together wait once. Inside another `settling` this does nothing: the outermost waits.
    """
    if _state.is_open:
        yield
        return
    _state.is_open = True
    try:
        yield
    finally:
        must_wait, has_place = _state.must_wait, _state.has_place
        _state.is_open = _state.must_wait = _state.has_place = False
        try:
            if must_wait:
                time.sleep(PROPAGATION_SECONDS)
        finally:
            if has_place:
                _settling.release()


def in_change() -> bool:
    """Whether this thread is inside `change`."""
    return _state.subjects is not None


@contextmanager
def change() -> Iterator[None]:
    """A transaction, the outermost, whose invalidations are written last of all; inside `settling`.

    Last, because the epoch's row is one for all: from there to the commit others wait for it.
    """
    subjects: set[str] = set()
    numbered: list[Callable[[int], None]] = []
    _state.subjects, _state.numbered, _state.is_pending = subjects, numbered, False
    try:
        with transaction.atomic(durable=True):
            yield
            if subjects or numbered:
                epoch = _write(subjects)
                for write in numbered:
                    write(epoch)
    finally:
        _state.subjects = None
    _state.must_wait |= _state.is_pending


def current() -> int:
    """Return the epoch as of now; raise OperationalError where the server takes no writes, and so knows of none.

    In autocommit: inside a transaction it could be that of its start.
    """
    query, params = Epoch.objects.filter(pk=Epoch.ONLY).values("value").query.sql_with_params()
    return primary.current_value(query, params) or 0


def invalidated_between(seen: int, reached: int) -> list[str] | None:
    """What was invalidated after epoch `seen`, up to `reached`; None, for everything, if that is not known."""
    rows = list(Invalidation.objects.filter(epoch__gt=seen, epoch__lte=reached).values_list("epoch", "subject"))
    subjects = {subject for _epoch, subject in rows}
    if EVERYTHING in subjects or len({epoch for epoch, _subject in rows}) != reached - seen:
        return None
    return list(subjects)


def sweep() -> int:
    """Deletes invalidations that every worker has long seen; how many there were."""
    return Invalidation.objects.filter(at__lt=timezone.now() - KEPT_FOR).delete()[0]


def _write(subjects: set[str]) -> int:
    only = Epoch.objects.filter(pk=Epoch.ONLY)
    if not only.update(value=F("value") + 1):
        Epoch.objects.get_or_create(pk=Epoch.ONLY)
        only.update(value=F("value") + 1)
    epoch = only.values_list("value", flat=True).get()
    # Every epoch has a row, or a worker that finds none would have to take it that everything is untrue.
    named = [EVERYTHING] if len(subjects) > MAX_SUBJECTS else subjects or {NOTHING}
    now = timezone.now()
    Invalidation.objects.bulk_create(Invalidation(epoch=epoch, subject=subject, at=now) for subject in named)
    return epoch
