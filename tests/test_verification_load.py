"""Thousands of verifications at once, whose uses, day counts, limits and quotas are exact."""

from __future__ import annotations

import os
import secrets
import signal
import threading
import time
from ast import literal_eval
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from internal_api.fastpath.keys import KeyAuthHandler
from tests.support.bots import Bot, BotResponse
from tests.support.http import is_healthy
from tests.support.instances import WAIT, wait_until
from tests.support.server import HAS_REDIS, ON_MARIADB, MaimServer, cluster

pytestmark = pytest.mark.heavy

# Several machines need Redis to share limits.
MACHINES = 3 if ON_MARIADB and HAS_REDIS else 1
THREADS = 24


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[MaimServer]]:
    """Three machines; one on SQLite or without Redis."""
    with cluster(tmp_path_factory.mktemp("load"), "maim_verifications", MACHINES) as servers:
        yield servers


@pytest.fixture
def v2(servers: list[MaimServer]) -> Iterator[httpx.Client]:
    with servers[0].client("internal") as client:
        yield client


@dataclass
class AgentWithKeys:
    """An agent in a tenant of its own, with its keys."""

    tenant_id: str
    agent_id: str
    key_ids: list[str]
    secrets: list[str]


def create(v2: httpx.Client, *, keys: int = 1, agent: dict[str, Any] | None = None, **fields: Any) -> AgentWithKeys:
    """Create an agent and its keys, with these fields."""
    tenant = {"tenant_name": f"tenant {secrets.token_hex(4)}", "tenant_type": "enterprise"}
    owner = {"tenant_id": v2.post("/api/v2/tenants", json=tenant).json()["data"]["id"]}
    created_agent = v2.post("/api/v2/agents", json={**owner, "name": "agent", **(agent or {})}).json()["data"]
    owner["agent_id"] = created_agent["id"]
    bodies = [{**owner, "name": f"key {number}", **fields} for number in range(keys)]
    created = [v2.post("/api/v2/api-keys", json=body).json()["data"] for body in bodies]
    return AgentWithKeys(
        **owner, key_ids=[key["api_key_id"] for key in created], secrets=[key["api_key"] for key in created]
    )


def validate_at_once(servers: Sequence[MaimServer], all_secrets: Sequence[str]) -> list[BotResponse]:
    """Validate all secrets, THREADS at a time, each thread on a connection to one of the servers."""
    ready = threading.Barrier(THREADS)

    def run(number: int) -> list[BotResponse]:
        with Bot(servers[number % len(servers)].internal_port) as bot:
            ready.wait()
            return [bot.validate(secret) for secret in all_secrets[number::THREADS]]

    with ThreadPoolExecutor(THREADS) as pool:
        return [response for part in pool.map(run, range(THREADS)) for response in part]


def usage_count(v2: httpx.Client, key_id: str) -> int:
    count: int = v2.get(f"/api/v2/api-keys/{key_id}").json()["data"]["usage_count"]
    return count


def uses_of_days(v2: httpx.Client, path: str) -> int:
    """Return the sum of the day counts of yesterday and today, because a test may run into the next day."""
    now = datetime.now(UTC)
    days = {"from": f"{now - timedelta(days=1):%Y-%m-%d}", "to": f"{now:%Y-%m-%d}"}
    usage: dict[str, Any] = v2.get(f"{path}/usage", params=days).json()["data"]
    return sum(day["uses"] for day in usage["days"])


def valid_verifications(maim: MaimServer, tenant_id: str) -> int:
    """Return the sum of a tenant's verifications by minute, all of which must be valid."""
    code = f"MinuteCount.objects.in_tenants(['{tenant_id}']).values_list('outcome', 'number')"
    rows = literal_eval(maim.manage("shell", "--verbosity", "0", "-c", f"print(list({code}))"))
    assert {outcome for outcome, _number in rows} == {"VALID"}
    return sum(number for _outcome, number in rows)


class TestUses:
    def test_ten_thousand_concurrent_uses_are_all_counted(self, servers: list[MaimServer], v2: httpx.Client) -> None:
        data = create(v2)
        (key_id,) = data.key_ids
        began = datetime.now(UTC)

        responses = validate_at_once(servers, data.secrets * 10_000)

        assert Counter(each.code for each in responses) == {"VALID": 10_000}
        wait_until(lambda: usage_count(v2, key_id) == 10_000, "every use is counted")
        last_used_at = v2.get(f"/api/v2/api-keys/{key_id}").json()["data"]["last_used_at"]
        assert began <= datetime.fromisoformat(last_used_at) <= datetime.now(UTC)
        for path in (f"api-keys/{key_id}", f"agents/{data.agent_id}", f"tenants/{data.tenant_id}"):
            assert uses_of_days(v2, f"/api/v2/{path}") == 10_000, path
        assert valid_verifications(servers[0], data.tenant_id) == 10_000

    def test_sigterm_loses_no_use(self, servers: list[MaimServer], v2: httpx.Client) -> None:
        data = create(v2)
        stopped = servers[-1]

        with validating_until_closed(stopped, data.secrets[0]) as times:
            wait_until(lambda: len(times) > 1000, "a thousand responses")
            assert stopped.stop() == 0

        stopped.launch()
        stopped.wait_until_ready()
        with stopped.client("internal") as again:
            assert usage_count(again, data.key_ids[0]) == len(times)
            assert uses_of_days(again, f"/api/v2/tenants/{data.tenant_id}") == len(times)

    def test_killed_worker_loses_no_use_that_was_written(self, servers: list[MaimServer], v2: httpx.Client) -> None:
        """Uses are written each second (apikeys/tests/test_counting.py) while the worker serves."""
        data = create(v2)
        (key_id,) = data.key_ids
        victim = servers[-1]
        worker = victim.workers("internal")[-1]

        with validating_until_closed(victim, data.secrets[0]) as times:
            wait_until(lambda: len(times) > 0, "a use")
            earlier = len(times)
            wait_until(lambda: usage_count(v2, key_id) >= earlier, "the uses until now are written")
            os.kill(worker, signal.SIGKILL)

        wait_until(lambda: victim.workers("internal")[-1] != worker, "a new worker serves")
        wait_until(lambda: is_healthy(victim.internal), "the surface is healthy")
        with victim.client("internal") as again:
            counted = usage_count(again, key_id)
        assert 0 < earlier <= counted <= len(times) + THREADS
        assert uses_of_days(v2, f"/api/v2/api-keys/{key_id}") == counted
        with Bot(victim.internal_port) as bot:
            assert bot.validate(data.secrets[0]).code == "VALID"
        wait_until(lambda: usage_count(v2, key_id) == counted + 1, "the new worker's use is written")


@contextmanager
def validating_until_closed(maim: MaimServer, secret: str) -> Iterator[list[float]]:
    """Have bots validate a key until the block ends their connections, and yield the times of the responses."""
    times: list[float] = []

    def run() -> None:
        with ExitStack() as stack:
            try:
                bot = stack.enter_context(Bot(maim.internal_port))
                while True:
                    assert bot.validate(secret).code == "VALID"
                    times.append(time.monotonic())
            except ConnectionError:
                return

    with ThreadPoolExecutor(THREADS) as pool:
        bots = [pool.submit(run) for _ in range(THREADS)]
        yield times
        for bot in bots:
            bot.result(WAIT)


class TestLimits:
    def test_exactly_a_hundred_uses_a_minute_pass(self, servers: list[MaimServer], v2: httpx.Client) -> None:
        data = create(v2, rate_limit={"limit": 100, "window_seconds": 60})

        responses = validate_at_once(servers, data.secrets * 1000)

        assert Counter(each.code for each in responses) == {"VALID": 100, "AUTH_006": 900}
        passed = [each.data["rate_limit"]["remaining"] for each in responses if each.code == "VALID"]
        assert sorted(passed) == list(range(100))
        refused = [each for each in responses if each.code == "AUTH_006"]
        assert all(1 <= each.data["retry_after"] <= 60 for each in refused)
        assert all(not each.body["success"] and each.status == 200 for each in refused)
        wait_until(lambda: usage_count(v2, data.key_ids[0]) == 100, "those that passed are counted")

    def test_quota_of_an_agent_is_shared_by_its_keys(self, servers: list[MaimServer], v2: httpx.Client) -> None:
        data = create(v2, keys=3, agent={"quota": {"limit": 50, "period": "day"}})

        responses = validate_at_once(servers, data.secrets * 50)

        assert Counter(each.code for each in responses) == {"VALID": 50, "AUTH_006": 100}
        passed = [each.data["quota"]["remaining"] for each in responses if each.code == "VALID"]
        assert sorted(passed) == list(range(50))
        wait_until(
            lambda: uses_of_days(v2, f"/api/v2/agents/{data.agent_id}") == 50,
            "those that passed are counted",
        )
        assert sum(usage_count(v2, key_id) for key_id in data.key_ids) == 50


@pytest.mark.needs_mariadb
class TestColdKey:
    CLIENTS = 50

    def test_uncached_key_is_read_once_for_concurrent_requests(
        self, servers: list[MaimServer], v2: httpx.Client
    ) -> None:
        data = create(v2)
        ready = threading.Barrier(self.CLIENTS)

        def validate(_number: int) -> BotResponse:
            with Bot(servers[0].internal_port) as bot:
                ready.wait()
                return bot.validate(data.secrets[0])

        with rows_read(servers[0], "apikeys_keysecret") as read, ThreadPoolExecutor(self.CLIENTS) as pool:
            responses = list(pool.map(validate, range(self.CLIENTS)))

        assert Counter(each.code for each in responses) == {"VALID": self.CLIENTS}
        # Two, if a second batch was sent before the first one returned.
        assert 1 <= read() <= KeyAuthHandler.max_concurrent_batches


@contextmanager
def rows_read(maim: MaimServer, table: str) -> Iterator[Any]:
    """Yield a function that returns the number of a table's rows that MariaDB has read in the block."""
    import MySQLdb

    parts = urlsplit(maim.environment["DATABASE_URL"])
    connection = MySQLdb.connect(
        host=parts.hostname, port=parts.port or 3306, user=parts.username, password=parts.password or ""
    )
    with closing(connection), connection.cursor() as cursor:

        def current() -> int:
            cursor.execute(
                "SELECT COALESCE(SUM(rows_read), 0) FROM information_schema.table_statistics "
                "WHERE table_schema = %s AND table_name = %s",
                (parts.path[1:], table),
            )
            return int(cursor.fetchone()[0])

        cursor.execute("SET GLOBAL userstat = ON")
        try:
            before = current()
            counted: list[int] = []
            yield lambda: counted[0]
            counted.append(current() - before)
        finally:
            cursor.execute("SET GLOBAL userstat = OFF")
