"""The internal surface as Granian serves it: what memory can answer on the event loop, the rest in threads.

The bots' questions come thousands of times a second, and most take some microseconds. To hand each to a
thread would cost more than to answer it: threads that all want the interpreter take turns at several
times that price. So the loop answers them itself, and whatever may wait (the database, Redis, a change
that waits out a lease) is the WSGI application's, in one of the surface's threads.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from django.conf import settings
from granian.rsgi import Headers, HTTPProtocol, ProtocolClosed, Scope  # type: ignore[attr-defined]  # re-exported without saying so

from apikeys import verification
from core.http import metrics
from core.http.surfaces import Surface
from internal_api.fastpath import agents as readings
from internal_api.fastpath import keys as shortcut
from internal_api.fastpath.responses import Reply
from maim.wsgi import application

ANSWER_SECONDS = 2.0
MAX_BATCH = 64
# The second, for the questions that come while the database or Redis holds up the first.
MAX_BATCHES = 2
# Of one body. Each takes the loop some 20 microseconds: one that came byte by byte would hold it up for half a minute.
MAX_CHUNKS = 10_000
# More than are ever at work: some may hang with the database, until its driver gives up.
BATCH_THREADS = 8


class InternalApplication:
    """An RSGI application over `maim.wsgi.application`."""

    def __init__(self, surface: Surface) -> None:
        self._threads = ThreadPoolExecutor(surface.threads, thread_name_prefix=surface.name)
        self._host, self._port = surface.bind.host, str(surface.bind.port)

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._questions = Batches(loop, shortcut.answered)
        self._readings = Batches(loop, readings.answered)
        self._tally = loop.create_task(_write_tally())
        verification.start()

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._tally.cancel()
        self._questions.end()
        self._readings.end()
        self._threads.shutdown()
        verification.end()
        metrics.write_tally()

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        try:
            body = await _read(scope, protocol)
        except ProtocolClosed:
            protocol.response_empty(400, [])  # there was half a request, whose sender has most likely gone
            return
        header = partial(_header, scope.headers)
        reply: Reply
        if (asked := shortcut.request(scope.method, scope.path, self._port, header, lambda: body)) is not None:
            reply = asked.recalled() or await self._questions.reply(asked)
            asked.tally(reply)
        elif (read := readings.reading(scope.method, scope.path, scope.query_string, self._port, header)) is not None:
            reply = await self._readings.reply(read)
            read.tally(reply)
        else:
            environ = self._environ(scope, body)
            reply = await self._loop.run_in_executor(self._threads, _answer, environ)
        protocol.response_bytes(reply.status, reply.headers, reply.body)

    def _environ(self, scope: Scope, body: bytes) -> dict[str, Any]:
        """The request as PEP 3333 wants it."""
        client, _, client_port = scope.client.rpartition(":")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": scope.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": scope.path.encode().decode("latin-1"),
            "QUERY_STRING": scope.query_string,
            "SERVER_NAME": self._host,
            "SERVER_PORT": self._port,
            "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
            "REMOTE_ADDR": client.strip("[]"),
            "REMOTE_PORT": client_port,
            "CONTENT_LENGTH": scope.headers.get("content-length", str(len(body))),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name in scope.headers.keys():  # noqa: SIM118  # Granian's, no mapping
            if "_" in name:
                continue  # CGI's variables are the same for it and for the name with hyphens, which may be trusted
            variable = name.upper().replace("-", "_")
            if variable != "CONTENT_LENGTH":
                environ[variable if variable == "CONTENT_TYPE" else f"HTTP_{variable}"] = ",".join(
                    scope.headers.get_all(name)  # type: ignore[attr-defined]  # not in the stubs
                )
        return environ


class Asked(Protocol):
    """What can be answered together with others of its kind."""

    def unanswered(self) -> Reply:
        """The reply when nobody has answered in time."""


A = TypeVar("A", bound=Asked)


class Batches(Generic[A]):
    """Requests that need the database: those that come while others are being answered go together."""

    def __init__(self, loop: asyncio.AbstractEventLoop, answered: Callable[[Sequence[A]], list[Reply]]) -> None:
        self._loop = loop
        self._answered = answered
        self._threads = ThreadPoolExecutor(BATCH_THREADS, thread_name_prefix="batches")
        self._waiting: deque[tuple[A, asyncio.Future[Reply]]] = deque()
        self._under_way: set[asyncio.Task[None]] = set()

    async def reply(self, asked: A) -> Reply:
        """The reply; or what can be said without one, when it takes too long."""
        future: asyncio.Future[Reply] = self._loop.create_future()
        self._waiting.append((asked, future))
        self._begin()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await future
        except TimeoutError:
            return asked.unanswered()

    def end(self) -> None:
        """Answers what is under way."""
        self._threads.shutdown()

    def _begin(self) -> None:
        if not self._waiting or len(self._under_way) == MAX_BATCHES:
            return
        batch: list[tuple[A, asyncio.Future[Reply]]] = []
        while self._waiting and len(batch) < MAX_BATCH:
            asked, future = self._waiting.popleft()
            if not future.done():  # else nobody waits for it any more
                batch.append((asked, future))
        if batch:
            task = self._loop.create_task(self._answer(batch))
            self._under_way.add(task)
            task.add_done_callback(self._over)

    async def _answer(self, batch: list[tuple[A, asyncio.Future[Reply]]]) -> None:
        """Has a batch answered; over, too, when that takes so long that nobody waits for it any more."""
        asked = [request for request, _future in batch]
        replies = self._loop.run_in_executor(self._threads, self._answered, asked)
        done, _pending = await asyncio.wait([replies], timeout=ANSWER_SECONDS)
        for answered in done:
            for (_asked, future), reply in zip(batch, answered.result(), strict=True):
                if not future.done():
                    future.set_result(reply)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._begin()


async def _write_tally() -> None:
    while True:
        await asyncio.sleep(1)
        metrics.write_tally()


def _header(headers: Headers, name: str) -> str | None:
    """A header, as PEP 3333 has it where it is there twice; "" for one that is no ASCII, which Granian will not
    read out."""
    values: list[str] = headers.get_all(name)  # type: ignore[attr-defined]  # not in the stubs
    return ",".join(values) if values or name in headers else None


def _answer(environ: dict[str, Any]) -> Reply:
    """The whole of what the WSGI application answers."""
    begun: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        begun[:] = [(status, headers)]

    chunks = application(environ, start_response)
    try:
        body = b"".join(chunks)
    finally:
        close: Callable[[], None] | None = getattr(chunks, "close", None)
        if close is not None:
            close()
    ((status, headers),) = begun
    return Reply(int(status.partition(" ")[0]), headers, body)


async def _read(scope: Scope, protocol: HTTPProtocol) -> bytes:
    """The body; of one that is too large, or in too many chunks, nothing or one byte more than is allowed: the surface
    refuses either.

    Raises ProtocolClosed where it ends early.
    """
    length = scope.headers.get("content-length")
    if length is not None:
        # Too much of it is not waited for: its sender may be waiting for our refusal.
        whole: bytes = b"" if int(length) > settings.MAX_BODY_BYTES else await protocol()
        return whole
    body, chunks = bytearray(), 0
    async for chunk in protocol:
        body += chunk
        chunks += 1
        if chunks > MAX_CHUNKS:
            return bytes(settings.MAX_BODY_BYTES + 1)
        if len(body) > settings.MAX_BODY_BYTES:
            break
    return bytes(body)
