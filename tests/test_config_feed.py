"""The change feed, whose readers miss nothing while others write."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.feed import follow
from tests.support.server import cluster

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.needs_mariadb,
    pytest.mark.needs_redis,
]


def test_reader_beside_ten_writers_ends_with_the_stored_configs(tmp_path: Path) -> None:
    with cluster(tmp_path, "maim_feed", 2, MAIM_WORKERS="1") as servers:
        outcome = follow(servers, agents=60, writers=10, seconds=1)

    assert outcome.differing == {}
    assert outcome.agents > 30
    writes = {kind: outcome.done[f"{kind} 200"] for kind in ("agent", "template of agent", "template", "tenant")}
    assert min(writes.values()) > 0, outcome.done
    assert outcome.done["deletion 200"] > 0
    assert outcome.done["creation 200"] > 0
