"""The number of connections that a worker has open, and its limits."""

from __future__ import annotations

import os
import resource
import time

from django.conf import settings

# Files that a process of maim has open beside connections of clients: of the database, Redis, logs and metrics.
RESERVED_FILES = 1_000
DEFAULT_LIMIT = 20_000
# Files that a worker opens for itself after its start: on SQLite three in each thread.
_OWN_FILES = 200
_REFUSED_AT_ONCE = 500
_KEEP_ALIVE_BELOW = 0.8
_COUNT_EVERY_SECONDS = 0.2


def raise_file_limit() -> None:
    """Let this process, and those forked from it, have as many files open as the system allows."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def worker_limit() -> int:
    """Return how many connections a worker serves: its share of MAIM_MAX_CONNECTIONS."""
    total = settings.ENV.MAIM_MAX_CONNECTIONS
    if total is None:
        files, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        total = max(1, min(DEFAULT_LIMIT, files - RESERVED_FILES))
    return max(1, total // settings.ENV.MAIM_WORKERS)


def accepted_connections() -> int:
    """Return how many connections a worker accepts.

    These are more than it serves, so that it refuses some. The rest waits for the operating system, in silence.
    """
    return worker_limit() + _REFUSED_AT_ONCE


class Connections:
    """The open connections of this worker, counted as the files that it opened since its start, less its own."""

    def __init__(self) -> None:
        self._limit = worker_limit()
        self._other_files = _open_files() + _OWN_FILES
        self._number = 0
        self._counted = float("-inf")

    @property
    def are_too_many(self) -> bool:
        """True beyond the limit, where requests are refused."""
        return self._count() > self._limit

    @property
    def may_be_kept(self) -> bool:
        """True while there are so few that a connection may stay open after its response."""
        return self._count() < self._limit * _KEEP_ALIVE_BELOW

    def _count(self) -> int:
        now = time.monotonic()
        if now - self._counted > _COUNT_EVERY_SECONDS:
            self._number, self._counted = _open_files() - self._other_files, now
        return self._number


def _open_files() -> int:
    """Return the number of this process' open files. Return 0 where the system does not tell."""
    try:
        # Linux 6.2 and later; earlier ones say 0, and there every file has to be listed.
        return os.stat("/proc/self/fd").st_size or len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0
