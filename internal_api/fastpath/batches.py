"""The queue of requests that need the database: those that come while others are being answered go together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from internal_api.fastpath.base import Handler
from internal_api.fastpath.replies import Reply

TIMEOUT_SECONDS = 2.0
MAX_BATCH_SIZE = 64
# More than this many would not be answered in time by a database that takes its usual time.
MAX_WAITING = 2_000
# More than ever work at once: some may hang with the database until its driver gives up.
THREADS = 8


class Batches:
    """The batches of one kind of handler, on one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, kind: type[Handler]) -> None:
        self._loop = loop
        self._kind = kind
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="batches")
        self._waiting: deque[tuple[Handler, asyncio.Future[Reply | None]]] = deque()
        self._running: set[asyncio.Task[None]] = set()

    async def reply(self, handler: Handler) -> Reply | None:
        """Return the handler's reply, or None to leave the request to Django.

        Return its `timeout_reply` after TIMEOUT_SECONDS, and at once if MAX_WAITING requests wait already.
        """
        if len(self._waiting) >= MAX_WAITING:
            return handler.timeout_reply()
        future: asyncio.Future[Reply | None] = self._loop.create_future()
        self._waiting.append((handler, future))
        self._start_next()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await future
        except TimeoutError:
            return handler.timeout_reply()

    def close(self) -> None:
        """Wait for the batches that are running."""
        self._threads.shutdown()

    def _start_next(self) -> None:
        if not self._waiting or len(self._running) == self._kind.max_concurrent_batches:
            return
        batch: list[tuple[Handler, asyncio.Future[Reply | None]]] = []
        while self._waiting and len(batch) < MAX_BATCH_SIZE:
            handler, future = self._waiting.popleft()
            if not future.done():  # else it has timed out, or its client has gone
                batch.append((handler, future))
        if batch:
            task = self._loop.create_task(self._run(batch))
            self._running.add(task)
            task.add_done_callback(self._on_done)

    async def _run(self, batch: Sequence[tuple[Handler, asyncio.Future[Reply | None]]]) -> None:
        """Set the results of a batch. Return early if it takes so long that all its requests have timed out."""
        handlers = [handler for handler, _future in batch]
        replies = self._loop.run_in_executor(self._threads, self._kind.reply_all, handlers)
        done, _pending = await asyncio.wait([replies], timeout=TIMEOUT_SECONDS)
        for finished in done:
            for (_handler, future), reply in zip(batch, finished.result(), strict=True):
                if not future.done():
                    future.set_result(reply)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._start_next()
