"""Refuse requests in the shedder's process, on the connections that it holds."""

from __future__ import annotations

import asyncio
import gc
import os
from collections import deque
from socket import socket
from time import perf_counter
from typing import cast

import httptools
import uvloop
from django.conf import settings

from core.http import metrics
from core.http.surfaces import INTERNAL, Surface
from internal_api import fastpath
from internal_api.fastpath import Headers, Request
from maim.server import probes
from maim.server.acceptor import connect
from maim.server.exchange import HTTP_VERSIONS, Exchange, Peer
from maim.server.refusal_pace import RefusalPace
from maim.server.refusals import Busy, refuse
from maim.server.shedding.channel import MAX_DATA_BYTES, Channel, Purpose, State

# Lower priority than the worker's, so that serving comes before refusing.
NICENESS = 5
READ_AT_ONCE = 32 * 1024
MAX_REQUEST_BYTES = MAX_DATA_BYTES - READ_AT_ONCE
WATCH_EVERY_SECONDS = 1.0
MAX_ARRIVAL_SECONDS = 1.0  # a request that takes longer is handed back
# Requests with these are left to the worker: chunks are harder to parse, and `Expect` needs a 100 response first.
_UNUSUAL_HEADERS = ("transfer-encoding", "expect")


def run(surface: Surface, channel: Channel, state: State) -> None:
    """Refuse requests on the connections that come through the channel, until that ends.

    Signals to stop are for the worker, and stay blocked here, as they are when it is forked.
    """
    os.nice(NICENESS)
    gc.freeze()  # else looking for garbage would copy the memory that it shares with its parent
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(Shedder(surface, channel, state).run())
    metrics.flush()


class Shedder:
    """The connections that were refused, and the worker that they come from and go back to."""

    def __init__(self, surface: Surface, channel: Channel, state: State) -> None:
        self.surface, self.state = surface, state
        self.buffer = memoryview(bytearray(READ_AT_ONCE))  # one for all, because what is read is taken at once
        self.pace = RefusalPace()
        self.open: set[Connection] = set()
        self._channel = channel
        self._returning: deque[tuple[Purpose, Connection]] = deque()  # those that wait for the channel

    async def run(self) -> None:
        """Refuse until the worker passes no more connections, and close those that are left."""
        ending = asyncio.Event()
        self._channel.open(self._receive, ending.set)
        watch = asyncio.get_running_loop().create_task(self._watch())
        await ending.wait()
        watch.cancel()
        for each in [*self.open]:
            each.abort()

    def publish_held(self) -> None:
        """Publish how many connections there are."""
        self.state.held = len(self.open)

    def take_room(self) -> bool:
        """Reserve room in the worker for a request. Return False if there is none."""
        has_room = self.state.room > 0
        if has_room:
            self.state.room -= 1
        return has_room

    def may_refuse(self, request: Request) -> bool:
        """Return whether only a thread of the worker could serve this request."""
        is_for_fastpath = self.surface == INTERNAL and fastpath.match(request) is not None
        return not is_for_fastpath and probes.match(self.surface, request) is None

    def hand_back(self, purpose: Purpose, connection: Connection) -> None:
        """Pass a connection to the worker, as soon as the channel has room."""
        if not self._send(purpose, connection):
            self._returning.append((purpose, connection))
            if len(self._returning) == 1:
                self._channel.call_when_writable(self._send_waiting)

    def _send(self, purpose: Purpose, connection: Connection) -> bool:
        """Pass a connection unless its client has gone. Return False if the channel is full."""
        if connection.is_closed:
            return True
        try:
            if not self._channel.send(purpose, connection.fileno(), connection.received):
                return False
        except ConnectionError:
            pass  # the worker has ended, and so does this process
        connection.abort()
        return True

    def _send_waiting(self) -> None:
        while self._returning and self._send(*self._returning[0]):
            self._returning.popleft()
        if not self._returning:
            self._channel.stop_calling()

    def _receive(self, _purpose: Purpose, client: socket, _data: bytes) -> None:
        connect(client, lambda: Connection(self))

    async def _watch(self) -> None:
        """Write the metrics, and end connections that are idle, every now and then."""
        while True:
            await asyncio.sleep(WATCH_EVERY_SECONDS)
            metrics.flush()
            now = perf_counter()
            for each in [*self.open]:
                each.end_if_late(
                    late_before=now - MAX_ARRIVAL_SECONDS, idle_before=now - settings.REQUEST_TIMEOUT_SECONDS
                )


class Connection(asyncio.BufferedProtocol):
    """A client's connection, whose requests are refused one after the other."""

    max_body_bytes = MAX_REQUEST_BYTES
    has_too_many_connections = False  # the worker enforces the limit, and counts these connections, too

    def __init__(self, shedder: Shedder) -> None:
        self._shedder = shedder
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self.peer, self.port = Peer("", 0), str(shedder.surface.bind.port)
        # What has arrived of a request, as it was sent and as it was parsed.
        self.received = b""
        self._target, self._headers = b"", list[tuple[bytes, bytes]]()
        self._exchange: Exchange | None = None
        self._number = 0  # of requests that have begun to arrive since the last refusal
        self._since = perf_counter()  # the beginning of the request that is arriving, or else the last refusal
        self._is_paused = self._is_leaving = self.is_closed = False
        self._can_write = True

    @property
    def keeps_connections(self) -> bool:
        return self._shedder.state.keeps_connections

    def fileno(self) -> int:
        fileno: int = self._transport.get_extra_info("socket").fileno()
        return fileno

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def abort(self) -> None:
        self._transport.abort()

    def pause(self) -> None:
        self._is_paused = True
        self._set_reading()

    def resume(self) -> None:
        self._is_paused = False
        self._set_reading()

    def end_if_late(self, *, late_before: float, idle_before: float) -> None:
        """Hand back a connection whose request does not arrive, and close one that is idle or does not read."""
        if self.received and self._since < late_before:
            self._hand_back(Purpose.KEEP)
        elif not self.received and self._since < idle_before:
            self.abort()

    # ---- asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(0)  # one response may wait for its client
        self._shedder.open.add(self)
        self._shedder.publish_held()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        self._shedder.open.discard(self)
        self._shedder.publish_held()

    def pause_writing(self) -> None:
        self._can_write = False
        self._set_reading()

    def resume_writing(self) -> None:
        self._can_write = True
        self._set_reading()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._shedder.buffer

    def buffer_updated(self, nbytes: int) -> None:
        part = bytes(self._shedder.buffer[:nbytes])
        if not self.received:
            self._since = perf_counter()
        self.received += part
        if not self._parse(part) or len(self.received) > MAX_REQUEST_BYTES:
            self._hand_back(Purpose.KEEP)
        elif self._exchange is not None and self._exchange.has_whole_body:
            self._handle(self._exchange)

    # ---- httptools

    def on_message_begin(self) -> None:
        self._number += 1
        self._target, self._headers = b"", []

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        method, version = self._parser.get_method().decode(), self._parser.get_http_version()
        self._exchange = Exchange(self, method, self._target, version, Headers(self._headers))

    def on_body(self, chunk: bytes) -> None:
        assert self._exchange is not None
        self._exchange.add_to_body(chunk)

    def on_message_complete(self) -> None:
        assert self._exchange is not None
        self._exchange.end_body(keeps_alive=self._parser.should_keep_alive())

    # ---- refusing

    def _parse(self, part: bytes) -> bool:
        """Parse what has arrived. Return whether it is a plain request so far, and the only one."""
        try:
            self._parser.feed_data(part)
        except httptools.HttpParserCallbackError:
            raise  # a fault of ours
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return False
        exchange = self._exchange
        is_plain = exchange is None or (
            exchange.http_version in HTTP_VERSIONS and not any(name in exchange.headers for name in _UNUSUAL_HEADERS)
        )
        return is_plain and self._number <= 1

    def _handle(self, exchange: Exchange) -> None:
        """Refuse a whole request, or leave it to the worker."""
        if not self._shedder.may_refuse(exchange):
            self._hand_back(Purpose.KEEP)
        elif self._shedder.take_room():
            self._hand_back(Purpose.SERVE)
        else:
            self._refuse(exchange)

    def _refuse(self, exchange: Exchange) -> None:
        reply = refuse(self._shedder.surface, exchange, Busy)
        exchange.respond(reply.status, reply.headers, reply.body)
        self.received, self._exchange, self._number = b"", None, 0
        self._since = perf_counter()
        if exchange.keeps_alive:
            self._shedder.pace.count(self)
        else:
            self._transport.close()

    def _hand_back(self, purpose: Purpose) -> None:
        """Read no more, and pass the connection to the worker with what was read."""
        if not self._is_leaving:
            self._is_leaving = True
            self._set_reading()
            self._shedder.hand_back(purpose, self)

    def _set_reading(self) -> None:
        if not self._transport.is_closing():
            reads = self._can_write and not (self._is_paused or self._is_leaving)
            (self._transport.resume_reading if reads else self._transport.pause_reading)()
