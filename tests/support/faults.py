"""Servers whose MariaDB and Redis are theirs to lose, and bots that hold every answer against what is right."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from apikeys.keyformat import generate
from apikeys.verification import DISABLED, MALFORMED, UNKNOWN, VALID
from tests.support.bots import Bot, Told
from tests.support.deployment import own_dependencies
from tests.support.instances import MariaDB, Redis, wait_until
from tests.support.server import MaimServer

STALE_SECONDS = 4
# A question that cannot be answered is given up after two seconds (maim.server.rsgi); much less than a hang takes.
LONGEST = 10.0
# Asked by kind of key; what is right is one code, or that there is no answer to be had.
RIGHT = {"good": VALID, "limited": VALID, "disabled": DISABLED, "unknown": UNKNOWN, "malformed": MALFORMED}


@dataclass
class Deployment:
    """Two servers on one database: `strict` as it ships, `lenient` goes on as far as it may be told to."""

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
    """Starts all of it; skips the test where something is not installed."""
    with own_dependencies() as own, ExitStack() as stack:
        environment = own.environment()
        strict = MaimServer(own.directory, "strict", **environment)
        lenient = MaimServer(
            own.directory,
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
        texts = {kind: key["api_key"] for kind, key in keys.items()}
        invented = generate(keys["good"]["tenant_id"], keys["good"]["agent_id"])
        texts |= {"unknown": invented, "malformed": invented[:-1]}
        yield Deployment(
            strict, lenient, own.mariadb, own.redis, texts, {kind: key["api_key_id"] for kind, key in keys.items()}
        )


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


class Asked(NamedTuple):
    """A question, when it was answered, how long that took, and the answer."""

    server: str
    kind: str
    at: float
    took: float
    told: Told

    @property
    def sent(self) -> float:
        return self.at - self.took

    @property
    def is_stale(self) -> bool:
        return "stale" in self.told.data

    @property
    def is_right(self) -> bool:
        """Return whether the response is true now."""
        return self.told.code == RIGHT[self.kind] and not self.is_stale


@dataclass
class Watch:
    """Every answer so far, and the last on each kind of key of each server."""

    asked: list[Asked] = field(default_factory=list)
    last: dict[tuple[str, str], Asked] = field(default_factory=dict)
    error: Exception | None = None
    is_over: bool = False

    def ask(self, server: str, maim: MaimServer, kind: str, secret: str) -> None:
        """Asks about one key until it is over. Any error of the connection is one of the server's."""
        try:
            with Bot(maim.internal_port) as bot:
                while not self.is_over:
                    sent = time.monotonic()
                    told = bot.validate(secret)
                    now = time.monotonic()
                    self.last[server, kind] = asked = Asked(server, kind, now, now - sent, told)
                    self.asked.append(asked)
                    # Enough of them, and time for the servers to recover.
                    time.sleep(0.02)
        except Exception as error:  # noqa: BLE001  # to be raised where it is seen
            self.error = error

    def wait_until(self, condition: Callable[[Asked], bool], server: str, *kinds: str, seconds: float = 30) -> None:
        """Waits until the condition holds of an answer, sent from now on, on each of these kinds of keys."""
        began = time.monotonic()

        def holds() -> bool:
            if self.error is not None:
                raise self.error
            last = [self.last.get((server, kind)) for kind in kinds]
            return all(each is not None and each.sent > began and condition(each) for each in last)

        wait_until(holds, f"the {server} server answers so on {kinds}, and not {self.last}", seconds)

    def wait_until_all_is_right(self) -> None:
        for server in ("strict", "lenient"):
            self.wait_until(lambda asked: asked.is_right, server, *RIGHT)

    def of(self, server: str, *kinds: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.server == server and asked.kind in kinds]

    def assert_no_wrong_verdict(self) -> None:
        """None was wrong, at any time, whatever was away: where nobody knows, that is the answer, and soon."""
        for asked in self.asked:
            assert asked.told.code == RIGHT[asked.kind] or asked.told.is_away, asked
            assert asked.server == "lenient" or not asked.is_stale, asked
            assert asked.took < LONGEST, asked
        assert all(asked.is_right for asked in self.asked if asked.kind == "malformed")


@contextmanager
def watch(servers: Deployment) -> Iterator[Watch]:
    """Has both servers asked about keys of every kind, without a pause; in the end no answer may have been wrong."""
    watch = Watch()
    threads = [
        threading.Thread(target=watch.ask, args=(name, maim, kind, secret), daemon=True)
        for name, maim in servers.servers.items()
        for kind, secret in servers.secrets.items()
    ]
    for thread in threads:
        thread.start()
    try:
        watch.wait_until_all_is_right()
        watch.asked.clear()
        yield watch
        watch.wait_until_all_is_right()
    finally:
        watch.is_over = True
        for thread in threads:
            thread.join()
    watch.assert_no_wrong_verdict()
