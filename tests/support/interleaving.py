"""Something done at a chosen moment: by another thread, between two queries of this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, TimeoutError
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from django.db import connection


class OtherThread(Protocol):
    """One other thread, which has a connection of its own."""

    def __call__(self, act: Callable[[], object], /, *, wait: float | None = None) -> None:
        """Do it there and wait for its end, or at most so many seconds where this thread may be what it waits for."""


@contextmanager
def other_thread() -> Iterator[OtherThread]:
    """Provide such a thread. At the end all that it was given is done."""
    with ThreadPoolExecutor(1) as pool:
        started = []

        def run(act: Callable[[], object], /, *, wait: float | None = None) -> None:
            started.append(pool.submit(act))
            if wait is None:
                started.pop().result(timeout=30)
            else:
                with suppress(TimeoutError):
                    started[-1].result(timeout=wait)

        try:
            yield run
        finally:
            pool.submit(_close).result()
        for each in started:
            each.result()


def _close() -> None:
    connection.close()  # here, because `connection.close` is bound to the connection of whoever asks for it


class AfterQuery:
    """A wrapper of queries (connection.execute_wrapper) that counts them, and acts right after one of them.

    Unless `anywhere`, it does not act inside of a transaction, which may hold locks that the act would wait for.
    """

    def __init__(self, number: int = 0, act: Callable[[], object] = lambda: None, *, anywhere: bool = False) -> None:
        self.number, self.act, self.anywhere = number, act, anywhere
        self.count = 0

    def __call__(self, execute: Callable[..., Any], *query: Any) -> Any:
        result = execute(*query)
        self.count += 1
        if self.count == self.number and (self.anywhere or not connection.in_atomic_block):
            self.act()
        return result
