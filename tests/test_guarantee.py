"""The guarantee: a request sent after the response to a change never gets a verdict from before the change."""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from core.http.surfaces import INTERNAL
from tests.support.bots import Bot
from tests.support.guarantee import REQUESTS_PER_BOT, SCRIPTS, Verdict, experiment, experiments
from tests.support.instances import wait_until
from tests.support.interfaces import InternalApi, make_operator, run_action, signed_in
from tests.support.serve_with import WITHOUT_LEASE
from tests.support.server import HAS_REDIS, ON_MARIADB, MaimServer, cluster

pytestmark = pytest.mark.single

# Several machines need a database server, several workers need Redis.
MACHINES, WORKERS = (2 if ON_MARIADB else 1), (2 if HAS_REDIS else 1)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[MaimServer]]:
    """Two machines with two internal workers each; one machine on SQLite, which allows no more."""
    directory = tmp_path_factory.mktemp("guarantee")
    with cluster(directory, "maim_guarantee", MACHINES, MAIM_WORKERS=str(WORKERS)) as servers:
        make_operator(servers[0])
        yield servers


def test_no_worker_serves_a_verdict_from_before_a_change(servers: list[MaimServer]) -> None:
    findings = experiments(servers)

    assert findings.violations == {}, findings.examples[:20]
    kinds = {f"{interface.__name__}: {change.kind}" for interface, script in SCRIPTS for change in script}
    assert set(findings.checks) == kinds
    assert min(findings.checks.values()) >= MACHINES * WORKERS * REQUESTS_PER_BOT / 2


def test_without_the_lease_outdated_verdicts_are_served(servers: list[MaimServer], tmp_path: Path) -> None:
    """The test above can fail, for each kind of change."""
    _interface, script = SCRIPTS[0]
    with second_server(servers[0], tmp_path, *WITHOUT_LEASE) as careless:
        findings = experiment(InternalApi([careless]), [careless], script)

    # The first cached verdict, VALID, is served for ever, so only changes that make the key valid again look right.
    missed = {change.kind for change in script if change.verdict != Verdict() or change.former_verdict}
    assert missed >= {"key disabled", "key rotated", "permission taken", "expiry past", "limit set", "key deleted"}
    assert {kind.removeprefix("InternalApi: ") for kind in findings.violations} == missed


SECONDS = 1.5


@pytest.fixture(scope="module")
def slow(servers: list[MaimServer], tmp_path_factory: pytest.TempPathFactory) -> Iterator[MaimServer]:
    """A server whose changes wait for over a second instead of a quarter of one."""
    with second_server(servers[0], tmp_path_factory.mktemp("slow"), f"PROPAGATION_SECONDS={SECONDS}") as slow:
        yield slow


@pytest.fixture
def keys(slow: MaimServer) -> list[dict[str, Any]]:
    """Thirty keys of one agent."""
    with slow.client("internal") as v2:
        tenant = {"tenant_name": f"tenant {secrets.token_hex(4)}", "tenant_type": "enterprise"}
        owner = {"tenant_id": v2.post("/api/v2/tenants", json=tenant).json()["data"]["id"]}
        owner["agent_id"] = v2.post("/api/v2/agents", json={**owner, "name": "agent"}).json()["data"]["id"]
        created = [v2.post("/api/v2/api-keys", json={**owner, "name": f"key {number}"}) for number in range(30)]
    return [response.json()["data"] for response in created]


class TestWaitingChanges:
    def test_more_changes_wait_than_a_worker_has_threads(self, slow: MaimServer, keys: list[dict[str, Any]]) -> None:
        assert len(keys) > 2 * INTERNAL.threads
        with ThreadPoolExecutor(len(keys)) as pool, slow.client("internal") as v2, Bot(slow.internal_port) as bot:
            first = time.monotonic()
            changes = [pool.submit(v2.post, f"/api/v2/api-keys/{key['api_key_id']}/disable") for key in keys]
            meanwhile: list[float] = []
            while not all(change.done() for change in changes):
                began = time.monotonic()
                # To the same worker: a request that uses the cache, one with a thread, and one with the database.
                assert bot.validate(keys[0]["api_key"]).status == 200
                assert v2.get("/health").status_code == 200
                assert v2.get("/api/v2/tenants").status_code == 200
                meanwhile.append(time.monotonic() - began)
            took = time.monotonic() - first

            assert statistics.median(meanwhile) < SECONDS / 2, "they do not wait for the changes"
            assert {change.result().status_code for change in changes} == {200}
            assert {bot.validate(key["api_key"]).code for key in keys} == {"AUTH_004"}
        # If each held a thread, they would take three waits.
        assert SECONDS <= took < 3 * SECONDS

    def test_worker_that_ends_answers_the_changes_that_wait(
        self, servers: list[MaimServer], tmp_path: Path, keys: list[dict[str, Any]]
    ) -> None:
        key = f"/api/v2/api-keys/{keys[0]['api_key_id']}"
        with (
            second_server(servers[0], tmp_path, f"PROPAGATION_SECONDS={SECONDS}") as ending,
            servers[0].client("internal") as other,
            ending.client("internal") as v2,
            ThreadPoolExecutor(1) as pool,
        ):
            change = pool.submit(v2.post, f"{key}/disable")
            wait_until(lambda: other.get(key).json()["data"]["status"] == "disabled", "the change waits")

            ending.stop()

            assert change.result().status_code == 200

    @pytest.mark.parametrize("first", ["api-keys/{api_key_id}", "agents/{agent_id}", "tenants/{tenant_id}"])
    def test_second_deletion_is_not_answered_before_the_first_holds(
        self, slow: MaimServer, keys: list[dict[str, Any]], first: str
    ) -> None:
        key = f"/api/v2/api-keys/{keys[0]['api_key_id']}"
        with ThreadPoolExecutor(1) as pool, slow.client("internal") as v2:
            deletion = pool.submit(v2.delete, "/api/v2/" + first.format(**keys[0]))
            wait_until(lambda: v2.get(key).status_code == 404, "the key is deleted")

            began = time.monotonic()
            assert v2.delete(key).status_code == 404
            assert time.monotonic() - began >= SECONDS

            assert deletion.result().status_code == 200

    def test_bulk_change_waits_once(self, slow: MaimServer, keys: list[dict[str, Any]]) -> None:
        with signed_in(slow) as admin, Bot(slow.internal_port) as bot:
            assert {bot.validate(key["api_key"]).code for key in keys} == {"VALID"}

            began = time.monotonic()
            run_action(admin, "disable", [key["api_key_id"] for key in keys])
            took = time.monotonic() - began

            assert {bot.validate(key["api_key"]).code for key in keys} == {"AUTH_004"}
        assert SECONDS <= took < len(keys) * SECONDS / 2, "not each by itself"


@contextmanager
def second_server(maim: MaimServer, directory: Path, *epoch: str) -> Iterator[MaimServer]:
    """Start another server on the same database, with other seconds in core.epoch."""
    url = maim.environment["DATABASE_URL"]
    serve = ("-m", "tests.support.serve_with", *epoch)
    with MaimServer(directory, "beside", serve=serve, DATABASE_URL=url) as other:
        yield other
