"""The thread by which a worker knows that what it remembers is still true (core.epoch)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterable

from django.db import Error, connection

from core import epoch, primary

log = logging.getLogger("maim.keys")

# As long without a lease, and the database counts as away: asking it would only hold threads.
LOST_AFTER_SECONDS = 1.0


class Lease:
    """Good for LEASE_SECONDS from the sending of the last reading of the epoch that succeeded."""

    def __init__(self, forget: Callable[[Iterable[str] | None], None]) -> None:
        self._forget = forget
        self._seen: int | None = None
        self._server: Hashable = None
        self._started: float | None = None
        self._good_until = float("-inf")
        self._is_failing = False

    @property
    def is_good(self) -> bool:
        """Whether memory may be believed at this moment."""
        return time.monotonic() < self._good_until

    @property
    def server(self) -> Hashable:
        """The database server that the lease is from (core.primary)."""
        return self._server

    @property
    def is_lost(self) -> bool:
        """Whether the epoch has not been readable for so long that the database counts as away."""
        return self._started is not None and self.seconds_over > LOST_AFTER_SECONDS

    @property
    def seconds_over(self) -> float:
        """For how long the lease has been over."""
        return time.monotonic() - max(self._good_until, self._started or float("-inf"))

    def start(self) -> None:
        """Begins to renew the lease, until the process ends."""
        self._started = time.monotonic()
        threading.Thread(target=self._run, name="epoch-lease", daemon=True).start()

    def renew(self) -> None:
        """Reads the epoch and forgets what it says; raises django.db.Error, also where the server takes no writes.

        Forgetting comes before the new term, so that nothing that is to be forgotten is ever under a
        good lease. Of another server everything is forgotten: it may never have heard of what the one before
        had committed.
        """
        primary.drop_obsolete_connection()
        sent = time.monotonic()
        reached = epoch.current()
        if (server := primary.server()) != self._server:
            self._server, self._seen = server, None
        if self._seen is None:
            self._forget(None)
        elif reached != self._seen:
            self._forget(epoch.invalidated_between(self._seen, reached) if reached > self._seen else None)
        self._seen = reached
        self._good_until = sent + epoch.LEASE_SECONDS

    def _run(self) -> None:
        while True:
            began = time.monotonic()
            try:
                self.renew()
            except Exception as error:  # the thread's outermost frame: ended, it would end all remembering
                connection.close()
                if not self._is_failing:
                    is_expected = isinstance(error, Error)
                    log.warning("the epoch cannot be read: %s", error, exc_info=None if is_expected else error)
                self._is_failing = True
                # Who answers next may be another database, which never heard of what this one had committed.
                self._seen = None
            else:
                if self._is_failing:
                    log.warning("the epoch can be read again")
                self._is_failing = False
            time.sleep(max(0.0, epoch.POLL_SECONDS - (time.monotonic() - began)))
