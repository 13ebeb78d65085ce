"""Writers that change agents and their layers at once, and a reader that follows the feed of changes."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.http import http_client
from tests.support.instances import WAIT
from tests.support.server import MaimServer

TENANTS, TEMPLATES = 10, 5
_SEED = """
from agents.models import Agent, Template
from tenants.models import Tenant
templates = [Template(id=f"template_{{n}}") for n in range({templates})]
tenants = [Tenant(id=f"tenant_{{n}}", tenant_type="enterprise") for n in range({tenants})]
for row in templates:
    row.set_name(row.id)
for row in tenants:
    row.set_name(row.id)
Template.unscoped.bulk_create(templates)
Tenant.objects.bulk_create(tenants)
agents = []
for n in range({agents}):
    agent = Agent(id=f"agent_{{n}}", tenant=tenants[n % {tenants}], config_version=1)
    agent.template_id = f"template_{{n % (2 * {templates})}}"  # half of them name no existing template
    agent.set_name(agent.id)
    agents.append(agent)
Agent.unscoped.bulk_create(agents, batch_size=500)
"""


def seed(server: MaimServer, agents: int) -> None:
    """Create this number of agents, `agent_0` and so on, over ten tenants and five templates."""
    server.manage("shell", "-c", _SEED.format(agents=agents, tenants=TENANTS, templates=TEMPLATES))


@dataclass
class Writers:
    """Many writers, which use the servers in turn, and the number of their writes."""

    servers: Sequence[MaimServer]
    agents: int
    done: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def work(self, number: int, seconds: float) -> None:
        """Run `number` writers for some seconds, and until each kind of write was made. Raise the error of any."""
        until = time.monotonic() + seconds
        with ThreadPoolExecutor(number) as threads:
            for finished in [threads.submit(self._write, writer, until) for writer in range(number)]:
                finished.result()

    def _is_over(self, until: float) -> bool:
        """Return whether the time is over and, however slow the machine is, each kind of write was made."""
        now = time.monotonic()
        return now > until and (all(self.done[f"{kind} 200"] for kind in _WRITES) or now > until + WAIT)

    def _write(self, writer: int, until: float) -> None:
        draw = random.Random(writer)
        with http_client(f"{self.servers[writer % len(self.servers)].internal}/api/v2") as client:
            while not self._is_over(until):
                kind = draw.choices(list(_WRITES), [weight for weight, _write in _WRITES.values()])[0]
                response = _WRITES[kind][1](client, draw, self.agents)
                assert response.status_code in (200, 404, 409, 503), response.text
                with self._lock:
                    self.done[f"{kind} {response.status_code}"] += 1


def _agent(client: httpx.Client, draw: random.Random, agents: int) -> httpx.Response:
    path = f"/agents/agent_{draw.randrange(agents)}/config"
    return client.put(path, json={f"key {draw.randrange(3)}": draw.random()})


def _status(client: httpx.Client, draw: random.Random, agents: int) -> httpx.Response:
    path = f"/agents/agent_{draw.randrange(agents)}"
    return client.put(path, json={"template_id": f"template_{draw.randrange(2 * TEMPLATES)}"})


def _template(client: httpx.Client, draw: random.Random, agents: int) -> httpx.Response:
    return client.put(f"/templates/template_{draw.randrange(TEMPLATES)}", json={"config": {"template": draw.random()}})


def _tenant(client: httpx.Client, draw: random.Random, agents: int) -> httpx.Response:
    defaults = {"agent_defaults": {"tenant": draw.random()}}
    return client.put(f"/tenants/tenant_{draw.randrange(TENANTS)}", json={"tenant_config": defaults})


def _deletion(client: httpx.Client, draw: random.Random, agents: int) -> httpx.Response:
    return client.delete(f"/agents/agent_{draw.randrange(agents)}")


def _creation(client: httpx.Client, draw: random.Random, agents: int) -> httpx.Response:
    body = {"tenant_id": f"tenant_{draw.randrange(TENANTS)}", "name": f"new {draw.random()}"}
    return client.post("/agents", json=body)


_WRITES: dict[str, tuple[int, Any]] = {
    "agent": (60, _agent),
    "template of agent": (20, _status),
    "template": (2, _template),
    "tenant": (2, _tenant),
    "deletion": (1, _deletion),
    "creation": (10, _creation),
}


class Reader:
    """A client that keeps the ETag of every agent's effective config up to date by the feed alone."""

    def __init__(self, server: MaimServer) -> None:
        self._client = http_client(f"{server.internal}/api/v2")
        self.cursor = self._page({})["cursor"]
        self.known: dict[str, str] = {}
        self.polls = 0

    def close(self) -> None:
        self._client.close()

    def fetch(self, agent_id: str) -> None:
        """Fetch the agent's current ETag."""
        response = self._client.get(f"/agents/{agent_id}/config/effective")
        assert response.status_code in (200, 404), response.text
        if response.status_code == 404:
            self.known.pop(agent_id, None)
        else:
            self.known[agent_id] = response.headers["ETag"]

    def apply(self, entry: dict[str, Any]) -> None:
        self.fetch(entry["agent_id"])

    def catch_up(self, limit: int = 50) -> None:
        """Read all new entries."""
        while True:
            page = self._page({"after": self.cursor, "limit": limit})
            for entry in page["items"]:
                if entry["deleted"]:
                    self.known.pop(entry["agent_id"], None)
                else:
                    self.apply(entry)
            self.cursor = page["cursor"]
            self.polls += 1
            if not page["has_more"]:
                return

    def follow(self, ended: threading.Event) -> None:
        """Catch up again and again, and once more when the writers have ended."""
        while not ended.is_set():
            self.catch_up()
        self.catch_up()

    def _page(self, query: dict[str, Any]) -> dict[str, Any]:
        response = self._client.get("/config-changes", params=query)
        assert response.status_code == 200, response.text
        data: dict[str, Any] = response.json()["data"]
        return data


class VersionReader(Reader):
    """A reader of every agent's version, which is in the feed itself, so that it polls many times as often."""

    def apply(self, entry: dict[str, Any]) -> None:
        self.known[entry["agent_id"]] = str(entry["config_version"])


@dataclass(frozen=True)
class Outcome:
    """The final configs of the readers and of the database by agent, the writes, and the number of polls."""

    etags: tuple[dict[str, str], dict[str, str]]
    versions: tuple[dict[str, str], dict[str, str]]
    done: Counter[str]
    polls: int

    @property
    def agents(self) -> int:
        """The number of agents at the end."""
        return len(self.etags[1])

    @property
    def differing(self) -> dict[str, tuple[str | None, str | None]]:
        """The agents for which a reader is wrong, with its state and the database's."""
        differing: dict[str, tuple[str | None, str | None]] = {}
        for known, actual in (self.etags, self.versions):
            for agent_id in known.keys() | actual.keys():
                if known.get(agent_id) != actual.get(agent_id):
                    differing[agent_id] = known.get(agent_id), actual.get(agent_id)
        return differing


def follow(servers: Sequence[MaimServer], *, agents: int, writers: int, seconds: float) -> Outcome:
    """Run readers beside writers on seeded agents, and compare the readers with the database at the end."""
    seed(servers[0], agents)
    work, ended = Writers(servers, agents), threading.Event()
    with ExitStack() as stack:
        reader, version_reader, fresh = (
            stack.enter_context(closing(kind(servers[-1]))) for kind in (Reader, VersionReader, Reader)
        )
        for number in range(agents):
            reader.fetch(f"agent_{number}")
            version_reader.known[f"agent_{number}"] = "1"
        with ThreadPoolExecutor(2) as threads:
            following = [threads.submit(each.follow, ended) for each in (reader, version_reader)]
            try:
                work.work(writers, seconds)
            finally:
                ended.set()
            for finished in following:
                finished.result()
        versions = dict(pair.split("=") for pair in servers[0].manage("shell", "-v0", "-c", _VERSIONS).split())
        for agent_id in versions:
            fresh.fetch(agent_id)
        return Outcome(
            (reader.known, fresh.known),
            (version_reader.known, versions),
            work.done,
            reader.polls + version_reader.polls,
        )


_VERSIONS = """
from agents.models import Agent
print(*(f"{id}={version}" for id, version in Agent.unscoped.values_list("pk", "config_version")))
"""
