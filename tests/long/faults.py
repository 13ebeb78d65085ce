"""Many random faults, one after the other: tests/test_verification_faults.py for longer."""

from __future__ import annotations

import random
import secrets
import time

import pytest

from tests.support.faults import Deployment, deployment, monitor
from tests.support.instances import MariaDB, Redis, frozen

pytestmark = pytest.mark.single

ROUNDS = 40
LONGEST_FAULT = 6.0


def kill(instance: MariaDB | Redis, seconds: float) -> None:
    instance.kill()
    time.sleep(seconds)
    instance.start()


def restart(instance: MariaDB | Redis, seconds: float) -> None:
    instance.stop()
    time.sleep(seconds)
    instance.start()


def hang(instance: MariaDB | Redis, seconds: float) -> None:
    with frozen(instance):
        time.sleep(seconds)


def test_no_verdict_is_wrong_and_servers_recover_from_each_fault() -> None:
    seed = secrets.randbits(32)
    chance = random.Random(seed)
    print(f"\nseed {seed}")
    with deployment() as servers:
        for number in range(ROUNDS):
            fault = chance.choice((kill, restart, hang))
            instance = chance.choice((servers.mariadb, servers.redis))
            seconds = chance.uniform(0, LONGEST_FAULT)
            with monitor(servers) as traffic:
                fault(instance, seconds)
                change_twice(servers, number)
            kinds = f"{sum(exchange.response.is_unavailable for exchange in traffic.exchanges)} away"
            print(
                f"{fault.__name__} {type(instance).__name__} {seconds:.1f} s: {len(traffic.exchanges)} answers, {kinds}"
            )


def change_twice(servers: Deployment, number: int) -> None:
    """Rename the limited key twice, as soon as changes succeed again. No verdict shows its name."""
    with servers.strict.client("internal") as v2:
        for name in (f"limited {number}", "limited"):
            url = f"/api/v2/api-keys/{servers.key_ids['limited']}"
            deadline = time.monotonic() + 10
            while v2.put(url, json={"name": name}).status_code != 200:
                assert time.monotonic() < deadline, "changes go through again"
                time.sleep(0.1)
