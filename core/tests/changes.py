"""Services that move the epoch, run from any thread, with a replaced wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from django.db import connection

from core import epoch
from core.db import transactional_and_propagated
from core.errors import Conflict
from core.models import Invalidation
from core.tests.models import Thing
from tests.support.instances import WAIT


class Waits:
    """A replacement of `time` that records each sleep, and can block it."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.inside_a_transaction: list[bool] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self.inside_a_transaction.append(connection.in_atomic_block)
        assert self.go_on.wait(WAIT)


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
