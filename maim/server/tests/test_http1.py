"""The HTTP server, on a socket: framing, order, and the end of connections."""

from __future__ import annotations

import asyncio
import json
import re
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
from maim.server.http1 import MAX_HEAD_BYTES, MAX_PIPELINED, HttpServer
from tests.support.instances import WAIT, wait_until
from tests.support.server import MaimServer

pytestmark = pytest.mark.embedded

PARSE = "/api/v2/auth/parse-api-key"
BODY = b'{"api_key": "x"}'
MEBIBYTE = 1024 * 1024


@pytest.fixture
def connection(server: MaimServer) -> Iterator[socket.socket]:
    with closing(socket.create_connection(("127.0.0.1", server.internal_port), timeout=WAIT)) as connection:
        yield connection


def parse(number: int, *headers: str, version: str = "1.1", path: str = PARSE) -> bytes:
    """Return a request to parse a key, with a number for its id."""
    lines = [
        f"POST {path} HTTP/{version}",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(BODY)}",
        f"X-Request-ID: number.{number}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + BODY


def read_all(connection: socket.socket) -> bytes:
    """Return what the server sends until it closes the connection."""
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


def read_until(connection: socket.socket, end: bytes) -> bytes:
    """Return what the server sends up to these bytes."""
    received = b""
    while end not in received:
        part = connection.recv(65536)
        assert part, received
        received += part
    return received


def ids(responses: bytes) -> list[int]:
    return [int(number) for number in re.findall(rb"X-Request-ID: number\.(\d+)", responses)]


class TestOrder:
    @pytest.mark.parametrize("path", [PARSE, "/nowhere"], ids=["fast path", "Django"])
    def test_pipelined_requests_are_answered_in_order(self, connection: socket.socket, path: str) -> None:
        number = 3 * MAX_PIPELINED
        long = f"X-Any: {'x' * 20_000}"  # so that they are not all read at once
        requests = [parse(each, long, path=path if each % 2 else "/api/v2/tenants/") for each in range(number)]

        connection.sendall(b"".join(requests) + parse(number, "Connection: close"))

        assert ids(read_all(connection)) == list(range(number + 1))

    def test_request_in_single_bytes_is_answered(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in parse(1, "Connection: close"):
            connection.sendall(bytes([byte]))

        head, _, body = read_all(connection).partition(b"\r\n\r\n")

        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert json.loads(body)["error_code"] == "AUTH_001"

    def test_what_is_not_http_is_refused_after_what_was(self, connection: socket.socket) -> None:
        connection.sendall(parse(1, path="/nowhere") + b"noise\r\n\r\n")

        received = read_all(connection)

        assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"404", b"400"]


class TestTheEndOfAConnection:
    @pytest.mark.parametrize(
        ("version", "headers", "kept"),
        [
            ("1.1", [], True),
            ("1.1", ["Connection: close"], False),
            ("1.1", ["Connection: keep-alive, close"], False),
            ("1.0", [], False),
            ("1.0", ["Connection: keep-alive"], True),
        ],
    )
    def test_connection_is_kept_as_the_client_wishes(
        self, connection: socket.socket, version: str, headers: list[str], kept: bool
    ) -> None:
        connection.sendall(parse(1, *headers, version=version))
        first = read_until(connection, b"}")
        assert (b"Connection: close" in first) != kept
        assert (b"Connection: keep-alive" in first) == (kept and version == "1.0")

        if kept:
            connection.sendall(parse(2, *headers, version=version))
            assert ids(read_until(connection, b"}")) == [2]
        else:
            assert read_all(connection) in (b"", b"}")

    def test_upgrade_is_answered_in_http_and_ends_the_connection(self, connection: socket.socket) -> None:
        connection.sendall(
            b"GET /info HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00"
        )

        assert read_all(connection).startswith(b"HTTP/1.1 200 OK\r\n")

    @pytest.mark.parametrize("framing", ["Content-Length: 16", "Transfer-Encoding: chunked"])
    def test_offer_of_another_protocol_is_ignored_and_the_body_read(
        self, connection: socket.socket, framing: str
    ) -> None:
        """Clients such as `curl --http2` and Java's HttpClient make one."""
        offer = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"]
        lines = [f"POST {PARSE} HTTP/1.1", "Host: localhost", *offer, "Content-Type: application/json", framing]
        body = b"10\r\n%b\r\n0\r\n\r\n" % BODY if "chunked" in framing else BODY

        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body[:5])
        connection.sendall(body[5:] + parse(2, "Connection: close"))

        responses = read_all(connection)
        assert re.findall(rb"HTTP/1.1 (\d+)", responses) == [b"200", b"200"]
        assert responses.count(b'"error_code":"AUTH_001"') == 2

    def test_tunnel_is_refused(self, connection: socket.socket) -> None:
        connection.sendall(b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n\x16\x03")

        assert re.findall(rb"HTTP/1.1 (\d+)", read_all(connection))[0] in (b"400", b"404", b"405")

    def test_client_that_still_sends_can_read_its_refusal(self, connection: socket.socket) -> None:
        """A connection that is closed on arriving data is reset, and the response with it."""
        connection.sendall(f"POST {PARSE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {1 << 30}\r\n\r\n".encode())
        assert read_until(connection, b"}").startswith(b"HTTP/1.1 413 ")

        for _ in range(64):
            connection.sendall(bytes(65536))

        connection.shutdown(socket.SHUT_WR)
        read_all(connection)

    def test_client_that_ends_the_connection_in_a_trailer_is_told_so(self, connection: socket.socket) -> None:
        head = f"POST {PARSE} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"

        connection.sendall(head.encode() + b"0\r\nConnection: close\r\n\r\n" + parse(2))

        received = read_all(connection)
        assert b"Connection: close\r\n" in received
        assert received.count(b"HTTP/1.1 ") == 1

    def test_trailers_are_no_headers(self, connection: socket.socket) -> None:
        head = f"POST {PARSE} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
        chunk = b"%x\r\n%b\r\n" % (len(BODY), BODY)

        connection.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\nOrigin: x\r\n\r\n")

        assert read_all(connection).startswith(b"HTTP/1.1 200 OK\r\n")


class TestFraming:
    @pytest.mark.parametrize(
        ("version", "coding", "status"),
        [("1.1", "chunked", 200), ("1.1", "Chunked", 200), ("1.0", "chunked", 400), ("1.1", "gzip, chunked", 501)],
    )
    def test_only_chunks_of_http_1_1_are_read(
        self, connection: socket.socket, version: str, coding: str, status: int
    ) -> None:
        """Proxies on the way may see the end of any other body elsewhere (RFC 9112, section 6.1)."""
        lines = [f"POST {PARSE} HTTP/{version}", "Host: localhost", "Content-Type: application/json"]
        head = "\r\n".join([*lines, f"Transfer-Encoding: {coding}", "Connection: close", "", ""])

        connection.sendall(head.encode() + b"10\r\n%b\r\n0\r\n\r\n" % BODY)

        assert read_all(connection).startswith(f"HTTP/1.1 {status} ".encode())

    @pytest.mark.parametrize(("target", "status"), [("evil.example.com", 403), ("localhost:8000", 200)])
    def test_host_of_a_whole_url_counts(self, connection: socket.socket, target: str, status: int) -> None:
        """In place of the header's (RFC 9112, section 3.2.2)."""
        connection.sendall(
            f"GET http://{target}/api/v2/tenants HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )

        assert read_all(connection).startswith(f"HTTP/1.1 {status} ".encode())

    def test_two_hosts_are_refused_whatever_they_are(self, connection: socket.socket) -> None:
        connection.sendall(
            b"GET /api/v2/tenants HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\xff\r\nConnection: close\r\n\r\n"
        )

        assert read_all(connection).startswith(b"HTTP/1.1 400 ")


class TestLimits:
    def test_long_head_is_refused_also_in_one_read(self, connection: socket.socket) -> None:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X-Any: x\r\n" * 10_000 + b"\r\n")

        assert read_all(connection).startswith(b"HTTP/1.1 431 ")

    def test_endless_head_is_refused(self, connection: socket.socket) -> None:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
        sent = 0
        while sent < 64 * MAX_HEAD_BYTES:
            try:
                sent += connection.send(b"x" * 65536)
            except ConnectionError:
                return  # reset, while it was still sending
            connection.setblocking(False)
            try:
                refused = connection.recv(4096)
            except BlockingIOError:
                connection.settimeout(WAIT)
                continue
            assert refused.startswith(b"HTTP/1.1 431 ")
            return
        pytest.fail(f"{sent} bytes of a head were read")

    def test_endless_trailers_are_refused(self, connection: socket.socket) -> None:
        head = f"POST {PARSE} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode() + b"0\r\n")
        trailer = b"X-Any: x\r\n" * 8192

        for _ in range(2 * MEBIBYTE // len(trailer)):
            connection.sendall(trailer)

        assert read_until(connection, b"\r\n").startswith(b"HTTP/1.1 413 ")

    def test_unknown_method_gets_405(self, connection: socket.socket) -> None:
        connection.sendall(b"BREW /health HTTP/1.1\r\nHost: localhost\r\n\r\n")

        assert read_all(connection).startswith(b"HTTP/1.1 405 ")


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
    """Serve an application in another thread, and return the server and a connection to it. In the end, stop it."""
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
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that looks for late clients all the time."""
    monkeypatch.setattr(http1, "_WATCH_EVERY_SECONDS", 0.03)


def request(*headers: str, body: bytes = b"", method: str = "GET", version: str = "1.1") -> bytes:
    return "\r\n".join([f"{method} / HTTP/{version}", "Host: localhost", *headers, "", ""]).encode() + body


@pytest.mark.usefixtures("_looks_often")
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


@pytest.mark.usefixtures("_looks_often")
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


@pytest.mark.usefixtures("_looks_often")
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
    def test_client_that_has_not_sent_its_request_does_not_delay_it_for_long(
        self, monkeypatch: pytest.MonkeyPatch, sent: bytes
    ) -> None:
        monkeypatch.setattr(http1, "DRAIN_SECONDS", 0.1)
        with served(Reader()) as (server, connection):
            connection.sendall(sent)
            wait_until(lambda: len(server.connections) == 1, "it is connected")
