"""An HTTP/1.1 server in one thread: an event loop (uvloop) and the parser of Node.js (httptools).

A request that can be answered at once is parsed, answered and written in one call; others get a task. Servers that hand
requests from threads of their own to the event loop take longer than a verification
(docs/decisions/0034-one-thread-for-verifications.md).
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from http import HTTPStatus
from socket import socket
from time import perf_counter
from typing import cast

import httptools

from internal_api.fastpath import Headers
from maim.server.acceptor import Acceptor
from maim.server.application import Application
from maim.server.exchange import Exchange, Peer, refusal
from maim.server.refusal_pace import RefusalPace

log = logging.getLogger("maim.server")

# Of what is read of a head after its first part, and of what frames a body: the sizes of chunks, and trailers.
MAX_HEAD_BYTES = 64 * 1024
MAX_FRAMING_BYTES = 256 * 1024
# Requests that wait for the response to an earlier one. Beyond, the connection is not read.
MAX_PIPELINED = 8
# The time of a client that still sends what was refused unread, to read the response.
LINGER_SECONDS = 2.0
# The time of requests under way to be answered when the server stops. The worker then still writes what it has counted,
# before it would be killed (maim.server.supervisor).
DRAIN_SECONDS = 6.0
# Of the connections that are served, the part below which they are kept.
KEPT_BELOW = 0.8
# Connections beyond those that are served, which get a refusal. More are closed unread.
REFUSED_AT_ONCE = 500
_WATCH_EVERY_SECONDS = 0.25
_VERSIONS = frozenset({"1.0", "1.1"})
# The parser knows the methods that there are, and takes any other for noise.
_UNKNOWN_METHOD = re.compile(rb"[A-Za-z-]+ [!-~]+ HTTP/1\.[01]\r?\n")


class HttpServer:
    """The server of one worker.

    A request's head and its body may take `timeout` seconds each, and a connection may be idle as long. Requests on
    more than `max_connections` are refused.
    """

    def __init__(
        self, application: Application, *, port: int, timeout: float, max_body_bytes: int, max_connections: int
    ) -> None:
        self.application, self.port, self.max_body_bytes = application, str(port), max_body_bytes
        self.is_stopping = False
        self.connections: set[Connection] = set()
        self.refusal_pace = RefusalPace()
        self._timeout, self._max_connections = timeout, max_connections

    async def serve(self, listener: socket, stopping: asyncio.Event) -> None:
        """Serve until `stopping` is set, and then until all requests under way are answered, or DRAIN_SECONDS over."""
        loop = asyncio.get_running_loop()
        acceptor = Acceptor(listener, lambda: Connection(self))
        watch = loop.create_task(self._watch())
        await stopping.wait()
        self.is_stopping = True
        acceptor.close()
        for connection in [*self.connections]:
            connection.close_if_idle()
        deadline = perf_counter() + DRAIN_SECONDS
        while self.connections and perf_counter() < deadline:
            await asyncio.sleep(_WATCH_EVERY_SECONDS / 10)
        watch.cancel()
        for connection in [*self.connections]:
            connection.abort()

    @property
    def may_keep(self) -> bool:
        """True while there are so few connections that they may stay open after a response."""
        return not self.is_stopping and len(self.connections) < self._max_connections * KEPT_BELOW

    @property
    def has_too_many(self) -> bool:
        """True while there are more connections than are served."""
        return len(self.connections) > self._max_connections

    @property
    def accepts(self) -> bool:
        """True while another connection gets a response."""
        return not self.is_stopping and len(self.connections) <= self._max_connections + REFUSED_AT_ONCE

    async def _watch(self) -> None:
        """End the bodies that take too long, and close the connections that have been idle for too long."""
        while True:
            await asyncio.sleep(_WATCH_EVERY_SECONDS)
            now = perf_counter()
            for connection in [*self.connections]:
                connection.end_if_late(idle_before=now - self._timeout, ended_before=now - LINGER_SECONDS)


class Connection(asyncio.Protocol):
    """A client's connection, whose requests are answered one after the other."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self.peer, self.port = Peer("", 0), server.port
        self.max_body_bytes = server.max_body_bytes
        # The head that is arriving, and then the request whose body is.
        self._target, self._headers, self._received = b"", list[tuple[bytes, bytes]](), 0
        self._has_begun_head = False
        self._reading: Exchange | None = None
        # The requests that wait, and the one that a task is answering.
        self._waiting: deque[Exchange] = deque()
        self._serving: Exchange | None = None
        self._task: asyncio.Task[None] | None = None
        self._refusal = b""  # the last response, to what is not HTTP
        self._idle_since = perf_counter()  # or since when a head is arriving
        self._unwritten = 0  # the bytes of responses that the client had not taken at the last look
        self._can_write, self._is_reading, self._has_eof, self._is_ended = True, True, False, False
        self._is_paused = False

    @property
    def may_be_kept(self) -> bool:
        return self._server.may_keep

    @property
    def is_refused(self) -> bool:
        return self._server.has_too_many

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def pause(self) -> None:
        """Read and answer nothing until `resume` is called."""
        self._is_paused = True

    def resume(self) -> None:
        self._is_paused = False
        self._advance()

    def abort(self) -> None:
        """Close the connection at once."""
        self._transport.abort()

    def close_if_idle(self) -> None:
        if self._serving is None and not self._waiting:
            self._transport.close()

    def end_if_late(self, *, idle_before: float, ended_before: float) -> None:
        """Close the connection if nothing was asked or taken, or it has been ended, since before these times.

        Let a body time out that has been arriving since before `idle_before`.
        """
        if self._reading is not None and self._reading.started < idle_before:
            self._reading.time_out()
        unwritten = self._transport.get_write_buffer_size()
        if unwritten != self._unwritten:  # the client takes its response
            self._unwritten, self._idle_since = unwritten, perf_counter()
        elif self._is_ended and not unwritten:
            if self._idle_since < ended_before:
                self.abort()
        elif self._serving is None and self._idle_since < idle_before:
            self.abort()

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop has classes of its own
        host, port, *_rest = self._transport.get_extra_info("peername") or ("", 0)
        self.peer = Peer(host, port)
        self._server.connections.add(self)
        if not self._server.accepts:
            self.abort()

    def data_received(self, data: bytes) -> None:
        if self._is_ended or self._refusal:
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # the request is answered in HTTP, and what follows it is not read
        except httptools.HttpParserInvalidMethodError:
            is_first = self._serving is None and not self._waiting
            self._refuse(405 if is_first and _UNKNOWN_METHOD.match(data) else 400)
        except httptools.HttpParserCallbackError:
            raise  # a fault of ours
        except httptools.HttpParserError:
            self._refuse(400)
        if self._has_begun_head and self._received > MAX_HEAD_BYTES:
            self._refuse(431)
        elif self._reading is not None and self._received - self._reading.size > MAX_FRAMING_BYTES:
            self._reading.exceed()
        self._advance()

    def eof_received(self) -> bool:
        """Drop the requests of a client that has gone, except for one whose body is cut short: it gets a 400."""
        self._has_eof = True
        self._lose_client()
        return self._reading is not None and self._reading is self._serving

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._is_ended = True
        self._waiting.clear()
        self._lose_client()

    def pause_writing(self) -> None:
        self._can_write = False

    def resume_writing(self) -> None:
        self._can_write = True
        self._advance()

    # ---- httptools

    def on_message_begin(self) -> None:
        self._target, self._headers, self._received = b"", [], 0
        self._has_begun_head, self._idle_since = True, perf_counter()

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._has_begun_head:  # else it is a trailer, which nothing reads
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        self._has_begun_head = False
        version = parser.get_http_version()
        keeps_alive = parser.should_keep_alive() and not parser.should_upgrade()
        self._reading = Exchange(
            self, parser.get_method().decode(), self._target, version, Headers(self._headers), keeps_alive
        )
        if version in _VERSIONS:
            self._waiting.append(self._reading)
        else:
            self._refusal = refusal(400)

    def on_body(self, chunk: bytes) -> None:
        assert self._reading is not None
        self._reading.add_to_body(chunk)

    def on_message_complete(self) -> None:
        assert self._reading is not None
        self._reading.end_body()
        self._reading = None

    # ---- answering

    @property
    def _may_answer(self) -> bool:
        """True if no task is answering, and the client takes responses."""
        return self._serving is None and self._can_write and not (self._is_ended or self._is_paused)

    def _advance(self) -> None:
        """Answer the requests that wait, up to the first that needs a task."""
        while self._waiting and self._may_answer:
            exchange = self._waiting.popleft()
            reply = self._server.application.reply_at_once(exchange) if exchange.has_whole_body else None
            if reply is None:
                self._serving = exchange
                self._task = asyncio.get_running_loop().create_task(self._serve(exchange))
            else:
                exchange.respond(reply.status, reply.headers, reply.body)
                self._finish(exchange)
                if reply.status == HTTPStatus.SERVICE_UNAVAILABLE:
                    self._server.refusal_pace.count(self)
        if self._refusal and not self._waiting and self._serving is None and not self._is_ended:
            self.write(self._refusal)
            self._end(is_complete=False)
        self._set_reading(len(self._waiting) < MAX_PIPELINED and not self._is_paused)

    async def _serve(self, exchange: Exchange) -> None:
        try:
            await self._server.application.respond(exchange)
        except Exception:
            log.exception("a fault of the server")
            if not exchange.is_answered:
                exchange.respond(500, [], b"")
        self._serving = None
        self._finish(exchange)
        self._advance()

    def _finish(self, exchange: Exchange) -> None:
        self._idle_since = perf_counter()
        if not exchange.keeps_alive and not self._is_ended:
            self._end(is_complete=exchange.has_whole_body)

    def _end(self, *, is_complete: bool) -> None:
        """Close the connection, but not while the client still sends: it would be reset, and the response lost.

        `is_complete` tells that the request was read to its end.
        """
        self._is_ended, self._idle_since = True, perf_counter()
        self._waiting.clear()
        if is_complete or self._has_eof:
            self._transport.close()
        else:
            self._transport.write_eof()

    def _refuse(self, status: int) -> None:
        """Respond with a status to what is not HTTP, after all responses to what was before it."""
        if self._reading is not None:
            self._reading.lose_client()  # the application responds that its body cannot be read
        else:
            self._refusal = refusal(status)

    def _lose_client(self) -> None:
        for exchange in (self._reading, self._serving):
            if exchange is not None:
                exchange.lose_client()

    def _set_reading(self, reads: bool) -> None:
        """Read from the transport, or not."""
        if reads != self._is_reading and not self._transport.is_closing():
            self._is_reading = reads
            (self._transport.resume_reading if reads else self._transport.pause_reading)()
