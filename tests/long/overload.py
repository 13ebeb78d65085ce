"""More than a server can take, at full size: a database that hangs, thousands of connections, ten times the load."""

from __future__ import annotations

import json
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from tests.support.deployment import own_dependencies
from tests.support.instances import MariaDB, frozen, wait_until
from tests.support.server import MaimServer
from tests.support.traffic import Load, Result
from tests.support.wire import exchange

pytestmark = pytest.mark.single

MEBIBYTE = 1024 * 1024
CREDENTIALS = {"username": "alice", "password": "password123"}
SURFACES = ("public", "internal")
CLIENTS = 20
HANG_SECONDS = 10
RECOVERY_SECONDS = 5
IDLE = 10_000
BODILESS = 1_500
OVERLOAD_SECONDS = 60
LEAST_GOODPUT = 0.8  # of what is served at best


def port_of(maim: MaimServer, surface: str) -> int:
    return maim.public_port if surface == "public" else maim.internal_port


def worker_of(maim: MaimServer, surface: str) -> psutil.Process:
    return psutil.Process(maim.workers(surface)[-1])


def http_request(method: str, path: str, body: Any = None, **headers: str) -> str:
    """Return a whole request."""
    content = "" if body is None else json.dumps(body)
    if body is not None:
        headers |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", content])


@dataclass
class Deployment:
    """A server with a database of its own, in which Alice has agents."""

    maim: MaimServer
    mariadb: MariaDB
    token: str
    agent: dict[str, str]


@pytest.fixture(scope="module")
def deployment() -> Iterator[Deployment]:
    with own_dependencies() as own, MaimServer(own.directory, "maim_overload", **own.environment()) as maim:
        with maim.client() as alice:
            alice.post("/api/v1/auth/register", json=CREDENTIALS)
            token = alice.post("/api/v1/auth/login", json=CREDENTIALS).json()["access_token"]
            alice.headers["Authorization"] = f"Bearer {token}"
            for number in range(20):
                agent = alice.post("/api/v1/agents", json={"name": f"agent {number}"}).json()
        ids = {"tenant_id": agent["tenant_id"], "agent_id": agent["id"]}
        yield Deployment(maim, own.mariadb, token, ids)


class Exchange(NamedTuple):
    """A request that was answered, or not: then its status is 0."""

    sent_at: float
    seconds: float
    status: int


def timed(port: int, method: str, path: str, **more: Any) -> Exchange:
    sent_at = time.monotonic()
    try:
        status = exchange(port, method, path, **more).status
    except OSError:
        status = 0
    return Exchange(sent_at, time.monotonic() - sent_at, status)


class Clients:
    """Threads that send a request again and again, each on a new connection."""

    def __init__(self) -> None:
        self._last: dict[int, Exchange] = {}
        self.statuses: set[int] = set()
        self._is_over = False
        self._threads: list[threading.Thread] = []

    def start(self, number: int, send: Callable[[], Exchange]) -> None:
        for _ in range(number):
            thread = threading.Thread(target=self._run, args=(len(self._threads), send), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self, number: int, send: Callable[[], Exchange]) -> None:
        while not self._is_over:
            self._last[number] = exchanged = send()
            self.statuses.add(exchanged.status)
            time.sleep(0.05)

    def are_served_since(self, moment: float) -> bool:
        """Return whether every client's last request was sent after this moment, and succeeded."""
        return len(self._last) == len(self._threads) and all(
            last.sent_at > moment and last.status == 200 for last in self._last.values()
        )

    def stop(self) -> None:
        self._is_over = True
        for thread in self._threads:
            thread.join()


class TestHangingDatabase:
    def test_probes_are_answered_and_nothing_is_left_behind(self, deployment: Deployment) -> None:
        maim, clients = deployment.maim, Clients()
        signed_in = {"Authorization": f"Bearer {deployment.token}"}
        heartbeat = {**deployment.agent, "ttl_seconds": 60}
        clients.start(CLIENTS, lambda: timed(maim.internal_port, "PUT", "/api/v2/agent-activity", body=heartbeat))
        clients.start(CLIENTS // 2, lambda: timed(maim.internal_port, "GET", "/api/v2/tenants"))
        clients.start(CLIENTS // 2, lambda: timed(maim.public_port, "GET", "/api/v1/agents", headers=signed_in))
        left: list[dict[str, tuple[int, int]]] = []
        try:
            for _ in range(3):
                wait_until(lambda: clients.are_served_since(0), "every client is served")
                with frozen(deployment.mariadb):
                    self.assert_probes_are_answered(maim)
                returned = time.monotonic()
                wait_until(
                    lambda: clients.are_served_since(returned),  # noqa: B023  # awaited in this round
                    "every client is served again",
                    RECOVERY_SECONDS,
                )
                assert timed(maim.internal_port, "GET", "/ready").status == 200
                left.append({surface: self.threads_and_memory(maim, surface) for surface in SURFACES})
        finally:
            clients.stop()

        assert clients.statuses <= {200, 503}
        print(f"threads and memory after each hang: {left}")
        for surface in SURFACES:
            # Not the first, because pools make their threads, of a bounded number, only when they need them.
            (threads, memory), (more_threads, more_memory) = (each[surface] for each in left[1:])
            assert more_threads <= threads
            assert more_memory < memory + 10 * MEBIBYTE

    @staticmethod
    def assert_probes_are_answered(maim: MaimServer) -> None:
        began = time.monotonic()
        for number in range(HANG_SECONDS * 2):
            time.sleep(max(0.0, began + number / 2 - time.monotonic()))
            for surface in SURFACES:
                health = timed(port_of(maim, surface), "GET", "/health")
                assert (health.status, health.seconds < 1) == (200, True), (surface, health)
            if number % 4 == 0:
                ready = timed(maim.internal_port, "GET", "/ready")
                assert (ready.status, ready.seconds < 2) == (503, True), ready

    @staticmethod
    def threads_and_memory(maim: MaimServer, surface: str) -> tuple[int, int]:
        worker = worker_of(maim, surface)
        return worker.num_threads(), worker.memory_info().rss


@pytest.fixture
def crowded(tmp_path: Path) -> Iterator[MaimServer]:
    """A server of two workers for more connections than a process may have by default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < IDLE + 2_000:
        pytest.skip(f"needs {IDLE + 2_000} open files, and {hard} are allowed (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # Idle connections are kept for as long as clients that dawdle are.
    with MaimServer(tmp_path, "maim_crowded", MAIM_WORKERS="2", MAIM_REQUEST_TIMEOUT_SECONDS="60") as maim:
        yield maim
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.needs_redis
@pytest.mark.parametrize("surface", SURFACES)
class TestConnections:
    def test_ten_thousand_idle_connections_are_answered(self, crowded: MaimServer, surface: str) -> None:
        port = port_of(crowded, surface)
        request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
        began = time.monotonic()
        with ExitStack() as stack:
            idle = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30)) for _ in range(IDLE)]
            for _ in range(2):
                for connection in idle:
                    connection.sendall(request)
                    assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
            newcomer = timed(port, "GET", "/api/v2/tenants" if surface == "internal" else "/")
        print(f"{surface}: {IDLE} connections, {2 * IDLE} responses in {time.monotonic() - began:.1f} s")

        assert (newcomer.status, newcomer.seconds < 1) == (200, True), newcomer

    def test_bodies_that_never_come_keep_nobody_out(self, crowded: MaimServer, surface: str) -> None:
        port = port_of(crowded, surface)
        path = "/api/v2/tenants" if surface == "internal" else "/api/v1/auth/login"
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
        with ExitStack() as stack:
            for _ in range(BODILESS):
                connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
                connection.sendall(head.encode())
            newcomers = [timed(port, "GET", "/api/v2/tenants" if surface == "internal" else "/") for _ in range(20)]

        print(f"{surface}: {BODILESS} bodies, newcomers in up to {max(each.seconds for each in newcomers):.3f} s")
        assert all(each.status == 200 and each.seconds < 1 for each in newcomers), newcomers


class Measured(NamedTuple):
    """The result of a load, with the processor seconds of the worker."""

    result: Result
    cpu: float

    @property
    def good_per_second(self) -> float:
        return self.result.per_second(200)

    @property
    def good_per_cpu_second(self) -> float:
        return self.result.number(200) / self.cpu

    def part_of(self, *others: Measured) -> float:
        """Return the goodput as a part of the others' average, by the clock or by the worker's processor time.

        The clients of an overload, and the shedder that refuses them, take the worker's processor away where there are
        only two. By its processor time, what the worker itself refuses counts in full, though another processor may
        handle that beside the good ones. So the larger one counts.
        """
        clock = self.good_per_second * len(others) / sum(other.good_per_second for other in others)
        cpu = self.good_per_cpu_second * len(others) / sum(other.good_per_cpu_second for other in others)
        return max(clock, cpu)

    def __str__(self) -> str:
        statuses = ", ".join(
            f"{status}: {self.result.per_second(status):.0f}/s in {self.result.quantile(status, 0.5) * 1000:.0f} ms, "
            f"99 % in {self.result.quantile(status, 0.99) * 1000:.0f} ms"
            for status in (200, 503)
            if self.result.number(status)
        )
        good = f"{self.good_per_cpu_second:.0f} good ones a processor second"
        return f"{statuses}; {good}, {self.cpu / self.result.took:.0%} busy"


def measure(worker: psutil.Process, load: Load) -> Measured:
    """Run a load, and return its result with the processor seconds of the worker."""
    before = worker.cpu_times()
    result = load.run()
    after = worker.cpu_times()
    return Measured(result, after.user + after.system - before.user - before.system)


class TestOverload:
    @pytest.mark.parametrize("kind", ["reads", "writes", "heartbeats"])
    def test_tenfold_load_leaves_goodput_and_memory_as_they_are(self, deployment: Deployment, kind: str) -> None:
        maim = deployment.maim
        if kind == "reads":
            surface, request = (
                "public",
                http_request("GET", "/api/v1/agents", Authorization=f"Bearer {deployment.token}"),
            )
        elif kind == "writes":
            agent = f"/api/v2/agents/{deployment.agent['agent_id']}"
            surface, request = "internal", http_request("PUT", agent, {"description": "busy"})
        else:
            heartbeat = {**deployment.agent, "ttl_seconds": 60}
            surface, request = "internal", http_request("PUT", "/api/v2/agent-activity", heartbeat)
        port, worker = port_of(maim, surface), worker_of(maim, surface)
        normal = Load(port, request, 5, 16)
        before = max((measure(worker, normal) for _ in range(3)), key=lambda each: each.good_per_second)
        memory = worker.memory_info().rss
        rate = 10 * before.good_per_second

        with watched(worker, port) as seen:
            during = measure(worker, Load(port, request, OVERLOAD_SECONDS, 3_000, rate))
        wait_until(lambda: timed(port, "GET", "/health").seconds < 0.5, "the server is quick again", RECOVERY_SECONDS)
        after = measure(worker, normal)

        print(f"\n{kind}: at its best {before}\n  {rate:.0f}/s sent: {during}\n  afterwards {after}")
        by_clock = 2 * during.good_per_second / (before.good_per_second + after.good_per_second)
        print(f"  {seen}, before {memory >> 20} MiB")
        print(f"  goodput {during.part_of(before, after):.0%}, by the clock {by_clock:.0%}")
        missed = during.result.number(503) + during.result.unsent
        assert missed > during.result.number(200), "it is overloaded"
        assert during.part_of(before, after) >= LEAST_GOODPUT
        assert during.result.quantile(503, 0.5) < 0.25
        assert seen.memory < memory + 128 * MEBIBYTE
        assert after.result.number(503) == 0


@dataclass
class Seen:
    """The most memory of a worker, and the slowest probe."""

    memory: int = 0
    slowest_probe: float = 0.0

    def __str__(self) -> str:
        return f"probes in up to {self.slowest_probe * 1000:.0f} ms, up to {self.memory >> 20} MiB"


@contextmanager
def watched(worker: psutil.Process, port: int) -> Iterator[Seen]:
    """Look at the memory of a worker, and send it probes, until the block ends."""
    seen, over = Seen(), threading.Event()

    def watch() -> None:
        while not over.wait(0.2):
            seen.memory = max(seen.memory, worker.memory_info().rss)
            seen.slowest_probe = max(seen.slowest_probe, timed(port, "GET", "/health").seconds)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
