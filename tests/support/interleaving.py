"""Actions of another thread between two queries of this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, TimeoutError
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from django.db import connection

from tests.support.instances import WAIT


class OtherThread(Protocol):
    """Another thread with a connection of its own."""

    def __call__(self, act: Callable[[], object], /, *, wait: float | None = None) -> None:
        """Run a function there, and wait for its end.

        `wait` limits the seconds, for a function that may have to wait for this thread.
        """


@contextmanager
def other_thread() -> Iterator[OtherThread]:
    """Yield another thread. On exit, wait until it has run all its functions."""
    with ThreadPoolExecutor(1) as pool:
        started = []

        def run(act: Callable[[], object], /, *, wait: float | None = None) -> None:
            started.append(pool.submit(act))
            if wait is None:
                started.pop().result(timeout=WAIT)
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
    connection.close()  # in the thread, because `connection.close` belongs to the thread that looks it up


class AfterQuery:
    """A wrapper (connection.execute_wrapper) that counts queries, and calls a function right after one of them.

    Unless `anywhere`, it does not call it inside of a transaction, whose locks the function might wait for.
    """

    def __init__(self, number: int = 0, act: Callable[[], object] = lambda: None, *, anywhere: bool = False) -> None:
        self.number, self.act, self.anywhere = number, act, anywhere
        self.count = 0
        self.has_acted = False

    def __call__(self, execute: Callable[..., Any], *query: Any) -> Any:
        result = execute(*query)
        self.count += 1
        if self.count == self.number and (self.anywhere or not connection.in_atomic_block):
            self.has_acted = True
            self.act()
        return result
