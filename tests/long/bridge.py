"""The bridge of tests/test_bridge.py with a thousand agents for a minute, and during an outage of maim's database."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest

from legacy.tests.old_databases import OldDatabase
from tests.support.bridge import Bridge, bridge_beside_writers
from tests.support.feed import seed
from tests.support.instances import MariaDB, wait_until
from tests.support.old_bot import OldBot
from tests.support.server import MaimServer, cluster, fresh_database_url

pytestmark = [
    pytest.mark.single,
    pytest.mark.needs_mariadb,
    pytest.mark.needs_redis,
]


def test_bridge_waits_for_maims_database_and_logs_the_outage_once(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)  # mariadbd runs as another user
        mariadb = MariaDB(Path(directory) / "mariadb")
        mariadb.start()
        maim = MaimServer(tmp_path, "away", DATABASE_URL=mariadb.create_database("maim"))
        maim.migrate()
        seed(maim, 5)
        old = OldDatabase.in_file(tmp_path / "old.sqlite3")
        bot = OldBot(old.url)
        try:
            with Bridge(maim, old.url) as bridge:
                wait_until(lambda: bot.config("agent_4") is not None, "everything is written")
                mariadb.kill()
                wait_until(lambda: "maim's database does not answer" in bridge.log, "the outage is logged")
                time.sleep(5)  # time for another attempt, which must not be logged
                mariadb.start()
                maim.manage("shell", "-v0", "-c", _CHANGE)
                wait_until(lambda: (bot.config("agent_1") or {}).get("persona") is not None, "the bridge continues", 60)
                code, seconds = bridge.stop()
        finally:
            mariadb.kill()

    assert (code, bridge.log.count("does not answer")) == (0, 1)
    assert seconds < 2.5
    assert "Traceback" not in bridge.log


_CHANGE = """
from agents import services
from agents.models import Agent
from core.actor import command_actor
agent = Agent.unscoped.get(pk="agent_1")
services.update_agent(actor=command_actor("test"), agent=agent, changes={"config": {"persona": "calm"}})
"""


@pytest.mark.parametrize("kind", ["mariadb", "sqlite"])
def test_old_tables_are_equal_and_changes_are_read_soon(tmp_path: Path, kind: str) -> None:
    url = fresh_database_url(tmp_path, "long_old") if kind == "mariadb" else f"sqlite:///{tmp_path / 'old.sqlite3'}"
    with cluster(tmp_path, f"maim_long_bridge_{kind}", 2, MAIM_WORKERS="2") as servers:
        seed(servers[0], 1000)
        result = bridge_beside_writers(servers, OldDatabase(url), agents=1000, writers=20, seconds=60, kills=2)

    print(f"\n{kind}: {result.agents} agents, {result.done}, {len(result.seen_after)} changes measured")
    print("read after: " + ", ".join(f"{share:.0%} {result.quantile(share):.2f} s" for share in (0.5, 0.9, 0.99, 1)))
    print("while the bridge was killed: " + ", ".join(f"{seconds:.1f} s" for seconds in sorted(result.seen_after_kill)))
    assert result.differing == {}
    assert len(result.seen_after) > 200
    assert len(result.seen_after_kill) >= 2
    assert result.quantile(0.99) < 2, f"on a machine that is otherwise idle; its load is {os.getloadavg()}"
