"""The process of `serve` that carries out bulk operations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.instances import wait_until
from tests.support.server import MaimServer

pytestmark = pytest.mark.single


def test_served_maim_disables_keys_for_bots_before_it_says_so(tmp_path: Path) -> None:
    """Also after the worker was killed; and maim stops at once."""
    with MaimServer(tmp_path, "maim_operations") as maim, maim.client("internal") as bots:
        tenant = post(bots, "tenants", tenant_name="Acme", tenant_type="enterprise")["tenant_id"]
        agent = post(bots, "agents", tenant_id=tenant, name="bot")["agent_id"]
        secrets = [
            post(bots, "api-keys", tenant_id=tenant, agent_id=agent, name=f"key {number}")["api_key"]
            for number in range(3)
        ]
        assert [code_of(bots, secret) for secret in secrets] == ["VALID"] * 3

        run_to_the_end(maim, "disable_keys", tenant)
        assert [code_of(bots, secret) for secret in secrets] == ["AUTH_004"] * 3

        maim.bulk_worker.kill()
        wait_until(lambda: "the worker of bulk operations ended with code -9" in maim.log, "the dead worker is missed")
        run_to_the_end(maim, "enable_keys", tenant)
        assert [code_of(bots, secret) for secret in secrets] == ["VALID"] * 3

        assert maim.stop() == 0
        assert "Traceback" not in maim.log


def post(client: httpx.Client, path: str, **fields: Any) -> dict[str, Any]:
    response = client.post(f"/api/v2/{path}", json=fields)
    assert response.status_code == 200, response.text
    data: dict[str, Any] = response.json()["data"]
    return data


def code_of(bots: httpx.Client, secret: str) -> str:
    return str(post(bots, "auth/validate-api-key", api_key=secret)["code"])


def run_to_the_end(maim: MaimServer, kind: str, tenant_id: str) -> None:
    """Start an operation, and wait until it is done."""
    started = json.loads(maim.manage("operations", "start", kind, "--tenant", tenant_id, "--yes", "--json"))
    wait_until(lambda: shown(maim, started["id"])["state"] == "done", "the operation is done")


def shown(maim: MaimServer, operation_id: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(maim.manage("operations", "show", operation_id, "--json"))
    return document
