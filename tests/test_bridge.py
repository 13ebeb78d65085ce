"""The process of a bridge, which follows changes, continues after a kill, and waits for databases."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.utils import timezone

from legacy.tests.old_databases import OldDatabase
from tests.support.bridge import Bridge, bridge_beside_writers, gauge
from tests.support.feed import seed
from tests.support.http import http_client
from tests.support.instances import MariaDB, frozen, wait_until
from tests.support.old_bot import OldBot
from tests.support.server import MaimServer, fresh_database_url

pytestmark = pytest.mark.heavy


AGENTS = 30


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MaimServer]:
    """A server for all tests. Each test has a bridge to an old database of its own."""
    with MaimServer(tmp_path_factory.mktemp("maim"), "bridge") as maim:
        seed(maim, AGENTS)
        yield maim


@pytest.fixture
def old(tmp_path: Path, request: pytest.FixtureRequest) -> OldDatabase:
    return OldDatabase(fresh_database_url(tmp_path, request.node.name[:60]))


def change_config(server: MaimServer, agent_id: str, value: str) -> None:
    with http_client(f"{server.internal}/api/v2") as client:
        assert client.put(f"/agents/{agent_id}/config", json={"persona": value}).status_code == 200


def wait_until_read(old: OldDatabase, agent_id: str, value: str) -> None:
    bot = OldBot(old.url)
    wait_until(
        lambda: (bot.config(agent_id) or {}).get("persona", {}).get("personality") == value, f"a bot reads {value}"
    )


def test_bot_reads_a_change_and_its_heartbeat_is_imported(server: MaimServer, old: OldDatabase) -> None:
    with Bridge(server, old.url) as bridge:
        change_config(server, "agent_1", "one")
        wait_until_read(old, "agent_1", "one")
        change_config(server, "agent_1", "two")
        wait_until_read(old, "agent_1", "two")

        OldBot(old.url).beat("tenant_1", "agent_1", timezone.now())
        with http_client(f"{server.internal}/api/v2") as client:
            wait_until(lambda: "agent_1" in client.get("/agent-activity").text, "the heartbeat is imported")
        code, seconds = bridge.stop()

    assert code == 0
    assert seconds < 2
    assert "Traceback" not in bridge.log


def test_killed_bridge_continues_and_reports_its_lag(server: MaimServer, old: OldDatabase) -> None:
    with Bridge(server, old.url) as bridge:
        wait_until(lambda: gauge(server, old, "compared_timestamp_seconds") is not None, "everything is compared")
        wait_until(lambda: gauge(server, old, "lag_seconds") == 0, "nothing is pending")
        bridge.kill()
        change_config(server, "agent_1", "while it was dead")
        with http_client(f"{server.internal}/api/v2") as client:
            assert client.delete("/agents/agent_2").status_code == 200
        time.sleep(0.1)
        lag = gauge(server, old, "lag_seconds")

        bridge.start()
        wait_until_read(old, "agent_1", "while it was dead")
        wait_until(lambda: OldBot(old.url).config("agent_2") is None, "the deleted agent is gone")
        wait_until(lambda: gauge(server, old, "lag_seconds") == 0, "the lag is over")

    assert lag is not None
    assert lag > 0.05


def test_expired_cursor_causes_a_full_comparison(server: MaimServer, old: OldDatabase) -> None:
    with Bridge(server, old.url) as bridge:
        wait_until(lambda: gauge(server, old, "compared_timestamp_seconds") is not None, "everything is compared")
        bridge.kill()
        change_config(server, "agent_1", "long ago")
        sweep = (
            "from datetime import timedelta; from django.utils import timezone; from time_machine import travel\n"
            "from django.db.models import QuerySet; from core import change_feed\n"
            "from core.models import AuditEntry\n"
            "with travel(timezone.now() + timedelta(days=8), tick=False): change_feed.sweep()\n"
            "QuerySet(AuditEntry).delete()"
        )
        server.manage("shell", "-v0", "-c", sweep)

        bridge.start()
        wait_until_read(old, "agent_1", "long ago")


def test_bridge_waits_for_the_old_database_and_logs_the_outage_once(server: MaimServer, tmp_path: Path) -> None:
    path = tmp_path / "late.sqlite3"
    with Bridge(server, f"sqlite:///{path}") as bridge:
        wait_until(lambda: "does not answer" in bridge.log, "the outage is logged")
        time.sleep(2.5)  # time for another attempt, which must not be logged
        old = OldDatabase.in_file(tmp_path / "made.sqlite3")
        os.rename(old.path, path)
        old.url = f"sqlite:///{path}"
        change_config(server, "agent_1", "late")
        wait_until_read(old, "agent_1", "late")
        code, _seconds = bridge.stop()

    assert code == 0
    assert bridge.log.count("does not answer") == 1
    assert "is followed again" in bridge.log
    assert "Traceback" not in bridge.log


def test_second_bridge_stops_with_one_sentence(server: MaimServer, old: OldDatabase, tmp_path: Path) -> None:
    with Bridge(server, old.url) as bridge:
        wait_until(lambda: gauge(server, old, "compared_timestamp_seconds") is not None, "everything is compared")
        second = Bridge(server, old.url)
        second.start()
        assert second.wait() == 1

    assert "Another process is at it" in bridge.log
    assert "Traceback" not in bridge.log


@pytest.mark.skipif(bool(MariaDB.missing()), reason="needs a MariaDB of its own to suspend")
def test_sigterm_ends_the_bridge_while_the_old_database_hangs(server: MaimServer) -> None:
    directory = Path(tempfile.mkdtemp())  # mariadbd runs as another user, who cannot read tmp_path
    directory.chmod(0o755)
    mariadb = MariaDB(directory / "mariadb")
    try:
        mariadb.start()
        old = OldDatabase(mariadb.create_database("old"))
        with Bridge(server, old.url) as bridge:
            wait_until(lambda: gauge(server, old, "compared_timestamp_seconds") is not None, "everything is compared")
            with frozen(mariadb):
                change_config(server, "agent_3", "hanging")
                time.sleep(1)  # until the statement hangs
                code, seconds = bridge.stop()
    finally:
        mariadb.kill()
        shutil.rmtree(directory, ignore_errors=True)

    assert code == 0
    assert seconds < 2.5, "the bridge waits 1.5 s, then the process ends"


def test_old_tables_are_equal_after_two_kills_beside_writers(server: MaimServer, old: OldDatabase) -> None:
    result = bridge_beside_writers([server], old, agents=AGENTS, writers=4, seconds=1.5, kills=2)

    assert result.differing == {}
    assert result.agents > AGENTS / 2
