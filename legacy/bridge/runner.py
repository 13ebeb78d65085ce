"""The process of a bridge. Only one runs for each old database, and it survives outages of both databases."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter

from django.db import connection

from core.db import DATABASE_ERRORS
from core.locks import locked, renew
from legacy.bridge.database import DatabaseUnavailable, open_database
from legacy.bridge.follower import FEED_SECONDS, Follower, compare_once
from legacy.sources import Source

log = logging.getLogger("maim.bridge")

RETRY_SECONDS = 2
_RENEW_SECONDS = 60


def lock_name(source: Source) -> str:
    """Return the name of the lock that a bridge to this database holds. Raise SourceError."""
    return f"bridge {source.identity}"


def run_once(source: Source, *, with_secrets: bool, is_dry: bool) -> Counter[tuple[str, str]]:
    """Compare everything once. Return the number of objects by kind and outcome.

    Raise SourceError, DatabaseUnavailable, and Locked while another bridge to this database runs. A dry run may run
    beside it.
    """
    if is_dry:
        return _compare(source, with_secrets=with_secrets, lock=None)
    lock = _HeldLock(lock_name(source))
    with locked(lock.name):
        return _compare(source, with_secrets=with_secrets, lock=lock)


def _compare(source: Source, *, with_secrets: bool, lock: _HeldLock | None) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    with open_database(source) as database:
        for sync in compare_once(source, database, with_secrets=with_secrets, is_dry=lock is None):
            counts = sync.counts
            if lock is not None:
                lock.renew_if_due()
    return counts


class _HeldLock:
    """A lock that this process holds."""

    def __init__(self, name: str) -> None:
        self.name, self._renewed_at = name, time.monotonic()

    def renew_if_due(self) -> None:
        """Renew the lock from time to time. Raise Locked if another process has taken it over."""
        if time.monotonic() - self._renewed_at > _RENEW_SECONDS:
            renew(self.name)
            self._renewed_at = time.monotonic()


class Runner:
    """A bridge that runs until `stopping` is set."""

    def __init__(self, source: Source, *, with_secrets: bool, stopping: threading.Event) -> None:
        self._source, self._with_secrets, self._stopping = source, with_secrets, stopping
        self._has_outage = False

    def run(self) -> None:
        """Run the bridge. Raise SourceError for a wrong database, and Locked while another bridge to it runs."""
        name = lock_name(self._source)
        try:
            while not self._stopping.is_set():
                try:
                    with locked(name):
                        self._run_locked(_HeldLock(name))
                except DATABASE_ERRORS as error:
                    connection.close()
                    self._wait_for_database(f"maim's database does not answer: {error}")
        finally:
            connection.close()

    def _run_locked(self, lock: _HeldLock) -> None:
        while not self._stopping.is_set():
            try:
                lock.renew_if_due()
                with open_database(self._source) as database:
                    self._follow(Follower(self._source, database, with_secrets=self._with_secrets), lock)
            except DatabaseUnavailable as error:
                self._wait_for_database(f"{self._source} does not answer: {error}")

    def _follow(self, follower: Follower, lock: _HeldLock) -> None:
        while not self._stopping.is_set():
            lock.renew_if_due()
            has_more = follower.step()
            if self._has_outage:
                log.info("%s is followed again", self._source)
                self._has_outage = False
            if not has_more:
                self._stopping.wait(FEED_SECONDS / 2)

    def _wait_for_database(self, message: str) -> None:
        """Wait before the next attempt. An outage is logged once."""
        if not self._has_outage:
            log.warning("%s; trying again until it does", message)
            self._has_outage = True
        self._stopping.wait(RETRY_SECONDS)
