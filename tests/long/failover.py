"""Faults of Galera nodes: a key that was revoked on one node is valid on no other.

Two servers use a node each. The second revokes a key while the node of the first has a fault. After the response,
the first server must not say that the key is valid.
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

from tests.support.bots import Bot, BotResponse
from tests.support.galera import Node, galera_nodes, standing_still
from tests.support.instances import PASSWORD, USER, wait_until
from tests.support.migrating import migrate_together, recorded_migrations
from tests.support.server import MaimServer

pytestmark = [
    pytest.mark.single,
    pytest.mark.needs_mariadb,
]
ROUNDS = 3


class Deployment(NamedTuple):
    """Two servers: `first` uses the first node, `second` the second."""

    nodes: list[Node]
    first: MaimServer
    second: MaimServer
    owner: dict[str, str]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
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
        yield Deployment(nodes, first, second, owner)


class Exchange(NamedTuple):
    sent_at: float
    response: BotResponse


class BotThread:
    """A thread that validates a key on a server until it is stopped."""

    def __init__(self, maim: MaimServer, secret: str) -> None:
        self.exchanges: list[Exchange] = []
        self._maim, self._secret, self._is_over = maim, secret, False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        wait_until(lambda: bool(self.exchanges) and self.last.response.code == "VALID", "the key is good")

    @property
    def last(self) -> Exchange:
        return self.exchanges[-1]

    def stop(self) -> None:
        self._is_over = True
        self._thread.join()

    def codes_since(self, since: float) -> Counter[str]:
        """Count the codes of the responses to requests sent since a time."""
        return Counter(each.response.code for each in self.exchanges if each.sent_at >= since)

    def _run(self) -> None:
        with Bot(self._maim.internal_port) as bot:
            while not self._is_over:
                sent_at = time.monotonic()
                self.exchanges.append(Exchange(sent_at, bot.validate(self._secret)))
                time.sleep(0.002)


@contextmanager
def isolated(node: Node) -> Iterator[None]:
    """Cut the node off from the others."""
    node.query("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=1'")
    try:
        yield
    finally:
        node.query("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=0'")
        wait_until(node.is_synced, "the node is back", 60)


@contextmanager
def isolated_with_dirty_reads(node: Node) -> Iterator[None]:
    """Cut the node off, while it answers reads nevertheless."""
    node.query("SET GLOBAL wsrep_dirty_reads = ON")
    with isolated(node):
        yield
    node.query("SET GLOBAL wsrep_dirty_reads = OFF")


@contextmanager
def not_applying(node: Node) -> Iterator[None]:
    """Let the node receive the writes of the others without applying them."""
    node.query("SET GLOBAL wsrep_desync = ON")
    connection = MySQLdb.connect(host="127.0.0.1", port=node.port, user=USER, password=PASSWORD)
    try:
        connection.cursor().execute("FLUSH TABLES WITH READ LOCK")
        yield
    finally:
        connection.close()
        node.query("SET GLOBAL wsrep_desync = OFF")


@contextmanager
def without_wsrep(node: Node) -> Iterator[None]:
    """Keep the node's sessions out of the replication."""
    node.query("SET GLOBAL wsrep_on = OFF")
    try:
        yield
    finally:
        node.query("SET GLOBAL wsrep_on = ON")


FAULTS: dict[str, Callable[[Node], AbstractContextManager[None]]] = {
    "isolated": isolated,
    "isolated with dirty reads": isolated_with_dirty_reads,
    "not applying": not_applying,
    "without wsrep": without_wsrep,
}


def test_two_nodes_that_were_migrated_at_once_are_migrated_once(deployment: Deployment) -> None:
    recorded = recorded_migrations(deployment.second)

    assert len(recorded) == len(set(recorded))


@pytest.mark.parametrize("fault", FAULTS)
def test_key_revoked_on_another_node_is_never_valid(deployment: Deployment, fault: str) -> None:
    for _ in range(ROUNDS):
        key = new_key(deployment)
        bot = BotThread(deployment.first, key["api_key"])
        try:
            with FAULTS[fault](deployment.nodes[0]):
                revoked_at = revoke(deployment, key)
                time.sleep(3)
                meanwhile = bot.codes_since(revoked_at)
            wait_until(lambda: bot.last.response.code == "AUTH_004", "the first server rejects the key", 40)  # noqa: B023  # awaited in this round
        finally:
            bot.stop()
        print(f"{fault}: {dict(meanwhile)} during the fault, {dict(bot.codes_since(revoked_at))} in all")
        assert set(bot.codes_since(revoked_at)) <= {"SYS_002", "AUTH_004"}


def test_node_without_quorum_gives_no_verdict(deployment: Deployment) -> None:
    key = new_key(deployment)
    bot = BotThread(deployment.first, key["api_key"])
    try:
        deployment.nodes[0].query("SET GLOBAL wsrep_dirty_reads = ON")
        with standing_still(*deployment.nodes[1:]):
            wait_until(lambda: deployment.nodes[0].status("wsrep_ready") == "OFF", "the node has no quorum", 30)
            lost = time.monotonic() + 0.5
            time.sleep(3)
            with deployment.first.client("internal") as client:
                services = client.get("/ready").json()["services"]
            meanwhile = bot.codes_since(lost)
        wait_until(lambda: bot.last.response.code == "VALID", "the cluster is back", 60)
    finally:
        deployment.nodes[0].query("SET GLOBAL wsrep_dirty_reads = OFF")
        bot.stop()
    print(f"alone: {dict(meanwhile)}")
    assert set(meanwhile) == {"SYS_002"}
    assert services["database"] == "unhealthy"


def new_key(deployment: Deployment) -> dict[str, Any]:
    with deployment.second.client("internal") as v2:
        response = v2.post("/api/v2/api-keys", json={**deployment.owner, "name": f"key {time.monotonic_ns()}"})
        data: dict[str, Any] = response.json()["data"]
        return data


def revoke(deployment: Deployment, key: dict[str, Any]) -> float:
    """Disable a key through the second node, which may need some time to notice that the first is gone."""
    with deployment.second.client("internal") as v2:

        def is_disabled() -> bool:
            return v2.post(f"/api/v2/api-keys/{key['api_key_id']}/disable").status_code == 200

        wait_until(is_disabled, "the key is disabled", 60)
    return time.monotonic()
