"""Cases of reading, as bots and monitoring do often: agents, their config, and health."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import httpx

from bench.databases import ROOT
from bench.harness import Bench
from bench.load import TIMEOUT_SECONDS, Wrong
from bench.rounds import Result
from bench.services import Maim

AGENTS = 100

# One field after the other of every section, as an agent may set them all; and a model and provider of its own.
FULL_CONFIG = """
import json
from agent_config import schema
config = schema.defaults()
config["config_overrides"]["model"] = {
    "api_providers": [{"name": "mine", "base_url": "https://llm.example", "api_key": "sk-mine"}],
    "models": [{"name": "my model", "model_identifier": "m-1", "api_provider": "mine"}],
}
print(json.dumps(config))
"""
# What one agent of a tenant usually says.
SMALL_CONFIG = {
    "persona": "calm",
    "bot_overrides": {"nickname": "bot"},
    "config_overrides": {"chat": {"talk_value": 0.5}},
}

# The processor time of resolving all sections over a template and tenant defaults, in milliseconds; the least of many.
RESOLVE = """
import json, time
from agent_config import layers, schema, secrets, system
from agent_config.layers import Layer
full = json.loads(%r)
found = [
    system.defaults().layer,
    Layer("template", schema.defaults(), is_trusted=True),
    Layer("tenant", schema.defaults()),
    Layer("agent", full),
]
def once():
    began = time.process_time()
    for _ in range(100):
        secrets.masked(layers.resolve(found))
    return (time.process_time() - began) * 10
print(min(once() for _ in range(10)))
"""


def agent(bench: Bench) -> Result:
    """Read an agent with all sections set from v2."""
    maim, ids = _with_agents(bench)
    return bench.compared(maim, bench.reading(f"/api/v2/agents/{agent_id}" for agent_id in ids))


def effective(bench: Bench) -> Result:
    """Read the effective config of such an agent from v2, which the worker has cached."""
    maim, ids = _with_agents(bench)
    return bench.compared(maim, bench.reading(_effective(agent_id) for agent_id in ids))


def unchanged(bench: Bench) -> Result:
    """Read the same with If-None-Match, for 304."""
    maim, ids = _with_agents(bench)
    etags = {}
    with httpx.Client(base_url=maim.base, timeout=TIMEOUT_SECONDS) as client:
        for path in map(_effective, ids):
            etags[path] = client.get(path).headers["ETag"]
            if client.get(path, headers={"If-None-Match": etags[path]}).status_code != 304:
                raise Wrong(f"{path} is not what it was")
    return bench.compared(maim, bench.reading(etags, etags))


def health(bench: Bench) -> Result:
    """Ask the internal surface for its health."""
    maim = bench.services.maim(bench.sizes.few)
    return bench.compared(maim, bench.reading(["/health"]))


def resolve_ms() -> float:
    """Return the milliseconds of processor time to resolve a config with all sections set."""
    return float(_run(RESOLVE % _run(FULL_CONFIG)))


def _with_agents(bench: Bench) -> tuple[Maim, list[str]]:
    """Return a maim with agents that have all sections set and are cached."""
    maim = bench.services.maim(bench.sizes.few)
    bench.services.run_only(maim)
    config = httpx.Response(200, text=_run(FULL_CONFIG)).json()
    with httpx.Client(base_url=f"{maim.base}/api/v2", timeout=TIMEOUT_SECONDS) as client:

        def make(path: str, body: dict[str, Any]) -> str:
            created: str = client.post(path, json=body).raise_for_status().json()["data"]["id"]
            return created

        tenant_id = make("/tenants", {"tenant_name": f"Tenant of {os.urandom(4).hex()}", "tenant_type": "enterprise"})
        ids = [
            make("/agents", {"tenant_id": tenant_id, "name": f"Bot {number}", "config": config})
            for number in range(AGENTS)
        ]
        for agent_id in ids:
            client.get(f"/agents/{agent_id}/config/effective").raise_for_status()
    return maim, ids


def _effective(agent_id: str) -> str:
    return f"/api/v2/agents/{agent_id}/config/effective"


def _run(code: str) -> str:
    """Run a piece of code in maim's environment, and return what it prints."""
    setup = "import os, django; os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'maim.settings'); django.setup()\n"
    run = subprocess.run([sys.executable, "-c", setup + code], cwd=ROOT, check=True, capture_output=True, text=True)
    return run.stdout.splitlines()[-1]
