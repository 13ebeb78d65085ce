"""The process of `serve` that chains audit entries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.instances import wait_until
from tests.support.people import PASSWORD
from tests.support.server import MaimServer

pytestmark = pytest.mark.single


def test_served_maim_chains_its_audit_entries(tmp_path: Path) -> None:
    """Also when the auditor was killed; and maim stops at once."""
    with MaimServer(tmp_path, "maim_audit") as maim, maim.client() as client:
        assert client.post("/api/v1/auth/register", json={"username": "alice", "password": PASSWORD}).status_code == 200
        wait_until_chained(maim)
        maim.auditor.kill()
        wait_until(lambda: "the auditor ended with code -9" in maim.log, "the dead auditor is missed")
        assert client.post("/api/v1/auth/register", json={"username": "bob", "password": PASSWORD}).status_code == 200
        report = wait_until_chained(maim)

        assert (report["findings"], report["entries"], report["blocks"] >= 2) == ([], 4, True)
        assert maim.stop() == 0
        assert "Traceback" not in maim.log


def wait_until_chained(maim: MaimServer) -> dict[str, Any]:
    """Wait until all entries are chained, and return the report on them."""
    reports: list[dict[str, Any]] = []

    def is_chained() -> bool:
        reports.append(json.loads(maim.manage("audit", "verify", "--json")))
        return bool(reports[-1]["tail"] == 0)

    wait_until(is_chained, "the entries are chained")
    return reports[-1]
