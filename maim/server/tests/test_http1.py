"""The HTTP server, on a socket: framing, order, and the end of connections."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from maim.server.http1 import MAX_HEAD_BYTES, MAX_PIPELINED
from tests.support.instances import WAIT
from tests.support.server import MaimServer
from tests.support.wire import read_all, read_until

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

    def test_what_follows_an_ignored_upgrade_in_its_protocol_is_refused(self, connection: socket.socket) -> None:
        connection.sendall(
            b"GET /info HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00"
        )

        assert re.findall(rb"HTTP/1.1 (\d+)", read_all(connection)) == [b"200", b"400"]

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

    @pytest.mark.parametrize(
        ("version", "framing", "status"),
        [
            ("1.0", "Transfer-Encoding: chunked", b"400"),
            ("1.1", "Transfer-Encoding: gzip, chunked", b"501"),
            ("1.1", "Content-Length: " + "0" * 5000 + str(len(BODY)), b"400"),
        ],
    )
    @pytest.mark.parametrize("ending", ["keep-alive", "close"])
    def test_what_follows_refused_framing_is_no_request(
        self, connection: socket.socket, version: str, framing: str, status: bytes, ending: str
    ) -> None:
        """A proxy may see the body of the first one in it."""
        head = f"POST {PARSE} HTTP/{version}\r\nHost: localhost\r\nConnection: keep-alive\r\n{framing}\r\n\r\n"
        body = b"0\r\n\r\n" if "chunked" in framing else BODY

        connection.sendall(head.encode() + body + parse(1, f"Connection: {ending}"))

        assert re.findall(rb"HTTP/1.1 (\d+)", read_all(connection)) == [status]

    @pytest.mark.parametrize(("target", "status"), [("evil.example.com", 403), ("localhost:8000", 200)])
    def test_host_of_a_whole_url_counts(self, connection: socket.socket, target: str, status: int) -> None:
        """In place of the header's (RFC 9112, section 3.2.2)."""
        connection.sendall(
            f"GET http://{target}/api/v2/tenants HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )

        assert read_all(connection).startswith(f"HTTP/1.1 {status} ".encode())

    @pytest.mark.parametrize(
        ("target", "second"), [("/info", "evil.example"), ("/info", "\xff"), ("http://localhost/info", "localhost")]
    )
    def test_two_hosts_are_refused_whatever_they_are(self, connection: socket.socket, target: str, second: str) -> None:
        lines = [f"GET {target} HTTP/1.1", "Host: localhost", f"Host: {second}", "Connection: close", "", ""]

        connection.sendall("\r\n".join(lines).encode("latin-1"))

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

        refused = read_all(connection)
        assert refused.startswith(b"HTTP/1.1 405 ")
        assert re.search(rb"\r\nAllow: .*GET.*\r\n", refused)
        assert re.search(rb"\r\nX-Request-ID: req_[0-9a-f]{16}\r\n", refused), "as every response"
