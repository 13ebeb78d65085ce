"""The surfaces as they are served: an event loop in front of Django, which runs in threads.

The event loop reads whole requests, so that a client that dawdles holds no thread. It replies to probes itself
(maim.server.probes), and refuses what is too much: connections beyond the limit, and requests that would wait too long
for a thread. On the internal surface it also answers plain requests of bots (internal_api.fastpath), who verify keys
thousands of times a second: most verifications take some microseconds, and to hand each to a thread would cost more
than that, because threads that compete for the interpreter wait for each other. Everything else, which may wait for the
database or Redis, is for the WSGI application, in one of the surface's threads. The response to a change that workers
have yet to learn of (core.epoch) is kept back on the event loop, so that no thread waits.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Callable
from typing import Any

from apikeys import verification
from core import epoch
from core.http import metrics
from core.http.problems import RequestTimeout
from core.http.surfaces import INTERNAL, Surface
from internal_api import fastpath
from internal_api.fastpath import Batches, Handler, Reply, Request
from maim.server import probes
from maim.server.approval_watch import ApprovalWatch
from maim.server.exchange import ClientGone, Exchange
from maim.server.refusals import Busy, refuse
from maim.server.thread_queue import Overloaded, ThreadQueue
from maim.wsgi import application

_FASTPATH_METHODS = frozenset(handler.method for handler in fastpath.HANDLERS)


class Application:
    """`maim.wsgi.application` behind an event loop, for the requests of a surface."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        self._threads = ThreadQueue(surface)
        self._approvals = ApprovalWatch()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin what is done beside requests."""
        self._flushing = loop.create_task(_flush_metrics())

    def stop(self) -> None:
        """End what is done beside requests, and wait for the threads."""
        self._flushing.cancel()
        self._threads.close()
        self._approvals.close()
        metrics.flush()

    def reply_at_once(self, exchange: Exchange) -> Reply | None:
        """Return the reply to a whole request if that takes no I/O, else None.

        It may be a refusal: a task for each would cost an overloaded worker as much again.
        """
        if exchange.has_too_many_connections or probes.match(self._surface, exchange) is not None:
            return None
        return self._reply_at_once(exchange)

    @property
    def room(self) -> int:
        """The number of requests for threads that may come now before the next is refused."""
        return self._threads.room

    def _reply_at_once(self, request: Request) -> Reply | None:
        if self._threads.is_overloaded:
            return refuse(self._surface, request, Busy)
        self._threads.reserve()
        return None

    async def respond(self, exchange: Exchange) -> None:
        """Respond to a request, whose body may still be arriving."""
        probe = probes.match(self._surface, exchange)
        try:
            if probe is not None:
                reply = await probe.reply()
            elif exchange.has_too_many_connections or self._refuses_unread(exchange):
                reply = refuse(self._surface, exchange, Busy)
            else:
                reply = await self._read_and_reply(exchange)
        except ClientGone:
            exchange.respond(400, [], b"")  # which a client reads that is still there, and has sent what is not HTTP
            return
        exchange.respond(reply.status, reply.headers, reply.body)

    async def _read_and_reply(self, exchange: Exchange) -> Reply:
        """Read the body, and return the reply. Raise ClientGone if the client hangs up before."""
        try:
            await exchange.read_body()
        except TimeoutError:
            return refuse(self._surface, exchange, RequestTimeout)
        try:
            return await self._reply(exchange)
        except Overloaded:
            return refuse(self._surface, exchange, Busy)

    def _refuses_unread(self, request: Request) -> bool:
        """Return whether a request is to be refused before its body is read."""
        return self._threads.is_overloaded

    async def _reply(self, exchange: Exchange) -> Reply:
        """Return Django's reply. Raise Overloaded if no thread is free in time, and ClientGone."""
        if self._threads.is_overloaded:
            raise Overloaded  # before the environment is made for nothing
        environ = self._environ(exchange)
        reply, wait = await self._threads.run(exchange.client_gone, _run_wsgi, environ)
        if wait.seconds_left:
            await self._approvals.wait(wait)
        return reply

    def _environ(self, request: Exchange) -> dict[str, Any]:
        """Return the request as PEP 3333 specifies it."""
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": request.path.encode().decode("latin-1"),
            "QUERY_STRING": request.query,
            "SERVER_NAME": self._surface.bind.host,
            "SERVER_PORT": request.port,
            "SERVER_PROTOCOL": f"HTTP/{request.http_version}",
            "REMOTE_ADDR": request.peer.host,
            "REMOTE_PORT": str(request.peer.port),
            "CONTENT_LENGTH": request.headers.get("content-length", str(len(request.body))),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(request.body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name in request.headers.names():
            if "_" in name:
                continue  # in CGI it cannot be told from the name with hyphens, which a proxy may vouch for
            variable = name.upper().replace("-", "_")
            if variable != "CONTENT_LENGTH":
                variable = variable if variable == "CONTENT_TYPE" else f"HTTP_{variable}"
                environ[variable] = ",".join(request.headers.get_all(name))
        return environ


class InternalApplication(Application):
    """The application of the internal surface, with the fast path."""

    def __init__(self) -> None:
        super().__init__(INTERNAL)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        super().start(loop)
        self._batches: dict[type[Handler], Batches] = {kind: Batches(loop, kind) for kind in fastpath.HANDLERS}
        verification.start()

    def stop(self) -> None:
        for batches in self._batches.values():
            batches.close()
        super().stop()
        verification.stop()

    def _reply_at_once(self, request: Request) -> Reply | None:
        handler = fastpath.match(request)
        if handler is None:
            return super()._reply_at_once(request)
        reply = self._batches[type(handler)].reply_at_once(handler)
        if reply is not None:
            handler.record(reply)
        return reply

    def _refuses_unread(self, request: Request) -> bool:
        """Return whether a request that is none for the fast path is to be refused before its body is read."""
        return request.method not in _FASTPATH_METHODS and super()._refuses_unread(request)

    async def _reply(self, exchange: Exchange) -> Reply:
        """Return the reply of the fast path to a plain request of a bot, else Django's."""
        handler = fastpath.match(exchange)
        if handler is None:
            return await super()._reply(exchange)
        reply = await self._batches[type(handler)].reply(handler)
        if reply is None:
            return await super()._reply(exchange)
        handler.record(reply)
        return reply


async def _flush_metrics() -> None:
    while True:
        await asyncio.sleep(1)
        metrics.flush()


def _run_wsgi(environ: dict[str, Any]) -> tuple[Reply, epoch.Wait]:
    """Return the whole response of the WSGI application, and the wait for which it is to be kept back."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        started[:] = [(status, headers)]

    with epoch.defer_wait() as wait:
        chunks = application(environ, start_response)
        try:
            body = b"".join(chunks)
        finally:
            close: Callable[[], None] | None = getattr(chunks, "close", None)
            if close is not None:
                close()
    ((status, headers),) = started
    return Reply(int(status.partition(" ")[0]), headers, body), wait
