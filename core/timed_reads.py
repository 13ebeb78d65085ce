"""Reads of the database that nobody waits long for, such as those of metrics."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connection

from core.db import DATABASE_ERRORS

R = TypeVar("R")
_TIMEOUT_SECONDS = 0.5
_executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="timed-reads")


def read_in_time(read: Callable[[], R]) -> R | None:
    """Return what `read` gets from the database, or None if that does not answer within half a second."""
    reading = _executor.submit(_read_and_close, read)
    try:
        return reading.result(_TIMEOUT_SECONDS)
    except (TimeoutError, *DATABASE_ERRORS):
        reading.cancel()
        return None


def _read_and_close(read: Callable[[], R]) -> R:
    try:
        return read()
    finally:
        connection.close()  # Django closes connections after requests, which this thread has none of
