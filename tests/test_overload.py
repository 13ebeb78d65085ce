"""More than a server can take: clients that dawdle, too many connections, and requests beyond the threads."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection, HTTPResponse, RemoteDisconnected
from typing import Any

import psutil
import pytest

from core.http.surfaces import INTERNAL, Surface
from tests.support.deployment import own_dependencies
from tests.support.instances import MariaDB, frozen, wait_until
from tests.support.server import MaimServer
from tests.support.wire import Response, exchange

pytestmark = pytest.mark.heavy

LIMIT = 100
ORIGIN = "https://console.example.com"
FULL_IN_CHINESE = "当前等待的请求过多，请稍后再试"
WAIT = 30


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MaimServer]:
    """A server that gives clients a second to send."""
    with MaimServer(tmp_path_factory.mktemp("hasty"), "maim_hasty", MAIM_REQUEST_TIMEOUT_SECONDS="1") as maim:
        yield maim


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MaimServer]:
    """A server that serves few connections."""
    environment = {
        "MAIM_MAX_CONNECTIONS": str(LIMIT),
        "MAIM_REQUEST_TIMEOUT_SECONDS": "300",
        "MAIM_CORS_ORIGINS": ORIGIN,
    }
    with MaimServer(tmp_path_factory.mktemp("small"), "maim_small", **environment) as maim:
        yield maim


def port_of(maim: MaimServer, surface: str) -> int:
    return maim.public_port if surface == "public" else maim.internal_port


def send(port: int, text: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=WAIT)
    connection.sendall(text.replace("\n", "\r\n").encode())
    return connection


def answer_on(connection: socket.socket) -> Response:
    with closing(HTTPResponse(connection)) as response:
        response.begin()
        return Response(response.status, response.headers, response.read())


@pytest.mark.parametrize("surface", ["public", "internal"])
class TestDawdling:
    PATHS = {"public": "/api/v1/auth/login", "internal": "/api/v2/tenants"}

    @pytest.mark.parametrize("framing", ["Content-Length: 30", "Transfer-Encoding: chunked"])
    def test_body_that_does_not_arrive_in_time_gets_408(self, hasty: MaimServer, surface: str, framing: str) -> None:
        head = f"POST {self.PATHS[surface]} HTTP/1.1\nHost: localhost\nContent-Type: application/json\n{framing}\n\n"

        with send(port_of(hasty, surface), head) as connection:
            answer = answer_on(connection)

            assert (answer.status, answer.code) == (408, "REQUEST_TIMEOUT")
            assert answer.is_envelope == (surface == "internal")
            assert answer.headers["Connection"] == "close"

    def test_connection_whose_headers_do_not_arrive_in_time_is_closed(self, hasty: MaimServer, surface: str) -> None:
        with send(port_of(hasty, surface), "GET /health HTTP/1.1\nHost: localhost\nX-Any: ") as connection:
            connection.settimeout(10)

            assert connection.recv(1) == b""


@pytest.mark.parametrize("surface", ["public", "internal"])
class TestConnections:
    def test_connection_beyond_the_limit_is_refused(self, small: MaimServer, surface: str) -> None:
        port = port_of(small, surface)
        sent = [send(port, "GET /nowhere HTTP/1.1\nHost: localhost\nX-Any: ") for _ in range(LIMIT)]
        wait_until(lambda: exchange(port, "GET", "/nowhere").status == 503, "the server is full")

        refused = exchange(port, "GET", "/nowhere")
        assert (refused.status, refused.code) == (503, "SYS_002")
        assert int(refused.headers["Retry-After"]) > 0
        assert refused.headers["Connection"] == "close"
        assert refused.is_envelope == (surface == "internal")
        if surface == "public":
            of_api = exchange(port, "GET", "/api/v1/agents", headers={"Origin": ORIGIN})
            assert of_api.headers["Access-Control-Allow-Origin"] == ORIGIN
            assert "Retry-After" in of_api.headers["Access-Control-Expose-Headers"]
            self.assert_speaks_the_language_of_the_client(port)
        assert exchange(port, "GET", "/health").status == 200

        for connection in sent:
            connection.close()
        wait_until(lambda: exchange(port, "GET", "/nowhere").status == 404, "the server serves again")

    @staticmethod
    def assert_speaks_the_language_of_the_client(port: int) -> None:
        """Assert that the server, which is full, refuses in the client's language, in the admin with a text."""
        for language, said in (("en", "Too many requests are waiting, try again shortly"), ("zh-CN", FULL_IN_CHINESE)):
            headers = {"Accept-Language": language}
            assert exchange(port, "GET", "/nowhere", headers=headers).message == said
            page = exchange(port, "GET", "/admin/", headers=headers)
            assert (page.status, page.headers["Content-Type"]) == (503, "text/plain; charset=utf-8")
            assert page.body.decode() == said

    def test_connection_is_not_kept_when_there_are_many(self, small: MaimServer, surface: str) -> None:
        port = port_of(small, surface)
        sent = [send(port, "GET /nowhere HTTP/1.1\nHost: localhost\nX-Any: ") for _ in range(LIMIT * 4 // 5)]

        wait_until(lambda: exchange(port, "GET", "/nowhere").headers["Connection"] == "close", "connections are closed")

        for connection in sent:
            connection.close()
        wait_until(lambda: exchange(port, "GET", "/nowhere").headers["Connection"] is None, "connections are kept")


@pytest.fixture(scope="module")
def hanging() -> Iterator[tuple[MaimServer, MariaDB]]:
    """A server, and its database to freeze."""
    with own_dependencies() as own, MaimServer(own.directory, "maim_hanging", **own.environment()) as maim:
        yield maim, own.mariadb


@contextmanager
def every_thread_busy(maim: MaimServer, mariadb: MariaDB, surface: Surface = INTERNAL) -> Iterator[None]:
    """Freeze the database under a request in each thread of the internal surface."""
    with ExitStack() as stack, frozen(mariadb):
        for _ in range(surface.threads):
            connection = HTTPConnection("127.0.0.1", maim.internal_port, timeout=WAIT)
            stack.callback(connection.close)
            connection.request("GET", "/api/v2/tenants")
        wait_until(lambda: exchange(maim.internal_port, "GET", "/info").status == 503, "every thread is busy")
        yield


@contextmanager
def overloaded(maim: MaimServer, mariadb: MariaDB) -> Iterator[None]:
    """Let requests wait behind a hanging database, so that others are refused at once."""
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.02):
            exchange(maim.internal_port, "GET", "/api/v2/tenants")

    threads = [threading.Thread(target=ask) for _ in range(6)]
    with every_thread_busy(maim, mariadb):
        for thread in threads:
            thread.start()
        yield
        over.set()
    for thread in threads:
        thread.join()


def status_on(connection: HTTPConnection, path: str, body: Any = None) -> int:
    """Send a request on a connection: a POST if it has a body, else a GET."""
    if body is None:
        connection.request("GET", path)
    else:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    with connection.getresponse() as response:
        response.read()
    return response.status


def shedder_of(maim: MaimServer) -> psutil.Process:
    """Return the shedder of the internal surface's worker."""
    [shedder] = psutil.Process(maim.workers("internal")[-1]).children()
    return shedder


def is_shed(maim: MaimServer, connection: HTTPConnection) -> bool:
    """Return whether the shedder has the connection."""
    ports = {each.raddr.port for each in shedder_of(maim).net_connections("tcp") if each.raddr}
    return connection.sock is not None and connection.sock.getsockname()[1] in ports


def shed_connection(maim: MaimServer, stack: ExitStack) -> HTTPConnection:
    """Return a connection that was refused requests, and that the shedder has now."""
    connection = stack.enter_context(closing(HTTPConnection("127.0.0.1", maim.internal_port, timeout=WAIT)))

    def is_refused_at_once() -> bool:
        assert status_on(connection, "/api/v2/tenants") == 503
        return is_shed(maim, connection)

    wait_until(is_refused_at_once, "the shedder has the connection")
    return connection


class TestShedding:
    def test_refused_connection_is_served_again(self, hanging: tuple[MaimServer, MariaDB]) -> None:
        maim, mariadb = hanging
        with ExitStack() as stack:
            with overloaded(maim, mariadb):
                refused, probing, parsing = (shed_connection(maim, stack) for _ in range(3))
                assert status_on(refused, "/api/v2/tenants") == 503
                assert status_on(probing, "/health") == 200
                assert status_on(parsing, "/api/v2/auth/parse-api-key", {"api_key": "mmc_none"}) == 200
                assert not is_shed(maim, probing)
                assert not is_shed(maim, parsing)
            wait_until(lambda: status_on(refused, "/api/v2/tenants") == 200, "threads are free")
            for each in (probing, parsing):
                assert status_on(each, "/api/v2/tenants") == 200

    def test_its_refusals_are_counted(self, hanging: tuple[MaimServer, MariaDB]) -> None:
        maim, mariadb = hanging

        def number() -> int:
            metrics = exchange(maim.internal_port, "GET", "/metrics").body.decode()
            counts = re.findall(
                r'^maim_http_requests_total{method="DELETE",.*status="503"} (\S+)$', metrics, re.MULTILINE
            )
            return sum(int(float(count)) for count in counts)

        with ExitStack() as stack:
            with overloaded(maim, mariadb):
                connection = shed_connection(maim, stack)
                for _ in range(20):
                    connection.request("DELETE", "/api/v2/tenants/none")
                    with connection.getresponse() as response:
                        response.read()
                    assert response.status == 503
            wait_until(lambda: number() == 20, "they are in the metrics")

    def test_worker_goes_on_without_its_shedder(self, hanging: tuple[MaimServer, MariaDB]) -> None:
        maim, mariadb = hanging
        with ExitStack() as stack:
            with overloaded(maim, mariadb):
                lost = shed_connection(maim, stack)
                shedder_of(maim).kill()
                wait_until(lambda: "the shedder of this worker has ended" in maim.log, "the worker notices")
                with pytest.raises((RemoteDisconnected, ConnectionResetError)):
                    status_on(lost, "/api/v2/tenants")
                kept = stack.enter_context(closing(HTTPConnection("127.0.0.1", maim.internal_port, timeout=WAIT)))
                assert {status_on(kept, "/api/v2/tenants") for _ in range(3)} == {503}
            wait_until(lambda: status_on(kept, "/api/v2/tenants") == 200, "threads are free")


class TestQueue:
    def test_request_that_finds_no_thread_is_refused(self, hanging: tuple[MaimServer, MariaDB]) -> None:
        maim, mariadb = hanging
        with every_thread_busy(maim, mariadb):
            refused = exchange(maim.internal_port, "GET", "/api/v2/tenants")

        assert (refused.status, refused.code, refused.is_envelope) == (503, "SYS_002", True)
        assert int(refused.headers["Retry-After"]) > 0
        wait_until(lambda: exchange(maim.internal_port, "GET", "/api/v2/tenants").status == 200, "threads are free")

    def test_work_whose_client_has_gone_is_not_begun(self, hanging: tuple[MaimServer, MariaDB]) -> None:
        maim, mariadb = hanging
        body = json.dumps({"tenant_name": "given up", "tenant_type": "personal"})
        head = (
            "POST /api/v2/tenants HTTP/1.1\nHost: localhost\nContent-Type: application/json\n"
            f"Expect: 100-continue\nContent-Length: {len(body)}\n\n"
        )

        def names() -> Any:
            answer = exchange(maim.internal_port, "GET", "/api/v2/tenants?size=100")
            return answer.status == 200 and [tenant["tenant_name"] for tenant in answer.json["data"]["items"]]

        def refused(method: str) -> list[str]:
            metrics = exchange(maim.internal_port, "GET", "/metrics").body.decode()
            return re.findall(rf'^.*method="{method}".*status="503".*$', metrics, re.MULTILINE)

        def is_dropped() -> bool:
            before = refused("POST")
            with every_thread_busy(maim, mariadb), send(maim.internal_port, head) as connection:
                begun = connection.recv(4096)
                connection.sendall(body.encode())
                connection.shutdown(socket.SHUT_WR)  # at once, because a request that waits for two seconds is refused
                received = begun + connection.recv(4096)
                assert exchange(maim.internal_port, "GET", "/health").status == 200, "the event loop has heard of it"
            wait_until(lambda: names() is not False, "threads are free")
            return received == b"HTTP/1.1 100 Continue\r\n\r\n" and refused("POST") == before

        # Not always at the first attempt: while another request waits behind all threads, this one is refused at once.
        wait_until(is_dropped, "it waits until its client goes, and is dropped")
        assert "given up" not in names()
        assert refused("GET"), "refused requests are counted"
