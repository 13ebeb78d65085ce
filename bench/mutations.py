"""Five changes of keys a second during a measurement."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Self

import httpx

from bench.load import TIMEOUT_SECONDS, Wrong
from bench.services import Maim
from tests.support.instances import wait_until

UNAVAILABLE = "SYS_002"

PER_SECOND = 5
# Each change waits for workers, and on a busy machine for its turn, so that many run at once.
LANES = 16
KEPT_UP = 0.7


class Mutations:
    """A context manager that disables and enables keys over v2. It raises Wrong if maim cannot keep up."""

    def __init__(self, maim: Maim) -> None:
        self._maim = maim
        self._threads = ThreadPoolExecutor(LANES)
        self._lanes: list[Future[None]] = []
        self._began = 0.0
        self._answered = 0
        self._is_over = False

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._lanes = [self._threads.submit(self._run, lane) for lane in range(LANES)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        for lane in self._lanes:
            lane.result()
        self._threads.shutdown()
        due = PER_SECOND * (time.monotonic() - self._began)
        if kind is None and self._answered < due * KEPT_UP:
            raise Wrong(f"{self._answered} mutations were answered where {due:.0f} were due")

    def _run(self, lane: int) -> None:
        """Send every LANES-th change: one disables a key, the next enables it."""
        with httpx.Client(base_url=self._maim.base, timeout=TIMEOUT_SECONDS) as client:
            number = 0
            while not self._is_over:
                key = self._maim.keys[LANES * (number // 2) + lane]
                for action in ("disable", "enable"):
                    at = self._began + (LANES * number + lane) / PER_SECOND
                    time.sleep(max(0.0, at - time.monotonic()))
                    wait_until(partial(_change, client, f"/api/v2/api-keys/{key.id}/{action}"), "the key is changed")
                    self._answered += 1
                    number += 1


def _change(client: httpx.Client, path: str) -> bool:
    """Return whether a change was made. A busy machine may refuse it for a moment. Raise Wrong for any other error."""
    answer = client.post(path).json()
    if not answer["success"] and answer["error_code"] != UNAVAILABLE:
        raise Wrong(f"a mutation failed: {answer}")
    is_made: bool = answer["success"]
    return is_made
