"""Cases of writes on v2: what bots report, new keys, and configs."""

from __future__ import annotations

import os
from typing import Any

import httpx

from bench.config_cases import SMALL_CONFIG
from bench.databases import TEN_THOUSAND
from bench.harness import Bench
from bench.load import Load
from bench.rounds import Result
from bench.services import Maim

AGENTS = 200
# More than are created in all rounds, because the names of an agent's keys are unique.
KEYS = 50_000


def heartbeat(bench: Bench) -> Result:
    """Report that agents are alive."""
    maim, tenant_id, ids = _with_agents(bench)
    bodies = bench.bodies({"tenant_id": tenant_id, "agent_id": agent_id, "ttl_seconds": 90} for agent_id in ids)
    return bench.compared(maim, Load("/api/v2/agent-activity", bodies, puts=True))


def usage(bench: Bench) -> Result:
    """Report what bots did."""
    maim, tenant_id, ids = _with_agents(bench)
    bodies = bench.bodies(
        {
            "action": "message",
            "tenant_id": tenant_id,
            "agent_id": agent_id,
            "user_id": "qq:10001",
            "platform": "qq",
            "details": {"tokens": 812, "model": "gpt-4", "seconds": 1.25},
        }
        for agent_id in ids
    )
    return bench.compared(maim, Load("/api/v1/usage/log", bodies))


def create_key(bench: Bench) -> Result:
    """Create keys with a permission, each with a name of its own."""
    maim, tenant_id, ids = _with_agents(bench)
    bodies = bench.bodies(
        {"tenant_id": tenant_id, "agent_id": ids[number % AGENTS], "name": f"key {number}", "permissions": ["chat"]}
        for number in range(KEYS)
    )
    return bench.compared(maim, Load("/api/v2/api-keys", bodies, ordered=True))


def put_config(bench: Bench) -> Result:
    """Merge a change into an agent's config, each time another."""
    maim, _tenant_id, ids = _with_agents(bench)
    bodies = bench.bodies({"persona": f"calm {number}"} for number in range(1_000))
    return bench.compared(maim, Load(f"/api/v2/agents/{ids[0]}/config", bodies, puts=True))


def _with_agents(bench: Bench) -> tuple[Maim, str, list[str]]:
    """Return a maim with a new tenant, its id, and the ids of its agents."""
    maim = bench.services.maim(TEN_THOUSAND)
    bench.services.run_only(maim)
    with httpx.Client(base_url=f"{maim.base}/api/v2", timeout=30) as client:

        def make(path: str, body: dict[str, Any]) -> str:
            created: str = client.post(path, json=body).raise_for_status().json()["data"]["id"]
            return created

        name = f"Tenant of {os.urandom(4).hex()}"
        tenant_id = make("/tenants", {"tenant_name": name, "tenant_type": "enterprise"})
        ids = [
            make("/agents", {"tenant_id": tenant_id, "name": f"Bot {number}", "config": SMALL_CONFIG})
            for number in range(AGENTS)
        ]
    return maim, tenant_id, ids
