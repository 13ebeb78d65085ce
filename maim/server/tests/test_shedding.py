"""The shedder: what it refuses, what it hands back to the worker, and how it ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from http.client import parse_headers
from io import BytesIO
from typing import Any, cast

import pytest
import uvloop
from django.test import override_settings

from core.http import metrics
from core.http.surfaces import INTERNAL, PUBLIC, Surface
from maim.server.shedding import shedder as shedder_module
from maim.server.shedding.channel import Channel, Purpose, State
from maim.server.shedding.shedder import MAX_REQUEST_BYTES, READ_AT_ONCE, Shedder
from tests.support.instances import WAIT
from tests.support.wire import Response

pytestmark = pytest.mark.embedded

SMALL = 4096  # bytes that the system holds for a client, so that few responses fill it
HOST = "Host: localhost\r\n"
REQUEST = f"GET /api/v2/tenants HTTP/1.1\r\n{HOST}\r\n".encode()
VALIDATE = (
    f"POST /api/v2/auth/validate-api-key HTTP/1.1\r\n{HOST}Content-Type: application/json\r\n"
    'Content-Length: 15\r\n\r\n{"api_key":"x"}'
).encode()


class Client:
    """A client of a connection that the shedder has."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def response(self) -> Response:
        head = await self._reader.readuntil(b"\r\n\r\n")
        status, _, lines = head.partition(b"\r\n")
        headers = parse_headers(BytesIO(lines))
        body = await self._reader.readexactly(int(headers["Content-Length"]))
        return Response(int(status.split()[1]), headers, body)

    async def ask(self, data: bytes) -> Response:
        self.send(data)
        return await self.response()

    def stop_reading(self) -> None:
        cast("asyncio.Transport", self._writer.transport).pause_reading()

    def close(self) -> None:
        self._writer.transport.abort()

    async def is_disconnected(self) -> bool:
        return await self._reader.read() == b""


class Worker:
    """A worker whose shedder runs in this process, on the same event loop."""

    shedder: Shedder

    def __init__(self, channel: Channel, state: State) -> None:
        self.channel, self.state = channel, state
        self.returned: asyncio.Queue[tuple[Purpose, socket.socket, bytes]] = asyncio.Queue()
        self.is_shedder_gone = asyncio.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        self._sockets: list[socket.socket] = [self._listener]
        self._clients: list[Client] = []
        self._is_dead = False

    def start_receiving(self) -> None:
        """Begin to receive the connections that come back."""
        self.channel.open(self._receive, self.is_shedder_gone.set)

    def _receive(self, purpose: Purpose, client: socket.socket, data: bytes) -> None:
        self._sockets.append(client)
        self.returned.put_nowait((purpose, client, data))

    async def hand_over(self) -> Client:
        """Hand a new client's connection to the shedder, and return the client."""
        own = socket.socket()
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        own.connect(self._listener.getsockname())
        client = Client(*await asyncio.open_connection(sock=own))
        self._clients.append(client)
        accepted, _address = self._listener.accept()
        assert self.channel.send(Purpose.REFUSE, accepted.fileno())
        accepted.close()
        held = self.state.held + 1
        await until(lambda: self.state.held == held)
        return client

    def end_sending(self) -> None:
        if not self._is_dead:
            self.channel.end_sending()

    def die(self) -> None:
        """Close the channel without having taken anything back."""
        self._is_dead = True
        self.channel.close()

    async def close(self) -> None:
        """Close all connections."""
        if not self._is_dead:
            self.channel.close()
        for client in self._clients:
            client.close()
        for each in self._sockets:
            each.close()
        await asyncio.sleep(0)  # in which the event loop closes those of the clients


async def until(is_so: Callable[[], object]) -> None:
    while not is_so():
        await asyncio.sleep(0.001)


@asynccontextmanager
async def overloaded(surface: Surface = INTERNAL, *, receives: bool = True) -> AsyncIterator[Worker]:
    """Run the shedder of a worker that has no room, until the worker ends."""
    ours, theirs = Channel.pair()
    worker = Worker(ours, State(room=0, keeps_connections=True, held=0))
    shedder = worker.shedder = Shedder(surface, theirs, worker.state)
    if receives:
        worker.start_receiving()
    running = asyncio.ensure_future(shedder.run())
    try:
        yield worker
        worker.end_sending()
        await running
    finally:
        running.cancel()
        theirs.close()
        await worker.close()


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(WAIT):
            await scenario()

    uvloop.run(main())


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The refusals that are counted, as they come."""
    counted: list[Any] = []
    monkeypatch.setattr(metrics, "record_refusal", lambda *labels: counted.append(labels))
    return counted


class TestRefusals:
    def test_internal_requests_are_refused_in_an_envelope(self) -> None:
        async def scenario() -> None:
            async with overloaded() as worker:
                refused = await (await worker.hand_over()).ask(REQUEST)
                assert (refused.status, refused.code, refused.is_envelope) == (503, "SYS_002", True)
                assert int(refused.headers["Retry-After"]) > 0

        run(scenario)

    def test_public_requests_are_refused_in_the_language_of_the_client(self) -> None:
        async def scenario() -> None:
            async with overloaded(PUBLIC) as worker:
                client = await worker.hand_over()
                for language, message in (
                    ("en", "Too many requests are waiting, try again shortly"),
                    ("zh-CN", "当前等待的请求过多，请稍后再试"),
                ):
                    request = f"GET /api/v1/agents HTTP/1.1\r\n{HOST}Accept-Language: {language}\r\n\r\n"
                    refused = await client.ask(request.encode())
                    assert (refused.status, refused.is_plain_error, refused.message) == (503, True, message)

        run(scenario)

    def test_body_that_follows_its_head_is_read_with_it(self) -> None:
        async def scenario() -> None:
            async with overloaded() as worker:
                client = await worker.hand_over()
                head = f"POST /api/v2/tenants HTTP/1.1\r\n{HOST}Content-Length: 4\r\n\r\n".encode()
                for part in (head[:20], head[20:], b"{", b'"a'):
                    client.send(part)
                    await asyncio.sleep(0.01)  # so that it arrives in parts
                refused = await client.ask(b"}")
                assert refused.status == 503
                assert (await client.ask(REQUEST)).status == 503, "nothing of the body is left"
                assert worker.returned.empty()

        run(scenario)

    @pytest.mark.parametrize("asks", ["client", "server"])
    def test_connection_is_closed_if_either_side_wants_that(self, asks: str) -> None:
        async def scenario() -> None:
            async with overloaded() as worker:
                client = await worker.hand_over()
                worker.state.keeps_connections = asks == "client"
                request = (
                    REQUEST if asks == "server" else REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
                )
                refused = await client.ask(request)
                assert (refused.status, refused.headers["Connection"]) == (503, "close")
                assert await client.is_disconnected()
                await until(lambda: worker.state.held == 0)

        run(scenario)

    def test_client_that_takes_no_responses_is_not_read(self, refused: list[Any]) -> None:
        async def scenario() -> None:
            async with overloaded() as worker:
                client = await worker.hand_over()
                client.stop_reading()
                [held] = worker.shedder.open
                while not held._transport.get_write_buffer_size():
                    number = len(refused)
                    client.send(REQUEST)
                    await until(lambda: len(refused) > number)  # noqa: B023  # awaited in this round
                number = len(refused)
                client.send(REQUEST)
                await (await worker.hand_over()).ask(REQUEST)
                assert len(refused) == number + 1, "another client's alone"

        run(scenario)

    def test_refusals_are_counted(self, refused: list[Any]) -> None:
        async def scenario() -> None:
            async with overloaded() as worker:
                await (await worker.hand_over()).ask(REQUEST)

        run(scenario)
        assert refused == [(str(INTERNAL.bind.port), "GET", 503)]


class TestRequestsThatAreHandedBack:
    def test_request_that_the_worker_has_room_for(self) -> None:
        async def scenario() -> None:
            async with overloaded() as worker:
                client, other = await worker.hand_over(), await worker.hand_over()
                worker.state.room = 1
                client.send(REQUEST[:10])
                await until(lambda: any(each.received for each in worker.shedder.open))
                assert worker.state.room == 1, "not for a part of one"
                client.send(REQUEST[10:])
                purpose, connection, data = await worker.returned.get()
                assert (purpose, data) == (Purpose.SERVE, REQUEST)
                assert (await other.ask(REQUEST)).status == 503, "the room is taken"
                await until(lambda: worker.state.held == 1)
                connection.setblocking(True)
                connection.sendall(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")
                assert (await client.response()).status == 204, "it is the connection of that client"

        run(scenario)

    @pytest.mark.parametrize(
        "request_",
        [
            pytest.param(f"GET /health HTTP/1.1\r\n{HOST}\r\n", id="probe"),
            pytest.param("OPTIONS / HTTP/1.0\r\n\r\n", id="check of a load balancer"),
            pytest.param(VALIDATE.decode(), id="verification"),
            pytest.param(f"GET /api/v2/agents/a HTTP/1.1\r\n{HOST}\r\n", id="read by a bot"),
            pytest.param(REQUEST.decode() * 2, id="two requests"),
            pytest.param(REQUEST.decode() + "GET", id="the beginning of another"),
            pytest.param(f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="chunks"),
            pytest.param(f"POST / HTTP/1.1\r\n{HOST}Expect: 100-continue\r\nContent-Length: 1\r\n\r\n", id="question"),
            pytest.param(
                f"GET / HTTP/1.1\r\n{HOST}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", id="offer of a protocol"
            ),
            pytest.param(f"GET / HTTP/2.0\r\n{HOST}\r\n", id="another version"),
            pytest.param("noise\r\n\r\n", id="noise"),
        ],
    )
    def test_request_for_the_worker_is_handed_back_for_good(self, request_: str) -> None:
        async def scenario() -> None:
            async with overloaded() as worker:
                worker.state.room = 1
                (await worker.hand_over()).send(request_.encode())
                purpose, _connection, data = await worker.returned.get()
                assert (purpose, data) == (Purpose.KEEP, request_.encode())
                assert worker.state.room == 1, "it needs none"

        run(scenario)

    def test_dripping_request_is_handed_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shedder_module, "WATCH_EVERY_SECONDS", 0.05)
        monkeypatch.setattr(shedder_module, "MAX_ARRIVAL_SECONDS", 0.05)

        async def scenario() -> None:
            async with overloaded() as worker:
                client = await worker.hand_over()
                client.send(b"GET /")
                while worker.returned.empty():
                    client.send(b"a")
                    await asyncio.sleep(0.01)  # what makes it slow

        run(scenario)

    def test_public_surface_has_no_fast_path(self) -> None:
        async def scenario() -> None:
            async with overloaded(PUBLIC) as worker:
                assert (await (await worker.hand_over()).ask(VALIDATE)).status == 503

        run(scenario)

    def test_large_request_is_handed_back(self) -> None:
        head = f"POST / HTTP/1.1\r\n{HOST}Content-Length: 1000000\r\n\r\n".encode()

        async def scenario() -> None:
            async with overloaded() as worker:
                (await worker.hand_over()).send(sent := head + bytes(999_999))
                purpose, _connection, data = await worker.returned.get()
                assert purpose == Purpose.KEEP
                assert sent.startswith(data)
                assert MAX_REQUEST_BYTES < len(data) <= MAX_REQUEST_BYTES + READ_AT_ONCE

        run(scenario)

    @pytest.mark.parametrize("sent", [b"GET", REQUEST.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\n1")])
    def test_slow_request_is_handed_back(self, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
        monkeypatch.setattr(shedder_module, "WATCH_EVERY_SECONDS", 0.05)
        monkeypatch.setattr(shedder_module, "MAX_ARRIVAL_SECONDS", 0.05)

        async def scenario() -> None:
            async with overloaded() as worker:
                (await worker.hand_over()).send(sent)
                purpose, _connection, data = await worker.returned.get()
                assert (purpose, data) == (Purpose.KEEP, sent)

        run(scenario)

    def test_connections_wait_while_the_channel_is_full(self) -> None:
        numbers = range(300)

        def numbered(number: int) -> bytes:
            return f"GET /{number} HTTP/1.1\r\n{HOST}X-Any: {'x' * 10_000}\r\n\r\n".encode()

        async def scenario() -> None:
            async with overloaded(receives=False) as worker:
                clients = [await worker.hand_over() for _ in numbers]
                worker.state.room = len(numbers)
                for number, client in enumerate(clients):
                    client.send(numbered(number))
                    await until(lambda: worker.state.room == len(numbers) - number - 1)  # noqa: B023  # awaited here
                assert worker.shedder._returning, "the channel is full"
                for client in clients:
                    client.send(b"more")
                worker.start_receiving()
                found = [await worker.returned.get() for _ in numbers]
                assert sorted(data for _purpose, _connection, data in found) == sorted(map(numbered, numbers))
                for _purpose, connection, _data in found:
                    connection.setblocking(True)
                    assert connection.recv(10) == b"more", "it is read by whom the connection belongs to then"

        run(scenario)


class TestEnd:
    def test_idle_connections_are_closed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shedder_module, "WATCH_EVERY_SECONDS", 0.05)
        monkeypatch.setattr(shedder_module, "MAX_ARRIVAL_SECONDS", 0.05)

        async def scenario() -> None:
            with override_settings(REQUEST_TIMEOUT_SECONDS=0.1):
                async with overloaded() as worker:
                    client = await worker.hand_over()
                    await client.ask(REQUEST)
                    assert await client.is_disconnected()
                    assert worker.state.held == 0

        run(scenario)

    def test_client_that_leaves_is_forgotten(self) -> None:
        async def scenario() -> None:
            async with overloaded() as worker:
                client = await worker.hand_over()
                client.close()
                await until(lambda: worker.state.held == 0)

        run(scenario)

    def test_worker_that_stops_leaves_no_connection(self) -> None:
        async def scenario() -> None:
            async with overloaded() as worker:
                idle, sending = await worker.hand_over(), await worker.hand_over()
                sending.send(b"GET ")
                await until(lambda: any(each.received for each in worker.shedder.open))
            assert await idle.is_disconnected()
            assert await sending.is_disconnected()

        run(scenario)

    def test_worker_that_dies_leaves_no_connection(self) -> None:
        async def scenario() -> None:
            async with overloaded(receives=False) as worker:
                idle, sending = await worker.hand_over(), await worker.hand_over()
                sending.send(b"GET ")
                await until(lambda: any(each.received for each in worker.shedder.open))
                worker.die()
                assert await idle.is_disconnected()
                assert await sending.is_disconnected()

        run(scenario)
