"""MariaDB and Redis go away, hang and come back while bots ask: no verdict is wrong, and nothing needs a restart."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest

from core.epoch import LEASE_SECONDS
from tests.support.bots import Bot
from tests.support.faults import STALE_SECONDS, Asked, Deployment, deployment, watch
from tests.support.instances import frozen

pytestmark = [
    pytest.mark.single,
    pytest.mark.needs_mariadb,
]


@pytest.fixture(scope="module")
def servers() -> Iterator[Deployment]:
    with deployment() as servers:
        yield servers


def is_away(asked: Asked) -> bool:
    return asked.told.is_away


def is_stale(asked: Asked) -> bool:
    return asked.is_stale


def is_right(asked: Asked) -> bool:
    return asked.is_right


class TestMariaDB:
    def test_killed_and_started_again(self, servers: Deployment) -> None:
        with watch(servers) as bots:
            began = time.monotonic()
            servers.mariadb.kill()
            killed = time.monotonic()

            bots.wait_until(is_away, "strict", "good", "limited", "disabled", "unknown")
            bots.wait_until(is_stale, "lenient", "good", "limited", "disabled")
            bots.wait_until(is_away, "lenient", "unknown")
            bots.wait_until(is_away, "lenient", "good", "limited", "disabled")
            servers.mariadb.start()
            bots.wait_until_all_is_right()

            assert_changes_are_seen(servers)

        stale = [asked for asked in bots.asked if asked.is_stale]
        assert min(asked.at for asked in stale) > began
        # The last reading of the lease was sent before the kill was over; no question is answered before it is sent.
        assert max(asked.sent for asked in stale) < killed + LEASE_SECONDS + STALE_SECONDS

    def test_hung_and_well_again(self, servers: Deployment) -> None:
        with watch(servers) as bots:
            with frozen(servers.mariadb):
                bots.wait_until(is_away, "strict", "good", "limited", "disabled", "unknown")
                # Requests sent before it is clear that the database hangs wait until they time out.
                bots.wait_until(is_stale, "lenient", "good", "disabled")
                bots.wait_until(is_away, "lenient", "good", "limited", "disabled", "unknown")
            bots.wait_until_all_is_right()

            assert_changes_are_seen(servers)


class TestRedis:
    def test_killed_and_started_again(self, servers: Deployment) -> None:
        with watch(servers) as bots:
            servers.redis.kill()

            bots.wait_until(is_away, "strict", "limited")
            bots.wait_until(is_right, "lenient", "limited")
            assert bots.last["lenient", "limited"].told.data["rate_limit"] is None
            servers.redis.start()
            bots.wait_until_all_is_right()

            assert_limits_count(servers)
        assert_the_others_were_unaffected(bots.of("strict", "good", "disabled", "unknown", "malformed"))
        assert_the_others_were_unaffected(bots.of("lenient", "good", "limited", "disabled", "unknown", "malformed"))

    def test_hung_and_well_again(self, servers: Deployment) -> None:
        with watch(servers) as bots:
            with frozen(servers.redis):
                bots.wait_until(is_away, "strict", "limited")
                bots.wait_until(is_right, "lenient", "limited")
            bots.wait_until_all_is_right()

            assert_limits_count(servers)
        for server in ("strict", "lenient"):
            unlimited = bots.of(server, "good", "disabled", "malformed")
            assert_the_others_were_unaffected(unlimited)
            # Requests that the cache can answer do not wait behind those that Redis blocks.
            took = sorted(asked.took for asked in unlimited)
            assert took[len(took) * 9 // 10] < 1


def assert_changes_are_seen(servers: Deployment) -> None:
    """Assert that a key is invalid on both servers once the response to its being disabled has arrived."""
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


def assert_limits_count(servers: Deployment) -> None:
    """Both servers together let as many pass as a limit says."""
    with (
        servers.strict.client("internal") as v2,
        Bot(servers.strict.internal_port) as strict,
        Bot(servers.lenient.internal_port) as lenient,
    ):
        owner = {name: value for name, value in strict.validate(servers.secrets["good"]).data.items() if "_id" in name}
        body = {**owner, "name": f"key {time.monotonic()}", "rate_limit": {"limit": 7, "window_seconds": 60}}
        secret = v2.post("/api/v2/api-keys", json=body).json()["data"]["api_key"]
        told = Counter(bot.validate(secret).code for bot in (strict, lenient) * 10)
    assert told == {"VALID": 7, "AUTH_006": 13}


def assert_the_others_were_unaffected(asked: list[Asked]) -> None:
    assert len(asked) > 30
    assert all(each.is_right for each in asked)
