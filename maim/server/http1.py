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
from collections.abc import Mapping
from http import HTTPStatus
from socket import socket
from time import perf_counter
from typing import cast

import httptools

from internal_api.fastpath import Headers
from maim.server.acceptor import Acceptor, connect
from maim.server.application import Application
from maim.server.connections import REFUSED_AT_ONCE
from maim.server.exchange import HTTP_VERSIONS, Exchange, Peer, refusal
from maim.server.refusal_pace import RefusalPace
from maim.server.shedding.handle import ShedderHandle

log = logging.getLogger("maim.server")

MAX_HEAD_BYTES = 64 * 1024
MAX_LENGTH_DIGITS = 20
# Of a request without its body: the head, the sizes of chunks, and trailers.
MAX_FRAMING_BYTES = 256 * 1024
# Bytes parsed at a time. More may be hundreds of requests, which would all be kept in memory.
PARSED_AT_ONCE = 4096
# Requests of a connection that may wait for the response to an earlier one. While as many wait, or their bodies exceed
# the greatest size of one, nothing more is parsed or read. The part that is parsed may exceed both.
MAX_PIPELINED = 8
# Of a worker: responses that clients have not taken, and bodies that are arriving or wait for an earlier response.
# Beyond, the connections that hold most are closed.
MAX_UNWRITTEN_BYTES = 256 * 1024 * 1024
MAX_UNSERVED_BYTES = 256 * 1024 * 1024
# The time of a client that still sends what was refused unread, to read the response.
LINGER_SECONDS = 2.0
# The time of requests under way to be answered when the server stops. The worker then still writes what it has counted,
# before it would be killed (maim.server.supervisor).
DRAIN_SECONDS = 6.0
# Of the connections that are served, the part below which they are kept.
KEPT_BELOW = 0.8
_WATCH_EVERY_SECONDS = 0.25
_NOTHING = memoryview(b"")
# The parser knows the methods that there are, and takes any other for noise.
_UNKNOWN_METHOD = re.compile(rb"[A-Za-z-]+ [!-~]+ HTTP/1\.[01]\r?\n")


class HttpServer:
    """The server of one worker.

    A request's head and its body may take `timeout` seconds each, and a connection may be idle as long. While
    there are more than `max_connections`, all requests but probes are refused. The shedder, if there is one, has
    connections on which a request was refused.
    """

    def __init__(
        self,
        application: Application,
        shedder: ShedderHandle | None = None,
        *,
        port: int,
        timeout: float,
        max_body_bytes: int,
        max_connections: int,
    ) -> None:
        self.application, self.shedder = application, shedder
        self.port, self.max_body_bytes = str(port), max_body_bytes
        self.is_stopping = False
        self.connections: set[Connection] = set()
        self.refusal_pace = RefusalPace()
        self._timeout, self._max_connections = timeout, max_connections

    async def serve(self, listener: socket, stopping: asyncio.Event) -> None:
        """Serve until `stopping` is set, and then until all requests under way are answered, or DRAIN_SECONDS over."""
        loop = asyncio.get_running_loop()
        if self.shedder is not None:
            self.shedder.start(self)
        acceptor = Acceptor(listener, lambda: Connection(self))
        watch = loop.create_task(self._watch())
        await stopping.wait()
        self.is_stopping = True
        acceptor.close()
        if self.shedder is not None:
            self.shedder.stop()
        for connection in [*self.connections]:
            connection.close_if_idle()
        deadline = perf_counter() + DRAIN_SECONDS
        while self.connections and perf_counter() < deadline:
            await asyncio.sleep(_WATCH_EVERY_SECONDS / 10)
        watch.cancel()
        for connection in [*self.connections]:
            connection.abort()

    @property
    def keeps_connections(self) -> bool:
        """True while there are so few connections that they stay open after a response."""
        return not self.is_stopping and self._number_of_connections < self._max_connections * KEPT_BELOW

    @property
    def has_too_many_connections(self) -> bool:
        """True while there are more connections than are served."""
        return self._number_of_connections > self._max_connections

    @property
    def accepts_newest(self) -> bool:
        """True if the newest connection, which is counted already, may get a response."""
        return not self.is_stopping and self._number_of_connections <= self._max_connections + REFUSED_AT_ONCE

    @property
    def room(self) -> int:
        """The number of requests for threads that may come now before the next is refused."""
        return self.application.room

    def take_back(self, client: socket, data: bytes, *, may_be_shed: bool) -> None:
        """Serve a connection that the shedder had, and first the request of which `data` was read."""
        connect(client, lambda: Connection(self, data, may_be_shed=may_be_shed))

    @property
    def _number_of_connections(self) -> int:
        return len(self.connections) + (self.shedder.held if self.shedder is not None else 0)

    async def _watch(self) -> None:
        """Time out bodies, close idle connections, and limit the responses that are held, every now and then."""
        while True:
            await asyncio.sleep(_WATCH_EVERY_SECONDS)
            now = perf_counter()
            for connection in [*self.connections]:
                connection.end_if_late(idle_before=now - self._timeout, ended_before=now - LINGER_SECONDS)
            self._limit_held({each: each.unwritten for each in self.connections}, MAX_UNWRITTEN_BYTES)
            self._limit_held({each: each.unserved for each in self.connections}, MAX_UNSERVED_BYTES)

    @staticmethod
    def _limit_held(held: Mapping[Connection, int], limit: int) -> None:
        """Close connections, those first that hold most bytes, until all together hold no more than the limit."""
        total = sum(held.values())
        if total > limit:
            for connection in sorted(held, key=lambda each: held[each], reverse=True):
                connection.abort()
                total -= held[connection]
                if total <= limit:
                    break


class Connection(asyncio.Protocol):
    """A client's connection, whose requests are answered one after the other.

    `data` was read from it before. `may_be_shed` tells whether it may be handed to the shedder.
    """

    def __init__(self, server: HttpServer, data: bytes = b"", *, may_be_shed: bool = True) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self.peer, self.port = Peer("", 0), server.port
        self.max_body_bytes = server.max_body_bytes
        self._unparsed = memoryview(data)
        # The head that is arriving, and then the request whose body is.
        self._target, self._headers, self._received = b"", list[tuple[bytes, bytes]](), 0
        self._has_begun_head = False
        self._reading: Exchange | None = None
        # The requests that wait, and the one that a task is answering.
        self._waiting: deque[Exchange] = deque()
        self._serving: Exchange | None = None
        self._task: asyncio.Task[None] | None = None
        self._refusal = b""  # the last response, to a request that cannot be parsed or is not supported
        self._idle_since = perf_counter()  # or since when a head is arriving
        self.unwritten = 0  # the bytes of responses that the client had not taken at the last look
        self._can_write, self._is_reading, self._has_eof, self._is_ended = True, True, False, False
        self._is_paused = False
        self._may_be_shed, self._was_refused = may_be_shed, False

    @property
    def keeps_connections(self) -> bool:
        return self._server.keeps_connections

    @property
    def has_too_many_connections(self) -> bool:
        return self._server.has_too_many_connections

    @property
    def unserved(self) -> int:
        """The bytes of bodies that are arriving, or that wait for the response to an earlier request."""
        if self._reading is None and not self._waiting:
            return 0
        bodies = [*self._waiting]
        if self._reading is not None and self._reading == self._serving:  # a task waits for the rest of it
            bodies.append(self._reading)
        return sum([min(each.size, self.max_body_bytes) for each in bodies])

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
        """Close the connection if its client has sent no request and taken no response since before `idle_before`.

        Also close it if its last response was sent before `ended_before`. Time out a body that began before
        `idle_before`.
        """
        if self._reading is not None and self._reading.started < idle_before:
            self._reading.time_out()
        unwritten = self._transport.get_write_buffer_size()
        if unwritten != self.unwritten:  # the client takes its response
            self.unwritten, self._idle_since = unwritten, perf_counter()
        elif self._is_ended and not unwritten:
            if self._idle_since < ended_before:
                self.abort()
        elif self._serving is None and self._idle_since < idle_before:
            self.abort()

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop has classes of its own
        self._server.connections.add(self)
        peer = self._transport.get_extra_info("peername")
        has_returned = bool(self._unparsed)  # from the shedder, which had read that
        if peer is None or not (has_returned or self._server.accepts_newest):  # without an address it has gone already
            self._is_ended = True
            self.abort()
        else:
            self.peer = Peer(*peer[:2])
            if has_returned:
                asyncio.get_running_loop().call_soon(self._advance)  # not before the transport is ready

    def data_received(self, data: bytes) -> None:
        self._unparsed = memoryview(bytes(self._unparsed) + data if self._unparsed else data)
        self._advance()

    def eof_received(self) -> bool:
        """Drop the requests of a client that has gone, and let the connection close.

        Return True, which keeps it open, if the body of the request that is being answered is cut short: that gets 400.
        """
        if self._unparsed:  # of a connection that the shedder had, in this turn
            self._advance()
        self._has_eof = True
        self._lose_client()
        return self._reading is not None and self._reading == self._serving

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
        self._has_begun_head = False
        version, headers = self._parser.get_http_version(), Headers(self._headers)
        self._reading = Exchange(self, self._parser.get_method().decode(), self._target, version, headers)
        if self._refusal:
            return  # it may be part of the body of the request that is refused
        coding = headers.get("transfer-encoding", "")
        if len(headers.get("content-length", "").strip()) > MAX_LENGTH_DIGITS:  # by zeros, which the parser takes
            self._refusal = refusal(400)
        elif version not in HTTP_VERSIONS or (coding and version == "1.0"):
            self._refusal = refusal(400)  # a proxy may see the end of such a body elsewhere (RFC 9112, section 6.1)
        elif coding and coding.strip().lower() != "chunked":
            self._refusal = refusal(501)
        else:
            self._waiting.append(self._reading)

    def on_body(self, chunk: bytes) -> None:
        assert self._reading is not None
        self._reading.add_to_body(chunk)

    def on_message_complete(self) -> None:
        assert self._reading is not None
        parser = self._parser
        self._reading.end_body(keeps_alive=parser.should_keep_alive() and not parser.should_upgrade())
        self._reading = None

    # ---- parsing

    @property
    def _may_parse(self) -> bool:
        """True if something is to be parsed, and another request may wait."""
        return (
            len(self._unparsed) > 0
            and len(self._waiting) < MAX_PIPELINED
            and sum([each.size for each in self._waiting]) <= self.max_body_bytes
            and not (self._is_ended or self._refusal or self._is_paused)
        )

    def _parse(self) -> None:
        """Parse a part of what was received."""
        part, self._unparsed = self._unparsed[:PARSED_AT_ONCE], self._unparsed[PARSED_AT_ONCE:]
        self._received += len(part)
        try:
            self._parser.feed_data(part)
        except httptools.HttpParserUpgrade as upgrade:
            if not self._refusal:
                self._ignore_upgrade(bytes(part[upgrade.args[0] :]))
        except httptools.HttpParserInvalidMethodError:
            is_first = self._serving is None and not self._waiting
            self._refuse(405 if is_first and _UNKNOWN_METHOD.match(part) else 400)
        except httptools.HttpParserCallbackError:
            raise  # a fault of ours
        except httptools.HttpParserError:
            self._refuse(400)
        if self._has_begun_head and self._received > MAX_HEAD_BYTES:
            self._refuse(431)
        elif self._reading is not None and self._received - self._reading.size > MAX_FRAMING_BYTES:
            self._reading.make_too_large()

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Parse a request that offers another protocol anew, without the offer (RFC 9110, section 7.8).

        The parser takes what follows its head for that protocol, also a body. CONNECT is left to the application, which
        refuses it, because what follows that head belongs to the tunnel.
        """
        if self._waiting[-1].method == "CONNECT":
            return
        exchange = self._waiting.pop()
        lines = [b"%b %b HTTP/%b" % (exchange.method.encode(), self._target, exchange.http_version.encode())]
        lines += [b"%b: %b" % header for header in self._headers if header[0].lower() != b"upgrade"]
        self._parser = httptools.HttpRequestParser(self)
        self._unparsed = memoryview(b"\r\n".join([*lines, b"", rest]) + bytes(self._unparsed))

    # ---- answering

    @property
    def _may_answer(self) -> bool:
        """True if no task is answering, and the client takes responses."""
        return self._serving is None and self._can_write and not (self._is_ended or self._is_paused)

    def _advance(self) -> None:
        """Parse requests and answer them, up to the first that needs a task, or as many as may wait."""
        self._answer()
        while self._may_parse:
            self._parse()
            self._answer()
        if self._refusal and not self._waiting and self._serving is None and not self._is_ended:
            self.write(self._refusal)
            self._end(is_complete=False)
        if not self._unparsed or self._is_ended or self._refusal:
            self._unparsed = _NOTHING  # not the end of what was read, because that would keep all of it
        self._set_reading(not self._unparsed and not self._is_paused)
        if self._was_refused and self._may_be_shed and self._is_idle:
            self._shed()

    @property
    def _is_idle(self) -> bool:
        """True if no request is under way or begun, and the client has taken all responses."""
        is_reading = len(self._unparsed) > 0 or self._has_begun_head or self._reading is not None
        is_answering = self._serving is not None or bool(self._waiting) or self._transport.get_write_buffer_size() > 0
        return not (is_reading or is_answering or self._is_ended or self._has_eof)

    def _shed(self) -> None:
        """Leave what comes next to the shedder, because it will most likely be refused, too."""
        shedder = self._server.shedder
        if shedder is not None and shedder.take(self._transport.get_extra_info("socket").fileno()):
            self._is_ended = True
            self.abort()

    def _answer(self) -> None:
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
                self._was_refused = reply.status == HTTPStatus.SERVICE_UNAVAILABLE
                if self._was_refused:
                    self._server.refusal_pace.count(self)

    async def _serve(self, exchange: Exchange) -> None:
        try:
            await self._server.application.respond(exchange)
        except Exception:
            log.exception("a fault of the server")
            if not exchange.is_answered:
                exchange.respond(500, [], b"")
        self._serving, self._was_refused = None, False
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
        """Respond with a status to a request that cannot be parsed, after all responses to those before it.

        To one whose body cannot be parsed the application responds.
        """
        if self._reading is not None:
            self._reading.lose_client()
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
