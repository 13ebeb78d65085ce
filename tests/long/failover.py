"""Galera nodes are cut off, held back and left alone: no key passes on one that was revoked on another.

Two servers, each on a node of its own. The second revokes a key while the node of the first is in trouble, and
whoever asks the first after the answer to that must not hear that the key is good.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import MySQLdb
import pytest

from tests.support.bots import Bot, Told
from tests.support.galera import Node, galera_nodes, standing_still
from tests.support.instances import PASSWORD, USER, wait_until
from tests.support.migrating import migrate_together, recorded_migrations
from tests.support.server import MaimServer

pytestmark = [
    pytest.mark.single,
    pytest.mark.needs_mariadb,
]
ROUNDS = 3


class Site(NamedTuple):
    """`first` is on the first node, `second` on the second."""

    nodes: list[Node]
    first: MaimServer
    second: MaimServer
    owner: dict[str, str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory: Path = tmp_path_factory.mktemp("galera")
    with galera_nodes() as nodes, ExitStack() as stack:
        nodes[0].create_database("maim")
        first, second = (
            MaimServer(directory, f"on_node{number}", DATABASE_URL=nodes[number].url("maim"), REDIS_URL="")
            for number in (0, 1)
        )
        ended = migrate_together([first, second])
        assert [each.status for each in ended] == [0, 0], ended
        for maim in (first, second):
            stack.push(maim)
            maim.launch()
        for maim in (first, second):
            maim.wait_until_ready()
        with second.client("internal") as v2:
            tenant = v2.post("/api/v2/tenants", json={"tenant_name": "tenant", "tenant_type": "enterprise"})
            owner = {"tenant_id": tenant.json()["data"]["id"]}
            agent = v2.post("/api/v2/agents", json={**owner, "name": "agent"})
            owner["agent_id"] = agent.json()["data"]["id"]
        yield Site(nodes, first, second, owner)


class Asked(NamedTuple):
    sent: float
    told: Told


class Asking:
    """Asks a server about a key without a pause, until it is over."""

    def __init__(self, maim: MaimServer, secret: str) -> None:
        self.asked: list[Asked] = []
        self._maim, self._secret, self._is_over = maim, secret, False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        wait_until(lambda: bool(self.asked) and self.last.told.code == "VALID", "the key is good")

    @property
    def last(self) -> Asked:
        return self.asked[-1]

    def end(self) -> None:
        self._is_over = True
        self._thread.join()

    def codes_since(self, moment: float) -> Counter[str]:
        """Return what was answered to what was sent since."""
        return Counter(each.told.code for each in self.asked if each.sent >= moment)

    def _run(self) -> None:
        with Bot(self._maim.internal_port) as bot:
            while not self._is_over:
                sent = time.monotonic()
                self.asked.append(Asked(sent, bot.validate(self._secret)))
                time.sleep(0.002)


@contextmanager
def cut_off(node: Node) -> Iterator[None]:
    """The node hears of no other any more, and no other of it."""
    node.ask("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=1'")
    try:
        yield
    finally:
        node.ask("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=0'")
        wait_until(node.is_synced, "the node is back", 60)


@contextmanager
def cut_off_and_reading(node: Node) -> Iterator[None]:
    """The same, of a node that is told to answer reads all the same."""
    node.ask("SET GLOBAL wsrep_dirty_reads = ON")
    with cut_off(node):
        yield
    node.ask("SET GLOBAL wsrep_dirty_reads = OFF")


@contextmanager
def held_back(node: Node) -> Iterator[None]:
    """The node takes what the others write, and applies none of it."""
    node.ask("SET GLOBAL wsrep_desync = ON")
    connection = MySQLdb.connect(host="127.0.0.1", port=node.port, user=USER, password=PASSWORD)
    try:
        connection.cursor().execute("FLUSH TABLES WITH READ LOCK")
        yield
    finally:
        connection.close()
        node.ask("SET GLOBAL wsrep_desync = OFF")


@contextmanager
def left_out(node: Node) -> Iterator[None]:
    """Nothing that sessions of the node do takes part in the cluster."""
    node.ask("SET GLOBAL wsrep_on = OFF")
    try:
        yield
    finally:
        node.ask("SET GLOBAL wsrep_on = ON")


TROUBLES: dict[str, Callable[[Node], AbstractContextManager[None]]] = {
    "cut off": cut_off,
    "cut off and told to read": cut_off_and_reading,
    "held back": held_back,
    "left out": left_out,
}


def test_two_nodes_that_were_migrated_at_once_are_migrated_once(site: Site) -> None:
    recorded = recorded_migrations(site.second)

    assert len(recorded) == len(set(recorded))


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_key_that_was_revoked_on_another_node_passes_on_none(site: Site, trouble: str) -> None:
    for _ in range(ROUNDS):
        key = new_key(site)
        asking = Asking(site.first, key["api_key"])
        try:
            with TROUBLES[trouble](site.nodes[0]):
                answered = revoke(site, key)
                time.sleep(3)
                meanwhile = asking.codes_since(answered)
            wait_until(lambda: asking.last.told.code == "AUTH_004", "the first server knows too", 40)  # noqa: B023
        finally:
            asking.end()
        print(f"{trouble}: {dict(meanwhile)} in the trouble, {dict(asking.codes_since(answered))} in all")
        assert set(asking.codes_since(answered)) <= {"SYS_002", "AUTH_004"}


def test_a_node_that_lost_the_others_says_nothing(site: Site) -> None:
    """Two of three stand still: the third has no quorum."""
    key = new_key(site)
    asking = Asking(site.first, key["api_key"])
    try:
        site.nodes[0].ask("SET GLOBAL wsrep_dirty_reads = ON")
        with standing_still(*site.nodes[1:]):
            wait_until(lambda: site.nodes[0].status("wsrep_ready") == "OFF", "the node has no quorum", 30)
            lost = time.monotonic() + 0.5
            time.sleep(3)
            with site.first.client("internal") as client:
                services = client.get("/ready").json()["services"]
            meanwhile = asking.codes_since(lost)
        wait_until(lambda: asking.last.told.code == "VALID", "the cluster is back", 60)
    finally:
        site.nodes[0].ask("SET GLOBAL wsrep_dirty_reads = OFF")
        asking.end()
    print(f"alone: {dict(meanwhile)}")
    assert set(meanwhile) == {"SYS_002"}
    assert services["database"] == "unhealthy"


def new_key(site: Site) -> dict[str, Any]:
    with site.second.client("internal") as v2:
        response = v2.post("/api/v2/api-keys", json={**site.owner, "name": f"key {time.monotonic_ns()}"})
        data: dict[str, Any] = response.json()["data"]
        return data


def revoke(site: Site, key: dict[str, Any]) -> float:
    """Disables a key by way of the second node, which may need some time to see that the first is gone."""
    with site.second.client("internal") as v2:

        def is_disabled() -> bool:
            return v2.post(f"/api/v2/api-keys/{key['api_key_id']}/disable").status_code == 200

        wait_until(is_disabled, "the key is disabled", 60)
    return time.monotonic()
