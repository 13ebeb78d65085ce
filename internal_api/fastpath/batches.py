"""The queue of requests that need the database: those that come while others are being answered go together."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

from internal_api.fastpath.base import Handler
from internal_api.fastpath.replies import Reply

TIMEOUT_SECONDS = 2.0
MAX_BATCH_SIZE = 64
# More than this many would not be answered in time by a database that takes its usual time.
MAX_WAITING = 2_000
# More than ever work at once: some may hang with the database until its driver gives up.
THREADS = 8


class _Call(NamedTuple):
    """A request in the queue, and its reply on the event loop."""

    handler: Handler
    reply: asyncio.Future[Reply | None]


class _Run:
    """A thread's run of batches. After the deadline of its batch it most likely hangs, and another may begin."""

    def __init__(self) -> None:
        self.deadline = time.monotonic() + TIMEOUT_SECONDS


class Batches:
    """The batches of one kind of handler, on one event loop.

    A thread that ends a batch begins the next by itself, because the event loop of a busy worker would be slow to hand
    it one.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, kind: type[Handler]) -> None:
        self._loop = loop
        self._kind = kind
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="batches")
        self._lock = threading.Lock()  # of what follows, which threads change, too
        self._waiting: deque[_Call] = deque()
        self._runs: set[_Run] = set()

    def reply_at_once(self, handler: Handler) -> Reply | None:
        """Return the handler's reply if it is cached, its `timeout_reply` if MAX_WAITING requests wait, else None."""
        reply = handler.cached_reply()
        if reply is None and len(self._waiting) >= MAX_WAITING:
            return handler.timeout_reply()
        return reply

    async def reply(self, handler: Handler) -> Reply | None:
        """Return the handler's reply, its `timeout_reply` after TIMEOUT_SECONDS, or None to leave it to Django."""
        at_once = self.reply_at_once(handler)
        if at_once is not None:
            return at_once
        call = _Call(handler, self._loop.create_future())
        with self._lock:
            self._waiting.append(call)
            run = _Run() if self._may_begin() else None
            if run is not None:
                self._runs.add(run)
        if run is not None:
            self._threads.submit(self._work, run)
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await call.reply
        except TimeoutError:
            self._withdraw(call)
            return handler.timeout_reply()

    def close(self) -> None:
        """Wait for the batches that are running."""
        self._threads.shutdown()

    def _withdraw(self, call: _Call) -> None:
        """Let a call wait no longer, so that others may where all running batches hang."""
        with self._lock, suppress(ValueError):  # one of those batches may have it
            self._waiting.remove(call)

    def _may_begin(self) -> bool:
        """Return whether fewer batches are running than may, without those that hang, and a thread is free."""
        now = time.monotonic()
        running = sum(run.deadline > now for run in self._runs)
        return running < self._kind.max_concurrent_batches and len(self._runs) < THREADS

    def _work(self, run: _Run) -> None:
        """Answer batches in a thread until no request waits, or others have begun in place of a run that hung."""
        while batch := self._next_batch(run):
            try:
                replies = self._kind.reply_all([call.handler for call in batch])
            except BaseException as error:  # noqa: BLE001  # raised again by each call
                self._loop.call_soon_threadsafe(_fail, batch, error)
            else:
                self._loop.call_soon_threadsafe(_settle, batch, replies)

    def _next_batch(self, run: _Run) -> list[_Call]:
        """Return the calls that wait, as far as they go together. Return none to end the run."""
        batch: list[_Call] = []
        with self._lock:
            self._runs.discard(run)
            if self._may_begin():
                while self._waiting and len(batch) < MAX_BATCH_SIZE:
                    call = self._waiting.popleft()
                    if not call.reply.done():  # else it has just timed out
                        batch.append(call)
            if batch:
                run.deadline = time.monotonic() + TIMEOUT_SECONDS
                self._runs.add(run)
        return batch


def _settle(batch: Sequence[_Call], replies: Sequence[Reply | None]) -> None:
    """Set the replies of a batch on the event loop."""
    for call, reply in zip(batch, replies, strict=True):
        if not call.reply.done():
            call.reply.set_result(reply)


def _fail(batch: Sequence[_Call], error: BaseException) -> None:
    """Let all calls of a batch raise an error, which is a bug."""
    for call in batch:
        if not call.reply.done():
            call.reply.set_exception(error)
