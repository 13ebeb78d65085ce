"""Functions that run at once, each in a thread with a database connection of its own, and pauses of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from django.db import connection

from tests.support.instances import WAIT

HELD_UP = 0.2  # seconds after which a thread is taken to wait for the other's lock


def on_own_connection(function: Callable[[], Any]) -> Any:
    try:
        return function()
    finally:
        connection.close()


def at_once(*functions: Callable[[], Any]) -> list[Any]:
    """Run the functions in threads of their own; return their results."""
    with ThreadPoolExecutor(len(functions)) as threads:
        futures = [threads.submit(on_own_connection, function) for function in functions]
        return [future.result(WAIT) for future in futures]


class Pause:
    """A point at which a request in another thread waits for the test."""

    def __init__(self) -> None:
        self._is_mine = threading.local()
        self._reached, self._resumed = threading.Event(), threading.Event()

    def after(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that stops threads of `run` after its first call in them."""

        def pausing(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            if getattr(self._is_mine, "value", False):
                self._is_mine.value = False
                self._reached.set()
                assert self._resumed.wait(WAIT)
            return result

        return pausing

    def resume(self) -> None:
        self._resumed.set()

    @contextmanager
    def run(self, request: Callable[[], Any]) -> Iterator[Future[Any]]:
        """Start a request; enter when it has stopped, and let it go on at the exit."""
        with ThreadPoolExecutor(1) as threads:
            future = threads.submit(on_own_connection, lambda: self._marked(request))
            try:
                assert self._reached.wait(WAIT), "the request did not come to the pause"
                yield future
            finally:
                self.resume()

    def _marked(self, request: Callable[[], Any]) -> Any:
        self._is_mine.value = True
        return request()
