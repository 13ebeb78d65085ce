"""Failovers of the database or Redis with open connections: no verdict is wrong, and everything recovers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.support.bots import Bot, BotResponse
from tests.support.failover import MariaDBPair, RedisPair, mariadb_pair, redis_pair
from tests.support.instances import wait_until
from tests.support.server import MaimServer

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.needs_mariadb,
]
LIMIT = {"limit": 10_000, "window_seconds": 1}
AGE_SECONDS = 1


class Deployment(NamedTuple):
    """Two servers on one database and Redis, named by their MAIM_LIMITS_FAIL, and an owner's headers."""

    closed: MaimServer
    open: MaimServer
    mariadb: MariaDBPair
    redis: RedisPair
    owner: dict[str, str]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    directory: Path = tmp_path_factory.mktemp("failover")
    with mariadb_pair() as mariadb, redis_pair() as redis, ExitStack() as stack:
        environment = {"DATABASE_URL": mariadb.url, "REDIS_URL": redis.url, "MAIM_AUTH_RATE": "1000,1000"}
        closed = MaimServer(directory, "closed", **environment)
        fails_open = MaimServer(
            directory,
            "open",
            **environment,
            MAIM_LIMITS_FAIL="open",
            MAIM_CONNECTION_MAX_AGE_SECONDS=str(AGE_SECONDS),
        )
        closed.migrate()
        for maim in (closed, fails_open):
            stack.push(maim)
            maim.launch()
        for maim in (closed, fails_open):
            maim.wait_until_ready()
        with closed.client("internal") as v2:
            tenant = {"tenant_name": "tenant", "tenant_type": "enterprise"}
            owner = {"tenant_id": create(v2, "tenants", tenant)["id"]}
            owner["agent_id"] = create(v2, "agents", {**owner, "name": "agent"})["id"]
        yield Deployment(closed, fails_open, mariadb, redis, owner)


def create(v2: httpx.Client, collection: str, body: dict[str, Any]) -> dict[str, Any]:
    response = v2.post(f"/api/v2/{collection}", json=body)
    assert response.status_code == 200, response.text
    data: dict[str, Any] = response.json()["data"]
    return data


def new_key(maim: MaimServer, deployment: Deployment, **fields: Any) -> dict[str, Any]:
    """Create a key with a new name."""
    with maim.client("internal") as v2:
        return create(v2, "api-keys", {**deployment.owner, "name": f"key {time.monotonic_ns()}", **fields})


@contextmanager
def connect_bots(maim: MaimServer, number: int = 4) -> Iterator[list[Bot]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Bot(maim.internal_port)) for _ in range(number)]


def ready(maim: MaimServer) -> tuple[int, dict[str, str]]:
    with maim.client("internal") as client:
        response = client.get("/ready")
    services: dict[str, str] = response.json()["services"]
    return response.status_code, services


def are_counted(bots: Sequence[Bot], secret: str) -> bool:
    """Return whether each bot's use of the key is answered and counted."""
    return all(is_counted(bot.validate(secret)) for bot in bots)


def is_counted(response: BotResponse) -> bool:
    """Return whether a limited key is valid and its limit counts the use."""
    return response.code == "VALID" and response.data["rate_limit"] is not None


class TestRedis:
    def test_limited_keys_work_after_a_failover_with_open_connections(self, deployment: Deployment) -> None:
        secret = new_key(deployment.closed, deployment, rate_limit=LIMIT)["api_key"]
        servers = (deployment.closed, deployment.open)
        for maim in servers:
            with connect_bots(maim) as bots:
                assert are_counted(bots * 5, secret)
            assert can_register(maim)

        deployment.redis.swap()
        with connect_bots(deployment.closed) as bots:
            assert all(bot.validate(secret).is_unavailable for bot in bots)
        for maim in servers:
            assert ready(maim) == (503, {"api": "healthy", "database": "healthy", "cache": "unhealthy"})
        deployment.redis.follow()

        for maim in servers:
            with connect_bots(maim) as bots:
                wait_until(partial(are_counted, bots, secret), "counted")
                assert are_counted(bots * 5, secret)
            assert ready(maim)[0] == 200

    def test_demotion_between_two_requests_causes_no_error(self, deployment: Deployment) -> None:
        secret = new_key(deployment.closed, deployment, rate_limit=LIMIT)["api_key"]
        for maim in (deployment.closed, deployment.open):
            with connect_bots(maim) as bots:
                assert are_counted(bots, secret)

        deployment.redis.switch.target = deployment.redis.replica.port
        deployment.redis.swap()

        for maim in (deployment.closed, deployment.open):
            with connect_bots(maim) as bots:
                assert are_counted(bots, secret)

    def test_sign_ins_are_counted_together_after_a_failover(self, deployment: Deployment) -> None:
        assert can_register(deployment.closed)
        deployment.redis.swap()
        deployment.redis.follow()
        before = len(deployment.redis.keys("*auth*"))

        assert can_register(deployment.closed)

        assert len(deployment.redis.keys("*auth*")) > before


class TestDatabase:
    def test_read_only_server_counts_as_unavailable(self, deployment: Deployment) -> None:
        key = new_key(deployment.closed, deployment)
        with Bot(deployment.closed.internal_port) as bot, deployment.closed.client("internal") as v2:
            valid = sum(bot.validate(key["api_key"]).code == "VALID" for _ in range(20))
            deployment.mariadb.demote()
            try:
                wait_until(lambda: bot.validate(key["api_key"]).is_unavailable, "memory has ended", 1)
                assert bot.validate(new_secret(deployment)).is_unavailable
                assert ready(deployment.closed) == (
                    503,
                    {"api": "healthy", "database": "unhealthy", "cache": "healthy"},
                )
                for method, path in (("POST", f"api-keys/{key['api_key_id']}/disable"), ("GET", "tenants")):
                    response = v2.request(method, f"/api/v2/{path}")
                    assert (response.status_code, int(response.headers["Retry-After"]) > 0) == (503, True)
                agent = v2.get(f"/api/v2/agents/{deployment.owner['agent_id']}")
                assert agent.status_code == 503
            finally:
                deployment.mariadb.undo()
            wait_until(lambda: bot.validate(key["api_key"]).code == "VALID", "it is found again", 3)
            valid += 1
            assert ready(deployment.closed)[0] == 200
            assert v2.post(f"/api/v2/api-keys/{key['api_key_id']}/disable").status_code == 200
            assert bot.validate(key["api_key"]).code == "AUTH_004"

        wait_until(lambda: uses(deployment.closed, key) >= valid, "uses are written", 5)
        time.sleep(1)  # long enough for the counter, which writes no use twice
        assert uses(deployment.closed, key) - valid in range(30)

    def test_demoted_primary_gives_no_verdict(self, deployment: Deployment) -> None:
        revoked, good = new_key(deployment.closed, deployment), new_key(deployment.closed, deployment)
        with connect_bots(deployment.closed) as bots:
            assert {bot.validate(key["api_key"]).code for bot in bots * 5 for key in (revoked, good)} == {"VALID"}
            deployment.mariadb.demote()
            deployment.mariadb.promote()
            with deployment.open.client("internal") as v2:
                assert v2.post(f"/api/v2/api-keys/{revoked['api_key_id']}/disable").status_code == 200
            fresh = new_key(deployment.open, deployment)

            responses = [bot.validate(revoked["api_key"]) for bot in bots * 10]
            responses_about_fresh_key = [bot.validate(fresh["api_key"]) for bot in bots * 10]

        assert {each.code for each in responses} <= {"AUTH_004", "SYS_002"}
        assert {each.code for each in responses_about_fresh_key} <= {"VALID", "SYS_002"}
        assert (responses[-1].code, responses_about_fresh_key[-1].code) == ("AUTH_004", "VALID")
        deployment.mariadb.attach()

    def test_abandoned_primary_is_used_no_longer_than_a_connection_lives(self, deployment: Deployment) -> None:
        """The server does not know that it was demoted, and still accepts writes."""
        revoked = new_key(deployment.closed, deployment)
        with connect_bots(deployment.open) as bots:
            assert {bot.validate(revoked["api_key"]).code for bot in bots * 5} == {"VALID"}
            deployment.mariadb.promote()
            left = time.monotonic()
            deployment.closed.manage(
                "keys", "disable", revoked["api_key_id"], DATABASE_URL=deployment.mariadb.primary_url
            )
            time.sleep(max(0.0, left + AGE_SECONDS + 0.5 - time.monotonic()))

            codes = {bot.validate(revoked["api_key"]).code for bot in bots * 10}

        # This must be the last test, because the two databases differ now.
        assert codes == {"AUTH_004"}


def new_secret(deployment: Deployment) -> str:
    from apikeys.keyformat import generate

    return generate(deployment.owner["tenant_id"], deployment.owner["agent_id"])


def uses(maim: MaimServer, key: dict[str, Any]) -> int:
    with maim.client("internal") as v2:
        number: int = v2.get(f"/api/v2/api-keys/{key['api_key_id']}").json()["data"]["usage_count"]
        return number


def can_register(maim: MaimServer) -> bool:
    """Return whether a registration succeeds. The throttle of sign-ins counts it."""
    name = f"user{time.monotonic_ns()}"
    with maim.client() as v1:
        return v1.post("/api/v1/auth/register", json={"username": name, "password": "password123"}).status_code == 200
