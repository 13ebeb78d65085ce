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
        wait_until(lambda: verified(maim)["tail"] == 0, "the entries are chained")
        maim.auditor.kill()
        wait_until(lambda: "the auditor ended with code -9" in maim.log, "the dead auditor is missed")
        assert client.post("/api/v1/auth/register", json={"username": "bob", "password": PASSWORD}).status_code == 200
        wait_until(lambda: verified(maim)["tail"] == 0, "the new auditor chains")

        report = verified(maim)
        assert (report["findings"], report["entries"], report["blocks"] >= 2) == ([], 4, True)
        assert maim.stop() == 0
        assert "Traceback" not in maim.log


def verified(maim: MaimServer) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(maim.manage("audit", "verify", "--json"))
    return report
