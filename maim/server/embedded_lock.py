"""The lock that lets one server alone serve an embedded database.

Without Redis a server counts rate limits, quotas and sign-ins in its own memory, so two of them would double every
limit. The lock is an flock on a file beside the database. Forked workers share it, so it is held until the last
process of the server has ended, however it ended.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from django.conf import settings
from django.db import connection


class AlreadyServed(Exception):
    """An embedded database that another server holds."""

    def __init__(self, holder: str) -> None:
        database = connection.settings_dict["NAME"]
        super().__init__(
            f"{database} is being served already, by {holder}; without REDIS_URL each server would count limits anew"
        )


@contextmanager
def hold() -> Iterator[bool]:
    """Hold the lock until the block ends. Raise AlreadyServed, and OSError if the file cannot be written.

    Yield True, or False where there is nothing to lock: with Redis, or with another database than SQLite.
    """
    if not _is_needed():
        yield False
        return
    with _open() as file:
        if not _lock(file):
            raise AlreadyServed(_read(file))
        file.truncate(0)
        file.write(f"process {os.getpid()}\n")
        file.flush()
        yield True


def holder() -> str | None:
    """Return the server that holds the lock, or None."""
    if not _is_needed() or not _path().exists():
        return None
    with _open() as file:
        return None if _lock(file) else _read(file)


def _is_needed() -> bool:
    return connection.vendor == "sqlite" and not settings.REDIS_URL


def _path() -> Path:
    return Path(f"{connection.settings_dict['NAME']}.lock")


def _open() -> TextIO:
    file = _path().open("a+")
    file.seek(0)
    return file


def _lock(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(file: TextIO) -> str:
    return file.read().strip() or "another process"  # one that has only just locked it
