"""The feed of changes over a thousand agents and for a minute: tests/test_config_feed.py for longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.feed import follow
from tests.support.server import cluster

pytestmark = [
    pytest.mark.single,
    pytest.mark.needs_mariadb,
    pytest.mark.needs_redis,
]


def test_readers_beside_twenty_writers_end_with_the_stored_configs(tmp_path: Path) -> None:
    with cluster(tmp_path, "maim_long_feed", 2, MAIM_WORKERS="2") as servers:
        outcome = follow(servers, agents=1000, writers=20, seconds=60)

    print(f"\n{outcome.agents} agents, {dict(outcome.done)}, {outcome.polls} polls")
    assert outcome.differing == {}
