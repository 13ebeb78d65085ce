"""The process of a bridge: one for each old database, whatever becomes of either database."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter

from django.db import connection

from core.db import DATABASE_ERRORS
from core.locks import locked, renew
from legacy.bridge.following import FEED_SECONDS, Following, compared_once
from legacy.bridge.target import Unavailable, opened
from legacy.sources import Source

log = logging.getLogger("maim.bridge")

RETRY_SECONDS = 2
_RENEW_SECONDS = 60


def lock_name(source: Source) -> str:
    """Return the name of the lock that a bridge to this database holds. Raise SourceError."""
    return f"bridge {source.identity}"


def compare_once(source: Source, *, with_secrets: bool, is_dry: bool) -> Counter[tuple[str, str]]:
    """Compare everything once; return how many objects there were, by kind and what became of them.

    Raise SourceError, Unavailable, and Locked while another bridge has the database; a dry run goes on beside it.
    """
    lease = _Lease(lock_name(source))
    if is_dry:
        return _compared(source, with_secrets=with_secrets, lease=None)
    with locked(lease.name):
        return _compared(source, with_secrets=with_secrets, lease=lease)


def _compared(source: Source, *, with_secrets: bool, lease: _Lease | None) -> Counter[tuple[str, str]]:
    done: Counter[tuple[str, str]] = Counter()
    with opened(source) as target:
        for sync in compared_once(source, target, with_secrets=with_secrets, is_dry=lease is None):
            done = sync.done
            if lease is not None:
                lease.keep()
    return done


class _Lease:
    """A lock that is held, and kept alive."""

    def __init__(self, name: str) -> None:
        self.name, self._renewed = name, time.monotonic()

    def keep(self) -> None:
        """Renew the lock where it is time. Raise Locked if another process has taken it over."""
        if time.monotonic() - self._renewed > _RENEW_SECONDS:
            renew(self.name)
            self._renewed = time.monotonic()


class Runner:
    """A bridge that runs until `stopping` is set."""

    def __init__(self, source: Source, *, with_secrets: bool, stopping: threading.Event) -> None:
        self._source, self._with_secrets, self._stopping = source, with_secrets, stopping
        self._has_outage = False

    def run(self) -> None:
        """Run. Raise SourceError for what cannot be the right database, and Locked while another bridge has it."""
        name = lock_name(self._source)
        try:
            while not self._stopping.is_set():
                try:
                    with locked(name):
                        self._hold(_Lease(name))
                except DATABASE_ERRORS as error:
                    connection.close()
                    self._wait_out(f"maim's database does not answer: {error}")
        finally:
            connection.close()

    def _hold(self, lease: _Lease) -> None:
        while not self._stopping.is_set():
            try:
                lease.keep()
                with opened(self._source) as target:
                    self._follow(Following(self._source, target, with_secrets=self._with_secrets), lease)
            except Unavailable as error:
                self._wait_out(f"{self._source} does not answer: {error}")

    def _follow(self, following: Following, lease: _Lease) -> None:
        while not self._stopping.is_set():
            lease.keep()
            has_more = following.step()
            if self._has_outage:
                log.info("%s is followed again", self._source)
                self._has_outage = False
            if not has_more:
                self._stopping.wait(FEED_SECONDS / 2)

    def _wait_out(self, sentence: str) -> None:
        """Wait a little. An outage is logged once, however often its end is tried."""
        if not self._has_outage:
            log.warning("%s; trying again until it does", sentence)
            self._has_outage = True
        self._stopping.wait(RETRY_SECONDS)
