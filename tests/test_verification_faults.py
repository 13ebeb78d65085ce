"""Failures of MariaDB and Redis while bots validate keys: no verdict is wrong, and no server needs a restart."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest

from core.epoch import LEASE_SECONDS
from tests.support.bots import Bot
from tests.support.faults import STALE_SECONDS, Deployment, Exchange, deployment, monitor
from tests.support.instances import frozen

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.needs_mariadb,
]


@pytest.fixture(scope="module")
def servers() -> Iterator[Deployment]:
    with deployment() as servers:
        yield servers


def is_unavailable(exchange: Exchange) -> bool:
    return exchange.response.is_unavailable


def is_stale(exchange: Exchange) -> bool:
    return exchange.is_stale


def is_correct(exchange: Exchange) -> bool:
    return exchange.is_correct


class TestMariaDB:
    def test_server_recovers_from_a_restart(self, servers: Deployment) -> None:
        with monitor(servers) as traffic:
            began = time.monotonic()
            servers.mariadb.kill()
            killed = time.monotonic()

            traffic.wait_until(is_unavailable, "strict", "good", "limited", "disabled", "unknown")
            traffic.wait_until(is_stale, "lenient", "good", "limited", "disabled")
            traffic.wait_until(is_unavailable, "lenient", "unknown")
            traffic.wait_until(is_unavailable, "lenient", "good", "limited", "disabled")
            servers.mariadb.start()
            traffic.wait_until_all_correct()

            assert_both_servers_see_changes(servers)

        stale = [exchange for exchange in traffic.exchanges if exchange.is_stale]
        assert min(exchange.received_at for exchange in stale) > began
        # The lease was last read before the kill ended, and no response can be older than its request.
        assert max(exchange.sent_at for exchange in stale) < killed + LEASE_SECONDS + STALE_SECONDS

    def test_server_recovers_from_a_hang(self, servers: Deployment) -> None:
        with monitor(servers) as traffic:
            with frozen(servers.mariadb):
                traffic.wait_until(is_unavailable, "strict", "good", "limited", "disabled", "unknown")
                # Requests sent before it is clear that the database hangs wait until they time out.
                traffic.wait_until(is_stale, "lenient", "good", "disabled")
                traffic.wait_until(is_unavailable, "lenient", "good", "limited", "disabled", "unknown")
            traffic.wait_until_all_correct()

            assert_both_servers_see_changes(servers)


class TestRedis:
    def test_server_recovers_from_a_restart(self, servers: Deployment) -> None:
        with monitor(servers) as traffic:
            servers.redis.kill()

            traffic.wait_until(is_unavailable, "strict", "limited")
            traffic.wait_until(is_correct, "lenient", "limited")
            assert traffic.last["lenient", "limited"].response.data["rate_limit"] is None
            servers.redis.start()
            traffic.wait_until_all_correct()

            assert_both_servers_share_limits(servers)
        assert_unaffected(traffic.select("strict", "good", "disabled", "unknown", "malformed"))
        assert_unaffected(traffic.select("lenient", "good", "limited", "disabled", "unknown", "malformed"))

    def test_server_recovers_from_a_hang(self, servers: Deployment) -> None:
        with monitor(servers) as traffic:
            with frozen(servers.redis):
                traffic.wait_until(is_unavailable, "strict", "limited")
                traffic.wait_until(is_correct, "lenient", "limited")
            traffic.wait_until_all_correct()

            assert_both_servers_share_limits(servers)
        for server in ("strict", "lenient"):
            unlimited = traffic.select(server, "good", "disabled", "malformed")
            assert_unaffected(unlimited)
            # Requests that the cache can answer do not wait behind those that Redis blocks.
            seconds = sorted(exchange.seconds for exchange in unlimited)
            assert seconds[len(seconds) * 9 // 10] < 1


def assert_both_servers_see_changes(servers: Deployment) -> None:
    """Assert that both servers see each change of a key as soon as its response has arrived."""
    with (
        servers.strict.client("internal") as v2,
        Bot(servers.strict.internal_port) as strict,
        Bot(servers.lenient.internal_port) as lenient,
    ):
        owner = {name: value for name, value in strict.validate(servers.secrets["good"]).data.items() if "_id" in name}
        key = v2.post("/api/v2/api-keys", json={**owner, "name": f"key {time.monotonic()}"}).json()["data"]
        for verb, code in (("enable", "VALID"), ("disable", "AUTH_004"), ("enable", "VALID")):
            assert v2.post(f"/api/v2/api-keys/{key['api_key_id']}/{verb}").status_code == 200
            assert [bot.validate(key["api_key"]).code for bot in (strict, lenient)] == [code] * 2


def assert_both_servers_share_limits(servers: Deployment) -> None:
    """Assert that both servers together admit as many uses as a limit allows."""
    with (
        servers.strict.client("internal") as v2,
        Bot(servers.strict.internal_port) as strict,
        Bot(servers.lenient.internal_port) as lenient,
    ):
        owner = {name: value for name, value in strict.validate(servers.secrets["good"]).data.items() if "_id" in name}
        body = {**owner, "name": f"key {time.monotonic()}", "rate_limit": {"limit": 7, "window_seconds": 60}}
        secret = v2.post("/api/v2/api-keys", json=body).json()["data"]["api_key"]
        response = Counter(bot.validate(secret).code for bot in (strict, lenient) * 10)
    assert response == {"VALID": 7, "AUTH_006": 13}


def assert_unaffected(exchange: list[Exchange]) -> None:
    assert len(exchange) > 30
    assert all(each.is_correct for each in exchange)
