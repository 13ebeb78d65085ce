"""The internal surface as it is served: the event loop answers what it can and never waits."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import pytest

from apikeys import keyformat
from core.http.surfaces import INTERNAL
from tests.support.instances import wait_until
from tests.support.server import MaimServer
from tests.support.wire import exchange

pytestmark = pytest.mark.embedded

VALIDATE, CHECK, PARSE = (f"/api/v2/auth/{name}" for name in ("validate-api-key", "check-permission", "parse-api-key"))
UNKNOWN = keyformat.generate("tenant_000000000000", "agent_000000000000")
QUESTION = json.dumps({"api_key": UNKNOWN}).encode()
MEBIBYTE = 1024 * 1024
WAIT = 10
JSON = {"Content-Type": "application/json"}
# Those that maim, Django or DRF read.
HEADERS = [
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "Access-Control-Request-Headers",
    "Access-Control-Request-Method",
    "Authorization",
    "Content-Encoding",
    "Content-Type",
    "Cookie",
    "Expect",
    "Host",
    "Idempotency-Key",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "Origin",
    "Prefer",
    "Range",
    "Referer",
    "Sec-Fetch-Site",
    "User-Agent",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Request-ID",
]


@pytest.fixture(scope="module")
def before(server: MaimServer) -> int:
    """The length of the shared server's log before these tests, because other tests cause faults."""
    return len(server.log)


@pytest.fixture
def port(server: MaimServer) -> int:
    return server.internal_port


@contextmanager
def slow_requests(port: int, number: int, path: str) -> Iterator[list[socket.socket]]:
    """Open so many connections that have sent the headers of a POST and not its body."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(QUESTION)}\r\nConnection: close\r\n\r\n"
    ).encode()
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=WAIT)) for _ in range(number)
        ]
        for each in sockets:
            each.sendall(head)
        yield sockets


def answer_on(connection: socket.socket) -> tuple[int, Any]:
    """Read the response from a socket, and return its status and JSON."""
    with closing(HTTPResponse(connection)) as response:
        response.begin()
        return response.status, json.loads(response.read())


class TestNobodyHoldsUpOthers:
    @pytest.mark.parametrize("path", [VALIDATE, "/api/v2/tenants"])
    def test_slow_body_blocks_nobody(self, port: int, path: str) -> None:
        with slow_requests(port, 3 * INTERNAL.threads, path) as sockets:
            assert exchange(port, "POST", VALIDATE, content=QUESTION).code == "AUTH_005"
            assert exchange(port, "GET", "/health").status == 200
            assert exchange(port, "GET", "/api/v2/tenants").status == 200

            for each in sockets:
                each.sendall(QUESTION)
            # A machine that is busy itself may refuse what has to wait for a thread.
            expected = {(200, "AUTH_005")} if path == VALIDATE else {(400, "VALIDATION_ERROR"), (503, "SYS_002")}
            for each in sockets:
                status, body = answer_on(each)
                assert (status, body["error_code"]) in expected

    def test_client_that_hangs_up_blocks_nobody(self, server: MaimServer, port: int, before: int) -> None:
        with slow_requests(port, 20, VALIDATE) as sockets:
            for each in sockets:
                each.sendall(QUESTION[:10])

        assert exchange(port, "POST", VALIDATE, content=QUESTION).code == "AUTH_005"
        assert "Traceback" not in server.log[before:]

    def test_half_closed_connection_gets_400(self, server: MaimServer, port: int, before: int) -> None:
        with slow_requests(port, 1, VALIDATE) as (half,):
            half.sendall(QUESTION[:10])
            half.shutdown(socket.SHUT_WR)

            with closing(HTTPResponse(half)) as response:
                response.begin()
                assert response.status == 400
        assert "Traceback" not in server.log[before:]

    def test_many_at_once(self, port: int) -> None:
        """Each client gets the responses to its own requests."""

        def ask(number: int) -> None:
            connection = HTTPConnection("127.0.0.1", port, timeout=30)
            for turn in range(15):
                name = f"{number}-{turn}"
                secret = UNKNOWN if turn % 3 else keyformat.generate("tenant_000000000000", f"agent_{number:012d}")
                path = (VALIDATE, CHECK, PARSE)[turn % 3]
                body = json.dumps({"api_key": secret, "permission": "chat"})
                connection.request("POST", path, body, {**JSON, "X-Request-ID": name})
                response = connection.getresponse()
                answer = json.loads(response.read())
                assert (response.status, response.headers["X-Request-ID"], answer["request_id"]) == (200, name, name)
                assert answer["error_code"] == (None if path == PARSE else "AUTH_005")
            connection.close()

        with ThreadPoolExecutor(20) as threads:
            list(threads.map(ask, range(20)))


class TestBodies:
    @pytest.mark.parametrize("chunked", [False, True])
    @pytest.mark.parametrize(("size", "status"), [(MEBIBYTE, 200), (MEBIBYTE + 1, 413), (3 * MEBIBYTE, 413)])
    def test_body_may_have_a_mebibyte(self, port: int, chunked: bool, size: int, status: int) -> None:
        answer = exchange(port, "POST", VALIDATE, content=b'{"api_key": "x"}'.ljust(size), chunked=chunked)

        assert answer.status == status
        assert answer.is_envelope
        assert answer.code == ("AUTH_001" if status == 200 else "PAYLOAD_TOO_LARGE")

    def test_too_large_body_is_refused_before_it_arrives(self, port: int) -> None:
        head = f"POST {VALIDATE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {MEBIBYTE + 1}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", port), timeout=WAIT) as connection:
            connection.sendall(head.encode())

            assert answer_on(connection)[0] == 413

    def test_body_with_a_length_and_chunks_is_refused(self, port: int) -> None:
        """A proxy may believe the other one, and take the rest for the next request."""
        head = (
            f"POST {VALIDATE} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", port), timeout=WAIT) as connection:
            connection.sendall(head.encode() + b"%x\r\n%s\r\n0\r\n\r\n" % (len(QUESTION), QUESTION))

            assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")
            assert connection.recv(1) == b""

    def test_chunked_body_is_answered(self, port: int) -> None:
        answer = exchange(port, "POST", VALIDATE, content=QUESTION, chunked=True)

        assert (answer.status, answer.code) == (200, "AUTH_005")

    def test_action_may_have_no_body(self, port: int) -> None:
        assert exchange(port, "POST", "/api/v2/api-keys/key_none/disable").code == "KEY_001"


class TestPaths:
    @pytest.mark.parametrize(
        ("target", "status"),
        [
            ("/api/v2/auth/validate%2Dapi%2dkey", 200),
            ("/api/v2/%61uth/validate-api-key?x=1", 200),
            ("/api/v2/auth/validate-api-key/", 200),
            ("/api/v2/auth/validate-api-key//", 404),
            ("/api/v2//auth/validate-api-key", 404),
            ("/api/v2/auth/validate-api-key%20", 404),
            ("/api/v2/auth/%E5%B0%8F%E6%98%8E", 404),
            ("/api/v2/auth/%ff%fe", 404),
            ("/api/v2/auth/%00", 404),
            ("/api/v1/auth/login", 404),
        ],
    )
    def test_paths_are_decoded(self, port: int, target: str, status: int) -> None:
        answer = exchange(port, "POST", target, content=QUESTION)

        assert answer.status == status
        assert answer.is_envelope

    def test_paths_and_queries_reach_the_views_unchanged(self, port: int) -> None:
        answer = exchange(port, "GET", "/api/v2/agents?tenant_id=%E5%B0%8F%26x&page=2")

        assert (answer.status, answer.code) == (404, "TENANT_001")
        assert exchange(port, "GET", "/api/v2/agents?page=%E5%B0%8F&tenant_id=x").status == 400


class TestHeaders:
    @staticmethod
    def send(port: int, *lines: str, path: str = VALIDATE) -> tuple[int, Any]:
        """Send a request with just these headers."""
        head = [f"POST {path} HTTP/1.1", f"Content-Length: {len(QUESTION)}", *lines, "", ""]
        with socket.create_connection(("127.0.0.1", port), timeout=WAIT) as connection:
            connection.sendall("\r\n".join(head).encode("latin-1") + QUESTION)
            return answer_on(connection)

    @pytest.mark.parametrize("hosts", [("localhost", "evil.example"), ("evil.example", "localhost")])
    def test_two_hosts_are_refused(self, port: int, hosts: tuple[str, str]) -> None:
        lines = [f"Host: {host}" for host in hosts]

        assert self.send(port, *lines, "Content-Type: application/json")[0] == 400

    def test_two_media_types_are_refused(self, port: int) -> None:
        lines = ["Host: localhost", "Content-Type: application/json", "Content-Type: text/plain"]

        assert self.send(port, *lines)[0] in (400, 415)

    def test_two_request_ids_are_replaced(self, port: int) -> None:
        lines = ["Host: localhost", "Content-Type: application/json", "X-Request-ID: one", "X-Request-ID: two"]

        status, body = self.send(port, *lines)

        assert status == 200
        assert body["request_id"].startswith("req_")

    @pytest.mark.parametrize("line", ["Origin: http://evil.example", "Origin: \xff", "Sec-Fetch-Site: cross-site"])
    def test_a_page_of_another_site_is_refused(self, port: int, line: str) -> None:
        assert self.send(port, "Host: localhost", "Content-Type: application/json", line)[0] == 403

    def test_header_with_underscores_is_ignored(self, port: int) -> None:
        """A proxy that guards a header guards the one with hyphens, but CGI's variables are the same for both."""
        headers = {"x_request_id": "with.underscores", "sec_fetch_site": "cross-site", "content_type": "text/plain"}

        answer = exchange(port, "POST", "/api/v2/tenants", content=b"{}", headers={**JSON, **headers})

        assert (answer.status, answer.code) == (400, "VALIDATION_ERROR")
        assert answer.headers["X-Request-ID"] != "with.underscores"

    def test_request_id_that_is_not_ascii_is_replaced(self, port: int) -> None:
        lines = ["Host: localhost", "Content-Type: application/json", "X-Request-ID: \xe9", "User-Agent: \xff\xfe"]

        status, body = self.send(port, *lines)

        assert status == 200
        assert body["request_id"].startswith("req_")

    @pytest.mark.parametrize("name", HEADERS)
    @pytest.mark.parametrize("value", ["\xff", "\xff, x", "a\xe9=\xa0\xb2"])
    def test_no_header_that_is_not_ascii_is_a_fault(self, server: MaimServer, name: str, value: str) -> None:
        requests = [
            (server.internal_port, "POST", VALIDATE, {"api_key": UNKNOWN}),
            (server.internal_port, "POST", "/api/v2/tenants", {}),
            (server.internal_port, "GET", "/api/v2/agents/agent_000000000000/config", None),
            (server.public_port, "POST", "/api/v1/auth/login", {"username": "x", "password": "y"}),
            (server.public_port, "GET", "/api/v1/agents", None),
            (server.public_port, "GET", "/admin/login/", None),
            (server.public_port, "GET", "/static/admin/css/base.css", None),
        ]
        for port, method, path, body in requests:
            answer = exchange(port, method, path, headers={name: value}, body=body)

            assert answer.status < 500, (path, answer)


class TestConnections:
    def test_connection_is_kept_through_errors(self, port: int) -> None:
        wrong: list[tuple[str, str, bytes | None, str, int]] = [
            ("POST", VALIDATE, b"{", "application/json", 400),
            ("POST", VALIDATE, QUESTION, "text/plain", 415),
            ("GET", VALIDATE, None, "", 405),
            ("DELETE", PARSE, None, "", 405),
            ("POST", "/nowhere", QUESTION, "application/json", 404),
            ("POST", VALIDATE, b'{"api_key": "x", "required_permission": "and"}', "application/json", 400),
        ]
        connection = HTTPConnection("127.0.0.1", port, timeout=WAIT)
        connection.connect()
        first = connection.sock
        for method, path, body, media_type, status in wrong:
            for _ in range(2):
                connection.request(method, path, body, {"Content-Type": media_type} if media_type else {})
                response = connection.getresponse()
                assert (response.status, len(response.read()) > 0) == (status, True)
                connection.request("POST", VALIDATE, QUESTION, JSON)
                response = connection.getresponse()
                assert json.loads(response.read())["error_code"] == "AUTH_005"
        assert connection.sock is first, "it was never opened again"
        connection.close()

    @pytest.mark.parametrize("path", ["/health", "/api/v2/tenants"])
    def test_head_is_get_without_the_body(self, port: int, path: str) -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=WAIT)
        connection.connect()
        first = connection.sock
        answers = []
        for method in ("HEAD", "GET", "HEAD"):
            connection.request(method, path)
            response = connection.getresponse()
            answers.append((response.status, response.headers["Content-Type"], len(response.read()) > 0))
        connection.close()

        assert [status for status, _type, _has_body in answers] == [200] * 3
        assert [has_body for _status, _type, has_body in answers] == [False, True, False]
        assert connection.sock is first or connection.sock is None

    def test_uses_are_shown_within_seconds(self, port: int) -> None:
        tenant = exchange(port, "POST", "/api/v2/tenants", body={"tenant_name": "counted", "tenant_type": "personal"})
        ids = {"tenant_id": tenant.json["data"]["tenant_id"]}
        agent = exchange(port, "POST", "/api/v2/agents", body={**ids, "name": "agent"}).json["data"]
        key = exchange(
            port, "POST", "/api/v2/api-keys", body={**ids, "agent_id": agent["agent_id"], "name": "key"}
        ).json["data"]

        for _ in range(25):
            assert exchange(port, "POST", VALIDATE, body={"api_key": key["api_key"]}).json["data"]["valid"] is True

        def uses() -> int:
            data = exchange(port, "GET", f"/api/v2/api-keys/{key['api_key_id']}").json["data"]
            return int(data["usage_count"])

        wait_until(lambda: uses() == 25, "25 uses are shown", seconds=5)


def test_client_that_has_gone_when_it_is_accepted_is_no_fault(server: MaimServer) -> None:
    """The system then knows no address of the client, but still gives what it has sent."""
    before = len(server.log)
    for port in (server.public_port, server.internal_port):
        for _ in range(100):
            with socket.create_connection(("127.0.0.1", port), timeout=WAIT) as connection:
                connection.sendall(b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset by `close`
        assert exchange(port, "GET", "/health").status == 200

    assert "Traceback" not in server.log[before:]


def test_log_has_no_traceback(server: MaimServer, before: int) -> None:
    assert "Traceback" not in server.log[before:]
