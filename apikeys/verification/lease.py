"""The lease under which a worker may answer from its cache, and the threads that renew it (core.epoch).

A lease lasts LEASE_SECONDS from the sending of a reading of the epoch. It is granted on these terms, on which changes
rely that do not wait for a whole lease (core.approvals):

1. What changed up to the epoch is dropped from the cache, and then the epoch is noted: committed in this worker's row.
2. A noted epoch counts for the reading that found it only if the epoch noted before was still current less than a lease
   ago, when the note has been committed. Otherwise the row may have been taken for that of a dead worker, and deleted;
   then the epoch is read again, and it counts for that reading.
3. After a failure, and on another server, the worker begins anew: with an empty cache and a row of another name,
   because an earlier note with an unknown outcome may still be carried out.

Notes have a thread of their own, because writes can hang while reads do not.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Hashable
from typing import NamedTuple

from django.db import Error, connection

from apikeys.verification.cache import KeyCache
from core import approvals, epoch, nudges, primary

log = logging.getLogger("maim.keys")

# After so long without a reading the database counts as unavailable: queries would only block threads.
LOST_AFTER_SECONDS = 1.0
# The shortest time between two readings, however many nudges there are.
PAUSE_SECONDS = 0.01

NEVER = float("-inf")


class _Reading(NamedTuple):
    """A successful reading of the epoch."""

    sent: float
    epoch: int
    server: Hashable
    worker: str  # the name of the row in which it is to be noted
    watched_since: float  # since when the server has been read without a pause

    @property
    def note(self) -> tuple[str, int, bool]:
        """The note that is due: the row's name, the epoch, and whether the worker vouches for the server."""
        return self.worker, self.epoch, self.sent - self.watched_since >= epoch.PROPAGATION_SECONDS


class Lease:
    """A lease on a cache."""

    def __init__(self, cache: KeyCache) -> None:
        self._cache = cache
        self._started: float | None = None
        self._failing: set[str] = set()
        self._nudged = threading.Event()
        self._lock = threading.Lock()  # of what follows, which both threads change
        self._reading: _Reading | None = None  # the last one; None after a failure
        self._noted: tuple[str, int, bool] | None = None
        self._note_is_due = threading.Event()
        self._current_at = NEVER  # when a reading was sent that found the noted epoch
        self._server: Hashable = None
        self._read_until = self._valid_until = NEVER
        self._trusted_since = NEVER

    @property
    def is_valid(self) -> bool:
        """True while the cache may be used."""
        return time.monotonic() < self._valid_until

    @property
    def server(self) -> Hashable:
        """The database server that the lease is from (core.primary)."""
        return self._server

    @property
    def is_lost(self) -> bool:
        """True if the epoch has not been readable for so long that the database counts as unavailable."""
        return self._started is not None and self.seconds_over > LOST_AFTER_SECONDS

    @property
    def seconds_over(self) -> float:
        """The seconds since the last reading expired, or since `start` where there never was one."""
        return time.monotonic() - max(self._read_until, self._started or NEVER)

    def start(self) -> None:
        """Renew the lease from now on, until the process ends."""
        self._started = time.monotonic()
        for name, run in (("epoch-lease", self._run), ("epoch-notes", self._run_notes)):
            threading.Thread(target=run, name=name, daemon=True).start()
        nudges.listen(self.nudge)

    def nudge(self) -> None:
        """Let the epoch be read soon, because it may have moved."""
        self._nudged.set()

    def read(self) -> None:
        """Read the epoch and drop what changed since the last reading. Extend the lease if the epoch is noted.

        Raise django.db.Error if the epoch cannot be read or the server takes no writes. Everything is dropped after a
        switch to another server, because that one may not have what the previous one had committed.
        """
        primary.drop_obsolete_connection()
        sent = time.monotonic()
        reached = epoch.current()
        server, last = primary.server(), self._reading
        if last is None or server != last.server or reached < last.epoch:
            self._server, last = server, None
            self._reading = None  # before what may fail
        if last is None or reached != last.epoch:
            self._trusted_since = time.monotonic()
            primary.trust(self._trusted_since, self._valid_until)
            self._cache.invalidate(None if last is None else epoch.invalidated_between(last.epoch, reached))
        with self._lock:
            self._read_until = sent + epoch.LEASE_SECONDS
            if self._reading != last:
                return  # a note has failed meanwhile
            if last is None:
                self._current_at = NEVER
                self._reading = _Reading(sent, reached, server, secrets.token_hex(16), watched_since=sent)
            else:
                is_continuous = sent <= last.sent + epoch.LEASE_SECONDS
                since = last.watched_since if is_continuous else sent
                self._reading = _Reading(sent, reached, server, last.worker, since)
            if self._noted is not None and self._noted[:2] == self._reading.note[:2]:
                self._extend(sent)
            is_due = self._is_due(self._reading)
        if is_due:
            self._note_is_due.set()

    def note(self) -> None:
        """Note the epoch that was read last, and extend the lease if it counts for that reading.

        Raise django.db.Error if it is not committed, or the outcome is unknown.
        """
        reading = self._reading
        if reading is None or not self._is_due(reading):
            return
        worker, reached, is_vouched_for = reading.note
        approvals.note(worker, reached, server=reading.server, is_vouched_for=is_vouched_for)
        committed = time.monotonic()
        with self._lock:
            if self._reading is None or self._reading.worker != worker:
                return  # it has begun anew meanwhile
            self._noted = reading.note
            if committed < self._current_at + epoch.LEASE_SECONDS:
                self._extend(reading.sent)
            else:
                self._current_at = reading.sent
                self.nudge()

    def _is_due(self, reading: _Reading) -> bool:
        """Return whether a reading is to be noted: it has another epoch, or the worker vouches for the server by now.

        What was noted of an epoch stays true, so nothing is written while nothing changes.
        """
        return self._noted is None or self._noted[:2] != reading.note[:2] or self._noted < reading.note

    def _extend(self, sent: float) -> None:
        """Extend the lease, because a reading that was sent then counts."""
        self._current_at = max(self._current_at, sent)
        self._valid_until = max(self._valid_until, sent + epoch.LEASE_SECONDS)
        primary.trust(self._trusted_since, self._valid_until)

    def _run(self) -> None:
        while True:
            began = time.monotonic()
            self._attempt(self.read, "read")
            self._pause(began)

    def _pause(self, began: float) -> None:
        """Wait until the epoch is to be read again."""
        _wait_until(began + PAUSE_SECONDS, time.sleep)
        _wait_until(began + epoch.POLL_SECONDS, self._nudged.wait)
        self._nudged.clear()

    def _run_notes(self) -> None:
        while True:
            self._note_is_due.wait()
            self._note_is_due.clear()
            if not self._attempt(self.note, "noted"):
                time.sleep(epoch.POLL_SECONDS)

    def _attempt(self, step: Callable[[], None], what: str) -> bool:
        """Run one step of a thread, and return whether it ran. Log the first of several failures, and their end."""
        try:
            step()
        except Exception as error:  # the thread's outermost frame: its end would be the end of all caching
            connection.close()
            if what not in self._failing:
                is_expected = isinstance(error, Error)
                log.warning("the epoch cannot be %s: %s", what, error, exc_info=None if is_expected else error)
            self._failing.add(what)
            with self._lock:
                # The next answer may come from another database, which lacks what this one had committed.
                self._reading = None
            return False
        if what in self._failing:
            log.warning("the epoch can be %s again", what)
            self._failing.discard(what)
        return True


def _wait_until(moment: float, wait: Callable[[float], object]) -> None:
    seconds = moment - time.monotonic()
    if seconds > 0:
        wait(seconds)
