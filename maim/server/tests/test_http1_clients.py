"""The HTTP server beside clients that are slow, greedy or still there when it stops."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import cast

import pytest
import uvloop

from internal_api.fastpath import Reply
from maim.server import http1
from maim.server.application import Application
from maim.server.exchange import ClientGone, Exchange
from maim.server.http1 import HttpServer
from tests.support.instances import WAIT, wait_until
from tests.support.wire import read_all, read_until

pytestmark = pytest.mark.embedded

MEBIBYTE = 1024 * 1024


class Download:
    """An application whose response is larger than what the system holds for a client."""

    BODY = bytes(16 * MEBIBYTE)

    def reply_at_once(self, exchange: Exchange) -> Reply:
        return Reply(200, [("Content-Length", str(len(self.BODY)))], self.BODY)


class Reader:
    """An application that reads bodies, and responds with their sizes."""

    def reply_at_once(self, exchange: Exchange) -> None:
        """Leave every request to a task."""

    async def respond(self, exchange: Exchange) -> None:
        try:
            await exchange.read_body()
        except TimeoutError:
            exchange.respond(408, [], b"")
        except ClientGone:
            exchange.respond(400, [], b"")
        else:
            exchange.respond(200, [], str(exchange.size).encode())


class Waiter:
    """An application that responds when the client has gone."""

    def reply_at_once(self, exchange: Exchange) -> None:
        """Leave every request to a task."""

    async def respond(self, exchange: Exchange) -> None:
        await exchange.client_gone()
        exchange.respond(400, [], b"")


@contextmanager
def served(
    application: Download | Reader | Waiter, *, timeout: float = WAIT
) -> Iterator[tuple[HttpServer, socket.socket]]:
    """Serve an application in another thread, and return the server and a connection to it.

    In the end assert that the server stops, though the connection is open.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    loop, stopping = uvloop.new_event_loop(), asyncio.Event()
    server = HttpServer(
        cast("Application", application), port=0, timeout=timeout, max_body_bytes=MEBIBYTE, max_connections=10
    )
    address = listener.getsockname()
    thread = threading.Thread(target=loop.run_until_complete, args=(server.serve(listener, stopping),))
    thread.start()
    try:
        with closing(socket.create_connection(address, timeout=WAIT)) as connection:
            yield server, connection
            loop.call_soon_threadsafe(stopping.set)
            thread.join(WAIT)
            assert not thread.is_alive(), "it stops, whatever clients do"
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join()
        loop.close()


@pytest.fixture
def _frequent_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that are looked at all the time."""
    monkeypatch.setattr(http1, "_WATCH_EVERY_SECONDS", 0.03)


def request(*headers: str, body: bytes = b"", method: str = "GET", version: str = "1.1") -> bytes:
    return "\r\n".join([f"{method} / HTTP/{version}", "Host: localhost", *headers, "", ""]).encode() + body


@pytest.mark.usefixtures("_frequent_watch")
class TestClientsThatReadSlowly:
    """A client may take a response as slowly as it likes, but not stop."""

    TIMEOUT = 0.3

    @pytest.fixture(autouse=True)
    def _short_linger(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http1, "LINGER_SECONDS", self.TIMEOUT)

    @pytest.mark.parametrize("headers", [[], ["Connection: close"]], ids=["kept", "ended"])
    def test_client_that_reads_slowly_gets_it_all(self, headers: list[str]) -> None:
        with served(Download(), timeout=self.TIMEOUT) as (_server, connection):
            connection.sendall(request(*headers))
            received, began = 0, time.monotonic()
            while received < len(Download.BODY):
                part = connection.recv(128 * 1024)
                assert part, "it was cut off"
                received += len(part)
                time.sleep(0.01)  # what makes it slow

        assert time.monotonic() - began > 3 * self.TIMEOUT, "it was slow"

    @pytest.mark.parametrize("headers", [[], ["Connection: close"]], ids=["kept", "ended"])
    def test_client_that_stops_is_closed(self, headers: list[str]) -> None:
        with served(Download(), timeout=self.TIMEOUT) as (server, connection):
            connection.sendall(request(*headers))
            connection.recv(1)
            wait_until(lambda: not server.connections, "the server closes the connection", 10)


@pytest.mark.usefixtures("_frequent_watch")
class TestMemory:
    @pytest.fixture(autouse=True)
    def _short_drain(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http1, "DRAIN_SECONDS", 0.1)

    def test_most_of_many_requests_in_one_read_are_parsed_later(self) -> None:
        with served(Waiter()) as (server, connection):
            connection.sendall(request() * 2_000)
            wait_until(lambda: any(each._unparsed for each in server.connections), "a part of it is parsed")
            [held] = server.connections

            assert len(held._waiting) < http1.MAX_PIPELINED + http1.PARSED_AT_ONCE / len(request())

    @pytest.mark.parametrize("is_behind_another", [False, True], ids=["being read", "behind another request"])
    def test_connections_with_the_largest_bodies_are_closed(
        self, monkeypatch: pytest.MonkeyPatch, is_behind_another: bool
    ) -> None:
        large, small = 1000, 400
        application = Waiter() if is_behind_another else Reader()
        before = request() if is_behind_another else b""
        with served(application) as (server, first), ExitStack() as stack:
            second = stack.enter_context(socket.create_connection(first.getpeername(), timeout=WAIT))
            for connection, size in ((first, small), (second, large)):
                body = request("Content-Length: 5000", body=bytes(size), method="POST")
                connection.sendall(before + body)
            wait_until(lambda: sum(each.unserved for each in server.connections) == large + small, "both have arrived")
            monkeypatch.setattr(http1, "MAX_UNSERVED_BYTES", large)

            wait_until(lambda: len(server.connections) == 1, "one of them is closed")
            [kept] = server.connections
            assert kept.unserved == small

    def test_few_bodies_wait(self) -> None:
        post = request(f"Content-Length: {MEBIBYTE}", body=bytes(MEBIBYTE), method="POST")
        with served(Waiter()) as (server, connection):
            connection.settimeout(1)
            with pytest.raises(TimeoutError):
                connection.sendall(post * 2 * http1.MAX_PIPELINED)
            [held] = server.connections

            assert sum(each.size for each in held._waiting) <= 2 * MEBIBYTE

    def test_connections_that_hold_most_are_closed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with served(Download()) as (server, first), ExitStack() as stack:
            address = first.getpeername()
            others = [stack.enter_context(socket.create_connection(address, timeout=WAIT)) for _ in range(2)]
            for each in (first, *others):
                each.sendall(request())
                each.recv(1)
            assert len(server.connections) == 3

            monkeypatch.setattr(http1, "MAX_UNWRITTEN_BYTES", len(Download.BODY))
            wait_until(lambda: len(server.connections) < 3, "some are closed", 10)
            assert server.connections, "not all"


@pytest.mark.usefixtures("_frequent_watch")
class TestClientsThatSendSlowly:
    TIMEOUT = 0.5

    def test_body_that_takes_too_long_is_ended(self) -> None:
        with served(Reader(), timeout=self.TIMEOUT) as (_server, connection):
            began = time.monotonic()
            connection.sendall(request("Content-Length: 4", body=b"bo", method="POST"))

            assert read_until(connection, b"\r\n").startswith(b"HTTP/1.1 408 ")
            assert time.monotonic() - began >= self.TIMEOUT

    def test_head_has_its_time_though_it_begins_late(self) -> None:
        with served(Reader(), timeout=self.TIMEOUT) as (_server, connection):
            time.sleep(self.TIMEOUT / 2)  # what makes it late
            began = time.monotonic()
            connection.sendall(b"GET / HTTP/1.1\r\nHost: ")

            assert read_all(connection) == b""
            assert time.monotonic() - began >= self.TIMEOUT

    def test_client_that_was_slow_has_time_to_read_its_refusal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http1, "LINGER_SECONDS", self.TIMEOUT)
        with served(Reader()) as (server, connection):
            connection.sendall(b"GET / HTTP/1.1\r\n")
            time.sleep(self.TIMEOUT)  # what makes it slow
            began = time.monotonic()
            connection.sendall(b"noise\r\n\r\n")

            assert read_all(connection).startswith(b"HTTP/1.1 400 ")
            wait_until(lambda: not server.connections, "the server closes the connection", 10)
            assert time.monotonic() - began >= self.TIMEOUT

    def test_body_that_is_too_large_is_not_awaited(self) -> None:
        with served(Reader()) as (_server, connection):
            connection.sendall(request(f"Content-Length: {2 * MEBIBYTE}", method="POST"))

            assert read_until(connection, b"\r\n").startswith(b"HTTP/1.1 200 ")

    @pytest.mark.parametrize(("version", "is_told"), [("1.1", True), ("1.0", False)])
    def test_client_that_expects_it_is_told_to_send_its_body(self, version: str, is_told: bool) -> None:
        """A client of HTTP/1.0 would take that for the response (RFC 9110, section 10.1.1)."""
        with served(Reader(), timeout=self.TIMEOUT) as (_server, connection):
            connection.sendall(request("Content-Length: 4", "Expect: 100-continue", method="POST", version=version))

            assert (b"100 Continue" in read_until(connection, b"\r\n")) == is_told


class TestStop:
    @pytest.mark.parametrize("sent", [b"", b"GET / HT", request("Content-Length: 4", body=b"bo", method="POST")])
    def test_server_stops_though_a_client_has_not_sent_its_request(
        self, monkeypatch: pytest.MonkeyPatch, sent: bytes
    ) -> None:
        monkeypatch.setattr(http1, "DRAIN_SECONDS", 0.1)
        with served(Reader()) as (server, connection):  # which asserts that it stops
            connection.sendall(sent)
            wait_until(lambda: len(server.connections) == 1, "it is connected")
