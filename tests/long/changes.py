"""Changes from many clients at once, which all wait for workers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from statistics import median, quantiles
from typing import NamedTuple

import psutil
import pytest

from tests.support.bots import Bot
from tests.support.server import MaimServer

pytestmark = pytest.mark.single

CLIENTS, REQUESTS, KEYS_TOGETHER = 64, 20, 10
MAKE_KEYS = f"""
from agents.services.agents import create_agent
from apikeys.services import issue_key
from core.actor import Actor, ActorKind
from tenants.services import create_tenant

actor = Actor(kind=ActorKind.COMMAND, label="tests")
tenant = create_tenant(actor=actor, tenant_name="many changes", tenant_type="enterprise")
agent = create_agent(actor=actor, tenant=tenant, name="agent")
for number in range({CLIENTS * KEYS_TOGETHER}):
    print(issue_key(actor=actor, agent=agent, name=f"key {{number}}").key.id)
"""


class Sent(NamedTuple):
    """A request that was answered."""

    status: int
    seconds: float


@pytest.fixture(scope="module")
def maim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MaimServer]:
    """A server with one internal worker."""
    with MaimServer(tmp_path_factory.mktemp("changes"), "maim_changes", MAIM_WORKERS="1") as running:
        yield running


@pytest.fixture(scope="module")
def key_ids(maim: MaimServer) -> list[str]:
    return [line for line in maim.manage("shell", "--no-imports", "-c", MAKE_KEYS).split() if line.startswith("key_")]


def test_each_client_disables_and_enables_one_key(maim: MaimServer, key_ids: list[str]) -> None:
    def change(bot: Bot, client: int, verb: str) -> int:
        return bot.post(f"/api/v2/api-keys/{key_ids[client]}/{verb}", {}).status

    assert_all_are_made(maim, change, 1)


def test_each_client_disables_and_enables_several_keys_together(maim: MaimServer, key_ids: list[str]) -> None:
    def change(bot: Bot, client: int, verb: str) -> int:
        return bot.post(f"/api/v2/api-keys/{verb}", {"api_key_ids": key_ids[client::CLIENTS]}).status

    assert_all_are_made(maim, change, KEYS_TOGETHER)


def assert_all_are_made(maim: MaimServer, change: Callable[[Bot, int, str], int], keys: int) -> None:
    """Let all clients send changes of so many keys, print how fast they were, and assert that none was refused."""
    worker = psutil.Process(maim.workers("internal")[-1])

    def send(client: int) -> list[Sent]:
        with Bot(maim.internal_port) as bot:
            return [timed(change, bot, client, ("disable", "enable")[number % 2]) for number in range(REQUESTS)]

    began, used = time.monotonic(), sum(worker.cpu_times()[:2])
    with ThreadPoolExecutor(CLIENTS) as pool:
        sent = [each for several in pool.map(send, range(CLIENTS)) for each in several]
    took, used = time.monotonic() - began, sum(worker.cpu_times()[:2]) - used

    seconds = [each.seconds for each in sent]
    print(
        f"\n{keys} keys a request: {keys * len(sent) / took:.0f} keys a second, median {median(seconds):.3f} s,"
        f" p99 {quantiles(seconds, n=100)[-1]:.3f} s, {used / len(sent) * 1000:.1f} ms of the worker's CPU a request"
    )
    assert Counter(each.status for each in sent) == {200: CLIENTS * REQUESTS}


def timed(change: Callable[[Bot, int, str], int], bot: Bot, client: int, verb: str) -> Sent:
    began = time.monotonic()
    status = change(bot, client, verb)
    return Sent(status, time.monotonic() - began)
