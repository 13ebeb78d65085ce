"""The number of connections that a worker may have."""

from __future__ import annotations

import resource

from django.conf import settings

# Connections accepted beyond those that are served, so that their clients get a refusal. More are closed unread.
REFUSED_AT_ONCE = 500
# Files that a process has open beside the connections that it serves: those that it refuses, and connections of the
# database and Redis, logs and metrics.
RESERVED_FILES = REFUSED_AT_ONCE + 500
DEFAULT_LIMIT = 20_000


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
