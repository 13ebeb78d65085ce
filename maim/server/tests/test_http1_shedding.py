"""The HTTP server and the shedder: which connections it hands over, and how it serves those that come back."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import pytest
import uvloop

from internal_api.fastpath import Reply
from maim.server.application import Application
from maim.server.exchange import Exchange
from maim.server.http1 import HttpServer
from maim.server.shedding.handle import ShedderHandle
from tests.support.instances import WAIT, wait_until
from tests.support.wire import read_all, read_until

pytestmark = pytest.mark.embedded

MAX_CONNECTIONS = 10


def request(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


LONG = bytes(16 * 1024 * 1024) + b"end"  # more than the system holds for a client
REFUSED, ANSWERED, SERVED = request("/refused"), request("/answered"), request("/served")


class Overloaded:
    """An application that refuses one path, answers another at once, and serves others in a task."""

    room = 0

    def __init__(self) -> None:
        self.may_serve = threading.Event()

    def reply_at_once(self, exchange: Exchange) -> Reply | None:
        replies = {
            "/refused": Reply(503, [], b""),
            "/refused-at-length": Reply(503, [], LONG),
            "/answered": Reply(200, [], b""),
        }
        return replies.get(exchange.path)

    async def respond(self, exchange: Exchange) -> None:
        while not self.may_serve.is_set():
            await asyncio.sleep(0.001)
        exchange.respond(200, [], b"served")


class FakeShedder:
    """A shedder that keeps what it takes, and passes nothing on."""

    def __init__(self) -> None:
        self.held = 0
        self.taken: list[socket.socket] = []
        self.may_take = True
        self.is_stopped = False

    def start(self, server: Any) -> None:
        """Take from any server."""

    def stop(self) -> None:
        self.is_stopped = True

    def take(self, client: int) -> bool:
        if self.may_take:
            self.taken.append(socket.socket(fileno=os.dup(client)))
        return self.may_take


class RunningServer:
    """A server in another thread, its application and its shedder."""

    def __init__(self, stack: ExitStack) -> None:
        self.application, self.shedder = Overloaded(), FakeShedder()
        self.loop = uvloop.new_event_loop()
        self.server = HttpServer(
            cast("Application", self.application),
            cast("ShedderHandle", self.shedder),
            port=0,
            timeout=WAIT,
            max_body_bytes=1000,
            max_connections=MAX_CONNECTIONS,
        )
        self._stack = stack
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._address = self._listener.getsockname()

    def connect(self) -> socket.socket:
        return self._stack.enter_context(socket.create_connection(self._address, timeout=WAIT))

    def run(self, stopping: asyncio.Event) -> None:
        self.loop.run_until_complete(self.server.serve(self._listener, stopping))

    def hand_back(self, data: bytes, *, may_be_shed: bool = True) -> None:
        """Hand the connection that was taken back to the server."""
        client = self.shedder.taken.pop()
        self.loop.call_soon_threadsafe(lambda: self.server.take_back(client, data, may_be_shed=may_be_shed))


@pytest.fixture
def served() -> Iterator[RunningServer]:
    with ExitStack() as stack, _running(RunningServer(stack)) as served:
        yield served
        for each in served.shedder.taken:
            each.close()


@contextmanager
def _running(served: RunningServer) -> Iterator[RunningServer]:
    stopping = asyncio.Event()
    thread = threading.Thread(target=served.run, args=(stopping,))
    thread.start()
    yield served
    served.application.may_serve.set()
    served.loop.call_soon_threadsafe(stopping.set)
    thread.join(WAIT)
    served.loop.close()
    assert served.shedder.is_stopped


def status_on(connection: socket.socket) -> int:
    return int(read_until(connection, b"\r\n\r\n").split()[1])


class TestHandingOver:
    def test_connection_whose_request_was_refused_is_handed_over(self, served: RunningServer) -> None:
        client = served.connect()
        client.sendall(REFUSED)

        assert status_on(client) == 503
        wait_until(lambda: len(served.shedder.taken) == 1, "it is handed over")
        wait_until(lambda: not served.server.connections, "the server has it no more")
        client.sendall(ANSWERED)
        assert served.shedder.taken[0].recv(1000) == ANSWERED, "it is open still, and the shedder reads it"

    def test_connection_with_another_request_stays_until_that_is_served(self, served: RunningServer) -> None:
        client = served.connect()
        client.sendall(REFUSED + SERVED)
        assert status_on(client) == 503
        client.sendall(REFUSED)
        assert not served.shedder.taken

        served.application.may_serve.set()
        assert b"served" in read_until(client, b"HTTP/1.1 503 ")
        wait_until(lambda: len(served.shedder.taken) == 1, "it is handed over after the last refusal")

    @pytest.mark.parametrize("begun", [b"GET", b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n1"])
    def test_connection_on_which_another_request_has_begun_stays(self, served: RunningServer, begun: bytes) -> None:
        client = served.connect()
        client.sendall(REFUSED + begun)

        assert status_on(client) == 503
        assert not served.shedder.taken

    @pytest.mark.parametrize("last", [ANSWERED, request("/refused", "Connection: close")])
    def test_connection_stays_that_was_not_refused_or_ends(self, served: RunningServer, last: bytes) -> None:
        client = served.connect()
        client.sendall(last)

        assert status_on(client) in {200, 503}
        assert not served.shedder.taken

    def test_connection_stays_if_the_shedder_cannot_take_it(self, served: RunningServer) -> None:
        served.shedder.may_take = False
        client = served.connect()
        for data, status in ((REFUSED, 503), (ANSWERED, 200), (REFUSED, 503)):
            client.sendall(data)
            assert status_on(client) == status

    def test_connection_whose_client_has_not_taken_the_refusal_stays(self, served: RunningServer) -> None:
        """Otherwise the rest of the refusal would be lost with the server's end of the connection."""
        client = served.connect()
        client.sendall(request("/refused-at-length"))
        wait_until(lambda: any(each._was_refused for each in served.server.connections), "it is refused")
        assert not served.shedder.taken

        assert len(read_until(client, b"end")) > len(LONG)
        wait_until(lambda: len(served.shedder.taken) == 1, "it is handed over then")

    def test_connections_of_the_shedder_count(self, served: RunningServer) -> None:
        served.shedder.held = MAX_CONNECTIONS
        client = served.connect()
        client.sendall(ANSWERED)

        assert b"Connection: close" in read_all(client)


class TestHandingBack:
    @pytest.fixture
    def client(self, served: RunningServer) -> socket.socket:
        """A client whose connection the shedder has."""
        client = served.connect()
        client.sendall(REFUSED)
        assert status_on(client) == 503
        wait_until(lambda: len(served.shedder.taken) == 1, "it is handed over")
        return client

    def test_request_that_was_read_is_answered(self, served: RunningServer, client: socket.socket) -> None:
        served.hand_back(ANSWERED)

        assert status_on(client) == 200

    def test_what_was_read_comes_before_what_is_read_next(self, served: RunningServer, client: socket.socket) -> None:
        client.sendall(b"ered HTTP/1.1\r\nHost: localhost\r\n\r\n")
        served.hand_back(b"GET /answ")

        assert status_on(client) == 200

    def test_connection_is_handed_over_again_when_it_is_refused_again(
        self, served: RunningServer, client: socket.socket
    ) -> None:
        served.hand_back(REFUSED)

        assert status_on(client) == 503
        wait_until(lambda: len(served.shedder.taken) == 1, "it is handed over")

    def test_it_is_served_though_there_are_too_many(self, served: RunningServer, client: socket.socket) -> None:
        served.shedder.held = 100 * MAX_CONNECTIONS
        served.hand_back(ANSWERED)

        assert status_on(client) == 200

    def test_client_that_sends_no_more_gets_the_response(self, served: RunningServer, client: socket.socket) -> None:
        client.shutdown(socket.SHUT_WR)
        served.hand_back(ANSWERED)

        assert status_on(client) == 200

    def test_connection_stays_whose_requests_are_not_for_the_shedder(
        self, served: RunningServer, client: socket.socket
    ) -> None:
        served.hand_back(REFUSED, may_be_shed=False)

        assert status_on(client) == 503
        client.sendall(ANSWERED)
        assert status_on(client) == 200
        assert not served.shedder.taken
