"""The lease under which a worker may answer from its cache, and the thread that renews it (core.epoch)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Hashable

from django.db import Error, connection

from apikeys.verification.cache import KeyCache
from core import epoch, primary

log = logging.getLogger("maim.keys")

# After so long without a lease the database counts as unavailable: queries would only block threads.
LOST_AFTER_SECONDS = 1.0


class Lease:
    """A lease on a cache. It is valid for LEASE_SECONDS after the last successful reading of the epoch was sent."""

    def __init__(self, cache: KeyCache) -> None:
        self._cache = cache
        self._seen: int | None = None
        self._server: Hashable = None
        self._started: float | None = None
        self._valid_until = float("-inf")
        self._is_failing = False

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
        """The seconds since the lease expired, or since `start` where there never was one."""
        return time.monotonic() - max(self._valid_until, self._started or float("-inf"))

    def start(self) -> None:
        """Renew the lease from now on, until the process ends."""
        self._started = time.monotonic()
        threading.Thread(target=self._run, name="epoch-lease", daemon=True).start()

    def renew(self) -> None:
        """Read the epoch and invalidate what changed since the last reading, then extend the lease.

        Raise django.db.Error if the epoch cannot be read or the server takes no writes. Invalidation comes first, so
        that nothing outdated is ever under a valid lease. After a switch to another server everything is invalidated,
        because that server may not have what the previous one had committed.
        """
        primary.drop_obsolete_connection()
        sent = time.monotonic()
        reached = epoch.current()
        if (server := primary.server()) != self._server:
            self._server, self._seen = server, None
        if self._seen is None:
            self._cache.invalidate(None)
        elif reached != self._seen:
            self._cache.invalidate(epoch.invalidated_between(self._seen, reached) if reached > self._seen else None)
        self._seen = reached
        self._valid_until = sent + epoch.LEASE_SECONDS

    def _run(self) -> None:
        while True:
            began = time.monotonic()
            try:
                self.renew()
            except Exception as error:  # the thread's outermost frame: its end would be the end of all caching
                connection.close()
                if not self._is_failing:
                    is_expected = isinstance(error, Error)
                    log.warning("the epoch cannot be read: %s", error, exc_info=None if is_expected else error)
                self._is_failing = True
                # The next answer may come from another database, which lacks what this one had committed.
                self._seen = None
            else:
                if self._is_failing:
                    log.warning("the epoch can be read again")
                self._is_failing = False
            time.sleep(max(0.0, epoch.POLL_SECONDS - (time.monotonic() - began)))
