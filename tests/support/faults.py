"""Servers with a MariaDB and a Redis of their own, and bots that compare each response with the expected one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from apikeys.keyformat import generate
from apikeys.verification import DISABLED, MALFORMED, UNKNOWN, VALID
from tests.support.bots import Bot, BotResponse
from tests.support.deployment import own_dependencies
from tests.support.instances import MariaDB, Redis, wait_until
from tests.support.server import MaimServer

STALE_SECONDS = 4
# The server gives up on a request after two seconds (maim.server.thread_queue); a busy machine may take longer.
MAX_SECONDS = 10.0
# The expected code by kind of key. A response that no verdict is available is right, too.
EXPECTED = {"good": VALID, "limited": VALID, "disabled": DISABLED, "unknown": UNKNOWN, "malformed": MALFORMED}


@dataclass
class Deployment:
    """Two servers on one database: `strict` with the defaults, `lenient` with every setting that keeps it answering."""

    strict: MaimServer
    lenient: MaimServer
    mariadb: MariaDB
    redis: Redis
    secrets: Mapping[str, str]
    key_ids: Mapping[str, str]

    @property
    def servers(self) -> dict[str, MaimServer]:
        return {"strict": self.strict, "lenient": self.lenient}


@contextmanager
def deployment() -> Iterator[Deployment]:
    """Start a deployment. Skip the test if a package is missing."""
    with own_dependencies() as dependencies, ExitStack() as stack:
        environment = dependencies.environment()
        strict = MaimServer(dependencies.directory, "strict", **environment)
        lenient = MaimServer(
            dependencies.directory,
            "lenient",
            **environment,
            MAIM_SERVE_STALE_SECONDS=str(STALE_SECONDS),
            MAIM_LIMITS_FAIL="open",
        )
        strict.migrate()
        for maim in (strict, lenient):
            stack.push(maim)
            maim.launch()
        for maim in (strict, lenient):
            maim.wait_until_ready()
        keys = _make_keys(strict)
        secrets = {kind: key["api_key"] for kind, key in keys.items()}
        unknown = generate(keys["good"]["tenant_id"], keys["good"]["agent_id"])
        secrets |= {"unknown": unknown, "malformed": unknown[:-1]}
        key_ids = {kind: key["api_key_id"] for kind, key in keys.items()}
        yield Deployment(strict, lenient, dependencies.mariadb, dependencies.redis, secrets, key_ids)


def _make_keys(maim: MaimServer) -> dict[str, dict[str, Any]]:
    with maim.client("internal") as v2:
        tenant = {"tenant_name": "tenant", "tenant_type": "enterprise"}
        owner = {"tenant_id": v2.post("/api/v2/tenants", json=tenant).json()["data"]["id"]}
        owner["agent_id"] = v2.post("/api/v2/agents", json={**owner, "name": "agent"}).json()["data"]["id"]
        limit = {"limit": 10_000, "window_seconds": 1}
        bodies: dict[str, dict[str, Any]] = {"good": {}, "limited": {"rate_limit": limit}, "disabled": {}}
        keys = {
            name: v2.post("/api/v2/api-keys", json={**owner, "name": name, **body}).json()["data"]
            for name, body in bodies.items()
        }
        assert v2.post(f"/api/v2/api-keys/{keys['disabled']['api_key_id']}/disable").status_code == 200
    return keys


class Exchange(NamedTuple):
    """A response to a bot, with its time and duration."""

    server: str
    kind: str
    received_at: float
    seconds: float
    response: BotResponse

    @property
    def sent_at(self) -> float:
        return self.received_at - self.seconds

    @property
    def is_stale(self) -> bool:
        return "stale" in self.response.data

    @property
    def is_correct(self) -> bool:
        """Return whether the response is right and not stale."""
        return self.response.code == EXPECTED[self.kind] and not self.is_stale


@dataclass
class Monitor:
    """All exchanges so far, and the last one for each kind of key and server."""

    exchanges: list[Exchange] = field(default_factory=list)
    last: dict[tuple[str, str], Exchange] = field(default_factory=dict)
    error: Exception | None = None
    is_over: bool = False

    def poll(self, server: str, maim: MaimServer, kind: str, secret: str) -> None:
        """Validate one key until `is_over`. Any error of the connection counts as the server's."""
        try:
            with Bot(maim.internal_port) as bot:
                while not self.is_over:
                    sent_at = time.monotonic()
                    response = bot.validate(secret)
                    now = time.monotonic()
                    self.last[server, kind] = exchange = Exchange(server, kind, now, now - sent_at, response)
                    self.exchanges.append(exchange)
                    # This leaves the servers time to recover.
                    time.sleep(0.02)
        except Exception as error:  # noqa: BLE001  # raised by `wait_until`
            self.error = error

    def wait_until(self, condition: Callable[[Exchange], bool], server: str, *kinds: str) -> None:
        """Wait until the condition holds for a response about each kind of key that was requested from now on."""
        began = time.monotonic()

        def holds() -> bool:
            if self.error is not None:
                raise self.error
            last = [self.last.get((server, kind)) for kind in kinds]
            return all(each is not None and each.sent_at > began and condition(each) for each in last)

        wait_until(holds, f"the {server} server responds so about {kinds}, and not {self.last}")

    def wait_until_all_correct(self) -> None:
        for server in ("strict", "lenient"):
            self.wait_until(lambda exchange: exchange.is_correct, server, *EXPECTED)

    def select(self, server: str, *kinds: str) -> list[Exchange]:
        return [exchange for exchange in self.exchanges if exchange.server == server and exchange.kind in kinds]

    def assert_no_wrong_verdict(self) -> None:
        """Assert that each response was right, or a quick 503."""
        for exchange in self.exchanges:
            assert exchange.response.code == EXPECTED[exchange.kind] or exchange.response.is_unavailable, exchange
            assert exchange.server == "lenient" or not exchange.is_stale, exchange
            assert exchange.seconds < MAX_SECONDS, exchange
        assert all(exchange.is_correct for exchange in self.exchanges if exchange.kind == "malformed")


@contextmanager
def monitor(servers: Deployment) -> Iterator[Monitor]:
    """Validate keys of every kind on both servers all the time, and assert at the end that no response was wrong."""
    monitor = Monitor()
    threads = [
        threading.Thread(target=monitor.poll, args=(name, maim, kind, secret), daemon=True)
        for name, maim in servers.servers.items()
        for kind, secret in servers.secrets.items()
    ]
    for thread in threads:
        thread.start()
    try:
        monitor.wait_until_all_correct()
        monitor.exchanges.clear()
        yield monitor
        monitor.wait_until_all_correct()
    finally:
        monitor.is_over = True
        for thread in threads:
            thread.join()
    monitor.assert_no_wrong_verdict()
