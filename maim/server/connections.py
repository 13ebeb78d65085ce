"""The limit of connections."""

from __future__ import annotations

import resource

from django.conf import settings

# Files that a process of maim has open beside connections that it serves: connections that it refuses, and those of the
# database, Redis, logs and metrics.
RESERVED_FILES = 1_000
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
