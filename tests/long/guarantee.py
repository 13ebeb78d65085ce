"""The guarantee over thousands of changes: tests/test_guarantee.py for longer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.guarantee import SCRIPTS, experiment, experiments
from tests.support.interfaces import InternalApi, make_operator
from tests.support.server import HAS_REDIS, ON_MARIADB, MaimServer, cluster

pytestmark = pytest.mark.single

MACHINES, WORKERS = (3 if ON_MARIADB else 1), (2 if HAS_REDIS else 1)
ROUNDS = 25


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[MaimServer]]:
    """Three machines with two internal workers each; one machine on SQLite, which allows no more."""
    directory = tmp_path_factory.mktemp("guarantee")
    with cluster(directory, "maim_long_guarantee", MACHINES, MAIM_WORKERS=str(WORKERS)) as servers:
        make_operator(servers[0])
        yield servers


def test_no_worker_serves_a_verdict_from_before_any_of_thousands_of_changes(servers: list[MaimServer]) -> None:
    findings = experiments(servers, rounds=ROUNDS)

    print(f"\n{findings.changes} changes, {findings.checks.total()} responses compared")
    assert findings.violations == {}, findings.examples[:20]
    assert findings.changes == ROUNDS * sum(len(script) for _interface, script in SCRIPTS) > 2000
    assert findings.checks.total() > 30 * findings.changes


def test_without_waiting_for_the_lease_outdated_verdicts_are_served(servers: list[MaimServer], tmp_path: Path) -> None:
    """The test above notices a tenth of a second."""
    url = servers[0].environment["DATABASE_URL"]
    serve = ("-m", "tests.support.serve_with", "PROPAGATION_SECONDS=0")
    with MaimServer(tmp_path, "hasty", serve=serve, DATABASE_URL=url) as hasty:
        findings = experiment(InternalApi([hasty]), [hasty], SCRIPTS[0][1])

    print(f"\n{findings.violations.total()} of {findings.checks.total()} responses were outdated")
    assert findings.violations
