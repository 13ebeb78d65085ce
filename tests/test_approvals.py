"""Changes that are answered when all workers have approved, and what each kind of failure costs.

Leases last for seconds here, so that a busy machine can be told from a change that had to wait for one.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle
from typing import Any, NamedTuple

import MySQLdb
import psutil
import pytest

from tests.support.bots import Bot, bot_of_each_worker
from tests.support.deployment import own_dependencies
from tests.support.instances import PASSWORD, USER, MariaDB, Redis, frozen, wait_until
from tests.support.serve_with import LONG_LEASE, LONG_LEASE_SECONDS
from tests.support.server import MaimServer

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.needs_mariadb,
]


class Deployment(NamedTuple):
    """Two servers with two internal workers each, and a key."""

    first: MaimServer
    second: MaimServer
    mariadb: MariaDB
    redis: Redis
    key: dict[str, Any]

    def change(self) -> float:
        """Disable or enable the key on the first server, and return how long that took."""
        with self.first.client("internal") as v2:
            began = time.monotonic()
            response = v2.post(f"/api/v2/api-keys/{self.key['api_key_id']}/{next(_verbs)}")
            took = time.monotonic() - began
        assert response.status_code == 200, response.text
        return took

    def is_quick(self) -> bool:
        """Return whether a change is answered before a lease from before it could have run out."""
        return self.change() < LONG_LEASE_SECONDS / 2

    def wait_until_quick(self) -> None:
        wait_until(self.is_quick, "all workers approve")

    def assert_refused_everywhere(self) -> None:
        """Assert that no worker finds the key valid once it has been disabled."""
        bots = [bot for maim in (self.first, self.second) for bot in bot_of_each_worker(maim)]
        self.enable()
        assert {bot.validate(self.key["api_key"]).code for bot in bots * 3} == {"VALID"}
        self.change()
        assert {bot.validate(self.key["api_key"]).code for bot in bots * 3} == {"AUTH_004"}
        for bot in bots:
            bot.close()

    def enable(self) -> None:
        with self.first.client("internal") as v2:
            key = f"/api/v2/api-keys/{self.key['api_key_id']}"
            if v2.get(key).json()["data"]["status"] != "active":
                self.change()


_verbs = cycle(["disable", "enable"])


@pytest.fixture(scope="module")
def deployment() -> Iterator[Deployment]:
    with own_dependencies() as dependencies, ExitStack() as stack:
        environment = dependencies.environment()
        serve = ("-m", "tests.support.serve_with", *LONG_LEASE)
        first, second = (
            MaimServer(dependencies.directory, name, serve=serve, MAIM_WORKERS="2", **environment)
            for name in ("first", "second")
        )
        first.migrate()
        for maim in (first, second):
            stack.push(maim)
            maim.launch()
        for maim in (first, second):
            maim.wait_until_ready()
        with first.client("internal") as v2:
            tenant = v2.post("/api/v2/tenants", json={"tenant_name": "tenant", "tenant_type": "enterprise"})
            owner = {"tenant_id": tenant.json()["data"]["id"]}
            agent = v2.post("/api/v2/agents", json={**owner, "name": "agent"})
            owner["agent_id"] = agent.json()["data"]["id"]
            key = v2.post("/api/v2/api-keys", json={**owner, "name": "key"}).json()["data"]
        yield Deployment(first, second, dependencies.mariadb, dependencies.redis, key)


@pytest.fixture(autouse=True)
def _all_approve(deployment: Deployment) -> None:
    """Four workers that approve."""
    deployment.wait_until_quick()
    wait_until(lambda: approvals(deployment) == 4, "each worker has a row")


def approvals(deployment: Deployment) -> int:
    return int(deployment.mariadb.sql("SELECT COUNT(*) FROM maim.common_approval").stdout)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a worker, as a machine that hangs would be."""
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, "the worker stands still")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def locked_rows(deployment: Deployment) -> Iterator[None]:
    """Lock the rows of all workers, so that none can note anything."""
    connection = MySQLdb.connect(host="127.0.0.1", port=deployment.mariadb.port, user=USER, password=PASSWORD)
    try:
        connection.cursor().execute("SELECT * FROM maim.common_approval FOR UPDATE")
        yield
    finally:
        connection.close()


def assert_quick(took: list[float]) -> None:
    """Assert that changes were answered before leases ran out, but for one that a busy machine may have held up."""
    assert sorted(took)[-2] < LONG_LEASE_SECONDS / 2, took


def test_change_is_answered_before_leases_run_out(deployment: Deployment) -> None:
    took = [deployment.change() for _ in range(20)]

    assert_quick(took)
    deployment.assert_refused_everywhere()


def test_change_on_the_public_surface_is_answered_as_soon(deployment: Deployment) -> None:
    with deployment.first.client() as v1:
        person = {"username": "alice", "password": "password123"}
        assert v1.post("/api/v1/auth/register", json=person).status_code == 200
        token = v1.post("/api/v1/auth/login", json=person).json()["access_token"]
        v1.headers["Authorization"] = f"Bearer {token}"
        agent = v1.post("/api/v1/agents", json={"name": "agent"}).json()

        began = time.monotonic()
        assert v1.put(f"/api/v1/agents/{agent['id']}", json={"status": "inactive"}).status_code == 200

        assert time.monotonic() - began < LONG_LEASE_SECONDS / 2


def test_stopped_worker_costs_one_lease(deployment: Deployment) -> None:
    pid = deployment.second.workers("internal")[-1]
    bots = bot_of_each_worker(deployment.second)
    deployment.enable()
    assert {bot.validate(deployment.key["api_key"]).code for bot in bots * 3} == {"VALID"}

    with stopped(pid):
        first = deployment.change()
        wait_until(lambda: approvals(deployment) == 3, "its row is deleted")
        others = [deployment.change() for _ in range(4)]  # disabled in the end
    codes = {bot.validate(deployment.key["api_key"]).code for bot in bots * 3}
    for bot in bots:
        bot.close()

    assert first >= LONG_LEASE_SECONDS * 0.5
    assert_quick(others)
    assert codes == {"AUTH_004"}, "it does not go on with what it knew"
    wait_until(lambda: approvals(deployment) == 4, "it approves again")


def test_killed_machine_costs_one_lease(deployment: Deployment) -> None:
    processes = psutil.Process(deployment.second.pid).children(recursive=True)
    for process in (psutil.Process(deployment.second.pid), *processes):
        process.kill()
    deployment.second.wait()

    assert deployment.change() >= LONG_LEASE_SECONDS / 2
    wait_until(lambda: approvals(deployment) == 2, "its rows are deleted")
    assert_quick([deployment.change() for _ in range(4)])

    deployment.second.launch()
    deployment.second.wait_until_ready()


def test_lost_nudge_costs_less_than_a_lease(deployment: Deployment) -> None:
    with frozen(deployment.redis):
        took = [deployment.change() for _ in range(6)]

    assert_quick(took)


def test_change_that_no_worker_can_note_takes_a_lease(deployment: Deployment) -> None:
    with locked_rows(deployment), Bot(deployment.first.internal_port) as bot:
        deployment.enable()
        assert deployment.change() >= LONG_LEASE_SECONDS / 2
        assert bot.validate(deployment.key["api_key"]).code == "AUTH_004", "keys are read from the database"

    deployment.wait_until_quick()


def test_beside_workers_of_the_version_before_a_change_takes_a_lease(deployment: Deployment) -> None:
    """They have leases and no rows."""
    assert deployment.first.manage("approvals").strip() == "on", "in a new database"
    deployment.first.manage("approvals", "off")

    assert deployment.change() >= LONG_LEASE_SECONDS / 2

    deployment.first.manage("approvals", "on")
    assert deployment.is_quick()
