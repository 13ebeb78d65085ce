"""The reading of request bodies on the event loop, within MAIM_REQUEST_TIMEOUT_SECONDS."""

from __future__ import annotations

import asyncio
from time import perf_counter

from django.conf import settings

from maim.server.exchange import Exchange

_WATCH_EVERY_SECONDS = 0.25


class BodyReader:
    """A reader of bodies, which ends the reads that take too long.

    One task watches all reads, because a timer for each (asyncio.timeout) would take longer than most reads.
    """

    def __init__(self) -> None:
        self._seconds: float = settings.REQUEST_TIMEOUT_SECONDS
        self._max_bytes: int = settings.MAX_BODY_BYTES
        # The reads under way and their start, the oldest first.
        self._reading: dict[asyncio.Task[object], float] = {}

    async def read(self, exchange: Exchange) -> None:
        """Wait for the body of a request, but not for the rest of one that is too large, which Django refuses.

        Raise ClientGone if it ends early, and TimeoutError if it takes too long.
        """
        if int(exchange.headers.get("content-length", "0")) > self._max_bytes:
            return  # its sender may be waiting for the refusal
        task = asyncio.current_task()
        assert task is not None
        self._reading[task] = exchange.started
        try:
            await exchange.read_body()
        except asyncio.CancelledError:
            if task in self._reading:
                raise  # by somebody else
            task.uncancel()
            raise TimeoutError from None
        finally:
            self._reading.pop(task, None)

    async def watch(self) -> None:
        """Cancel the reads that take too long, until this task is cancelled."""
        while True:
            await asyncio.sleep(_WATCH_EVERY_SECONDS)
            latest = perf_counter() - self._seconds
            for task in [task for task, started in self._reading.items() if started < latest]:
                del self._reading[task]
                task.cancel()
