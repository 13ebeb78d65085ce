"""Cases of writes on v2: what bots report, new keys, keys that are disabled, and configs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import httpx

from bench.config_cases import SMALL_CONFIG
from bench.databases import Population
from bench.harness import Bench
from bench.load import TIMEOUT_SECONDS, Load, Request
from bench.rounds import Result
from bench.services import Maim
from bench.sizes import ON_SQLITE
from tests.support.instances import wait_until

AGENTS = 200
AGENTS_ON_SQLITE = 5
# More than are created in all rounds, because the names of an agent's keys are unique.
KEYS = 50_000
KEYS_PATH = "/api/v2/api-keys"
# So many keys are disabled before they are enabled again, so that each request is a change.
BLOCK = 2_000
AT_ONCE = 100
MAX_AT_ONCE = 1_000
MANY_CLIENTS = 64
FEW_CLIENTS = 4


def heartbeat(bench: Bench) -> Result:
    """Report that agents are alive."""
    maim, tenant_id, ids = _with_agents(bench, bench.sizes.few, AGENTS)
    bodies = ({"tenant_id": tenant_id, "agent_id": agent_id, "ttl_seconds": 90} for agent_id in ids)
    return bench.compared(maim, bench.load(Request("PUT", "/api/v2/agent-activity", body) for body in bodies))


def usage(bench: Bench) -> Result:
    """Report what bots did."""
    maim, tenant_id, ids = _with_agents(bench, bench.sizes.few, AGENTS)
    bodies = (
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
    return bench.compared(maim, bench.load(Request("POST", "/api/v1/usage/log", body) for body in bodies))


def create_key(bench: Bench) -> Result:
    """Create keys with a permission, each with a name of its own."""
    return _create_keys(bench, *_with_agents(bench, bench.sizes.few, AGENTS))


def create_on_sqlite(bench: Bench) -> Result:
    """Do the same on SQLite, which one writer at a time can write."""
    return _create_keys(bench, *_with_agents(bench, ON_SQLITE, AGENTS_ON_SQLITE))


def create_beside_auditor(bench: Bench) -> Result:
    """Create keys in one tenant while the auditor chains their entries, compared with the same without it."""
    maim, tenant_id, ids = _with_agents(bench, bench.sizes.few, AGENTS)
    load = _creating(bench, tenant_id, ids)
    without = bench.measuring(maim, load, going_on=maim.without_auditor)
    return bench.rounds.against("the same without the auditor", without, bench.measuring(maim, load))


def put_config(bench: Bench) -> Result:
    """Merge a change into an agent's config, each time another."""
    maim, _tenant_id, ids = _with_agents(bench, bench.sizes.few, AGENTS)
    path = f"/api/v2/agents/{ids[0]}/config"
    return bench.compared(
        maim, bench.load(Request("PUT", path, {"persona": f"calm {number}"}) for number in range(1_000))
    )


def disable(bench: Bench) -> Result:
    """Disable keys and enable them, one in each request."""
    maim = bench.services.maim(bench.sizes.few)

    def requests() -> Iterator[Request]:
        for ids in _blocks(maim, BLOCK):
            for action in ("disable", "enable"):
                yield from (Request("POST", f"{KEYS_PATH}/{key_id}/{action}") for key_id in ids)

    with _enabled_after(bench, maim):
        return bench.compared(maim, bench.load(requests(), ordered=True, clients=MANY_CLIENTS))


def disable_many(bench: Bench) -> Result:
    """Disable keys and enable them, a hundred in each request."""
    maim = bench.services.maim(bench.sizes.few)

    def requests() -> Iterator[Request]:
        for action in ("disable", "enable"):
            for ids in _blocks(maim, AT_ONCE):
                yield Request("POST", f"{KEYS_PATH}/{action}", {"api_key_ids": ids})

    with _enabled_after(bench, maim):
        return bench.compared(maim, bench.load(requests(), ordered=True, clients=FEW_CLIENTS))


def _create_keys(bench: Bench, maim: Maim, tenant_id: str, ids: Sequence[str]) -> Result:
    return bench.compared(maim, _creating(bench, tenant_id, ids))


def _creating(bench: Bench, tenant_id: str, ids: Sequence[str]) -> Load:
    """Return a load of new keys of these agents, each with a name of its own."""
    owner, run = {"tenant_id": tenant_id, "permissions": ["chat"]}, os.urandom(4).hex()
    bodies = ({**owner, "agent_id": ids[number % len(ids)], "name": f"{run} {number}"} for number in range(KEYS))
    return bench.load((Request("POST", KEYS_PATH, body) for body in bodies), ordered=True)


def _blocks(maim: Maim, size: int) -> Iterator[list[str]]:
    """Yield the ids of all keys, so many at a time."""
    ids = [key.id for key in maim.keys]
    for first in range(0, len(ids), size):
        yield ids[first : first + size]


@contextmanager
def _enabled_after(bench: Bench, maim: Maim) -> Iterator[None]:
    """Enable every key at the end for the cases that follow, even if this one fails."""
    try:
        yield
    finally:
        bench.services.run_only(maim)
        with httpx.Client(base_url=maim.base, timeout=TIMEOUT_SECONDS) as client:
            for ids in _blocks(maim, MAX_AT_ONCE):
                # A worker that was overloaded may refuse requests for a moment.
                wait_until(partial(_enable, client, ids), "keys are enabled")


def _enable(client: httpx.Client, ids: list[str]) -> bool:
    return client.post(f"{KEYS_PATH}/enable", json={"api_key_ids": ids}).is_success


@cache
def _with_agents(bench: Bench, population: Population, number: int) -> tuple[Maim, str, list[str]]:
    """Return a maim with a tenant of these cases, its id, and the ids of its agents."""
    maim = bench.services.maim(population)
    bench.services.run_only(maim)
    with httpx.Client(base_url=f"{maim.base}/api/v2", timeout=TIMEOUT_SECONDS) as client:

        def make(path: str, body: dict[str, Any]) -> str:
            created: str = client.post(path, json=body).raise_for_status().json()["data"]["id"]
            return created

        name = f"Tenant of {os.urandom(4).hex()}"
        tenant_id = make("/tenants", {"tenant_name": name, "tenant_type": "enterprise"})
        ids = [
            make("/agents", {"tenant_id": tenant_id, "name": f"Bot {each}", "config": SMALL_CONFIG})
            for each in range(number)
        ]
    return maim, tenant_id, ids
