"""The reading of request bodies on the event loop, within MAIM_REQUEST_TIMEOUT_SECONDS."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from time import perf_counter

from django.conf import settings
from granian.rsgi import HTTPProtocol, Scope  # type: ignore[attr-defined]  # re-exported without saying so

# Of one body. A chunk takes the event loop some 20 microseconds: a body byte by byte would block it for half a minute.
MAX_CHUNKS = 10_000
_WATCH_EVERY_SECONDS = 0.25


class BodyReader:
    """Reads bodies, and ends the reads that take too long.

    One task watches all reads, because a timer for each (asyncio.timeout) would take longer than most reads.
    """

    def __init__(self) -> None:
        self._seconds: float = settings.REQUEST_TIMEOUT_SECONDS
        self._max_bytes: int = settings.MAX_BODY_BYTES
        # The reads under way and their start, the oldest first.
        self._reading: dict[asyncio.Task[object], float] = {}

    async def read(self, scope: Scope, protocol: HTTPProtocol, started: float) -> bytes:
        """Return the body of a request that started at this `perf_counter` time.

        Raise ProtocolClosed if it ends early, and TimeoutError if it takes too long. Of a body that is too large or in
        too many chunks, return nothing or one byte more than is allowed, because the surface refuses either.
        """
        task = asyncio.current_task()
        assert task is not None
        self._reading[task] = started
        try:
            return await self._body(scope, protocol)
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

    def _body(self, scope: Scope, protocol: HTTPProtocol) -> Awaitable[bytes]:
        length = scope.headers.get("content-length")
        if length is None:
            return self._chunks(protocol)
        # Do not wait for one that is too large: its sender may be waiting for the refusal.
        return _nothing() if int(length) > self._max_bytes else protocol()

    async def _chunks(self, protocol: HTTPProtocol) -> bytes:
        body, chunks = bytearray(), 0
        async for chunk in protocol:
            body += chunk
            chunks += 1
            if chunks > MAX_CHUNKS:
                return bytes(self._max_bytes + 1)
            if len(body) > self._max_bytes:
                break
        return bytes(body)


async def _nothing() -> bytes:
    return b""
