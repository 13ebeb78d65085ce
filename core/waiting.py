"""Requests that wait in a thread of a surface, and let others be served in the meantime."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Threads(Protocol):
    """The threads that one belongs to (maim.server.thread_queue)."""

    def leave(self) -> None:
        """Count the thread that calls out, and begin another request in its place."""

    def come_back(self) -> None:
        """Count the thread that calls in again."""


_this_thread = threading.local()


def belong_to(threads: Threads) -> None:
    """Say that this thread is one of a surface."""
    _this_thread.threads = threads


@contextmanager
def waiting() -> Iterator[None]:
    """Let another request begin while this one only waits. It takes effect in threads of a surface alone."""
    threads: Threads | None = getattr(_this_thread, "threads", None)
    if threads is None:
        yield
        return
    threads.leave()
    try:
        yield
    finally:
        threads.come_back()
