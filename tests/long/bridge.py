"""The bridge beside twenty writers, killed twice: as tests/test_bridge.py, with a thousand agents and for a minute."""

from __future__ import annotations

from pathlib import Path

import pytest

from legacy.tests.old_databases import OldDatabase
from tests.support.bridge import bridge_beside_writers
from tests.support.feed import seed
from tests.support.server import HAS_REDIS, ON_MARIADB, cluster, fresh_database_url

pytestmark = [
    pytest.mark.single,
    pytest.mark.skipif(not (ON_MARIADB and HAS_REDIS), reason="several processes need MariaDB and Redis"),
]


@pytest.mark.parametrize("kind", ["mariadb", "sqlite"])
def test_the_old_tables_end_equal_and_a_bot_reads_changes_soon(tmp_path: Path, kind: str) -> None:
    url = fresh_database_url(tmp_path, "long_old") if kind == "mariadb" else f"sqlite:///{tmp_path / 'old.sqlite3'}"
    with cluster(tmp_path, f"maim_long_bridge_{kind}", 2, MAIM_WORKERS="2") as servers:
        seed(servers[0], 1000)
        result = bridge_beside_writers(servers, OldDatabase(url), agents=1000, writers=20, seconds=60, kills=2)

    print(f"\n{kind}: {result.agents} agents, {result.done}, {len(result.seen_after)} changes looked for")
    print("read after: " + ", ".join(f"{share:.0%} {result.quantile(share):.2f} s" for share in (0.5, 0.9, 0.99)))
    assert result.differing == {}
    assert result.quantile(0.5) < 2
