"""Services that move the epoch, run from any thread, with a replaced wait."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from django.db import connection

from core import epoch
from core.db import transactional_and_propagated
from core.errors import Conflict
from core.models import Invalidation
from core.tests.models import Thing


class Waits:
    """A replacement of `time` that records each sleep. Its clock stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.seconds: list[float] = []
        self.inside_a_transaction: list[bool] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self.inside_a_transaction.append(connection.in_atomic_block)


@transactional_and_propagated
def change(*subjects: str, name: str | None = None, fail: bool = False) -> None:
    if subjects:
        epoch.invalidate(*subjects)
    if name is not None:
        Thing.objects.create(id=name, name=name)
    if fail:
        raise Conflict


def invalidated() -> list[tuple[int, str]]:
    """Return every committed invalidation."""
    return sorted(Invalidation.objects.values_list("epoch", "subject"))


def at_once(threads: ThreadPoolExecutor, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
    """Run a function in a thread with a connection of its own."""

    def run() -> Any:
        try:
            return function(*arguments)
        finally:
            connection.close()

    return threads.submit(run)
