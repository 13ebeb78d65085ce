"""How many SQL statements each route takes, and that a list's number does not grow with its length.

`make query-counts` rewrites the committed numbers; a change that raises one has to say why.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts import services as accounts
from agents import services as agents
from agents.models import Agent
from agents.services import templates
from core.http.docs import document
from core.http.surfaces import INTERNAL, PUBLIC, SURFACES
from tenants import services as tenants
from tests.permission_matrix import BODIES
from tests.support.client import SurfaceClient
from tests.support.people import OPERATOR, Person, make_agent, make_key
from tests.support.routes import Route, all_routes, fill

pytestmark = pytest.mark.django_db
SNAPSHOT = Path(__file__).with_name("query_counts.json")
SURFACE_OF = {surface.name: surface for surface in SURFACES}
CHANGES = Route("internal", "/api/v2/config-changes", "GET")


def _unchanged(route: Route) -> str:
    """The name of the number of statements of a poll that finds nothing new."""
    return f"{route}, unchanged"


def _has_etag(route: Route) -> bool:
    operations = document(SURFACE_OF[route.surface])["paths"].get(route.path, {})
    return "304" in operations.get(route.method.lower(), {}).get("responses", {})


# What is asked again and again: what has an ETag, and the feed.
POLLED = [route for route in all_routes() if _has_etag(route) or route == CHANGES]
MEASURED = {str(route) for route in all_routes()} | {_unchanged(route) for route in POLLED}

# What surrounds the statements; how much of it there is differs between databases.
FRAME = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE SAVEPOINT")

# Queries without which a route has no success to measure.
REQUIRED_QUERIES = {
    "internal: GET /api/v2/agents": "?tenant_id={tenant_id}",
    "internal: GET /api/v2/api-keys": "?tenant_id={tenant_id}",
    "internal: GET /api/v1/plugins/settings": "?tenant_id={tenant_id}&agent_id={agent_id}",
    "internal: GET /api/v2/agents/{agent_id}/config/diff": "?from=1&to=2",
    "internal: GET /api/v2/config-changes": "?after=0",
    "internal: POST /api/v2/agents/import": "?tenant_id={tenant_id}",
    "internal: POST /api/v1/plugins/settings": "?tenant_id={tenant_id}&agent_id={agent_id}",
    "public: GET /api/v1/agents/{agent_id}/config/diff": "?from=1&to=2",
    "public: GET /api/v1/api-keys": "?tenant_id={tenant_id}",
    "public: GET /api/v1/plugins/settings": "?agent_id={agent_id}",
    "public: POST /api/v1/plugins/settings": "?agent_id={agent_id}",
}


@dataclass(frozen=True)
class World:
    """Alice's tenant, a template and an agent in it, which has two versions of its config, and the agent's key."""

    alice: Person
    values: dict[str, str]

    def send(self, route: Route) -> int:
        """Sends a request that succeeds; how many statements it took."""
        response, taken = self.ask(route)
        assert response.status_code in (200, 204), response.content
        if response.headers.get("Content-Type", "").startswith("application/json"):
            answer = response.json()
            assert not isinstance(answer, dict) or answer.get("success") is not False, answer
        return taken

    def ask(self, route: Route, query: str | None = None, **headers: str) -> tuple[Any, int]:
        """The answer to a request, and how many statements it took."""
        surface = SURFACE_OF[route.surface]
        client = SurfaceClient(surface, self.alice.token if surface == PUBLIC else None)
        path = fill(route.path + (REQUIRED_QUERIES.get(str(route), "") if query is None else query), **self.values)
        body = {
            key: fill(value, **self.values) if isinstance(value, str) else value
            for key, value in BODIES.get(f"{route.method} {route.path}", {}).items()
        }
        with CaptureQueriesContext(connection) as captured:
            response = client.send(route.method, path, body or None, **headers)
        return response, sum(not entry["sql"].startswith(FRAME) for entry in captured.captured_queries)


@pytest.fixture
def world(alice: Person) -> World:
    agent = make_agent(alice.tenant)
    change_config(agent, 2)
    template = templates.create_template(actor=OPERATOR, tenant=alice.tenant, name="template")
    key = make_key(agent, permissions=["chat"])
    pair = accounts.sign_in(actor=OPERATOR, user=alice.user)
    return World(
        alice,
        {
            "username": alice.user.username,
            "refresh_token": pair.refresh,
            "tenant_id": alice.tenant.id,
            "agent_id": agent.id,
            "key_id": key.key.id,
            "api_key": key.secret,
            "template_id": template.id,
            "number": "2",
        },
    )


def change_config(agent: Agent, number: int) -> None:
    """Makes a version of the agent's config."""
    agents.update_agent(actor=OPERATOR, agent=agent, changes={"config": {"number": number}})


@pytest.fixture(scope="module")
def counts(write_snapshots: bool) -> Iterator[dict[str, int]]:
    """The committed numbers; where they are to be rewritten, what is put here is committed."""
    committed: dict[str, int] = json.loads(SNAPSHOT.read_text()) if SNAPSHOT.exists() else {}
    yield committed
    if write_snapshots:
        measured = sorted(MEASURED & set(committed))
        SNAPSHOT.write_text(json.dumps({name: committed[name] for name in measured}, indent=2) + "\n")


@pytest.mark.parametrize("route", all_routes(), ids=str)
def test_a_route_takes_as_many_statements_as_are_committed(
    route: Route, world: World, counts: dict[str, int], write_snapshots: bool
) -> None:
    taken = world.send(route)

    if write_snapshots:
        counts[str(route)] = taken
    assert taken == counts.get(str(route))


@pytest.mark.parametrize("route", POLLED, ids=str)
def test_a_poll_that_finds_nothing_new_takes_as_many_as_are_committed(
    route: Route, world: World, counts: dict[str, int], write_snapshots: bool
) -> None:
    first, _ = world.ask(route)
    if route == CHANGES:
        answer, taken = world.ask(route, f"?after={first.json()['data']['cursor']}")
        assert answer.json()["data"]["items"] == []
    else:
        answer, taken = world.ask(route, HTTP_IF_NONE_MATCH=first["ETag"])
        assert (answer.status_code, answer.content) == (304, b"")

    if write_snapshots:
        counts[_unchanged(route)] = taken
    assert taken == counts.get(_unchanged(route))


def test_what_bots_poll_is_cheap(counts: dict[str, int]) -> None:
    """Whatever is committed: these numbers are promised."""
    effective = "internal: GET /api/v2/agents/{agent_id}/config/effective"

    assert counts[effective] <= 3
    assert {counts[_unchanged(route)] for route in POLLED if route.surface == INTERNAL.name} == {1}


@pytest.mark.skipif("config.getoption('--write-snapshots')", reason="such a number is being removed")
def test_no_number_is_of_a_route_that_is_gone(counts: dict[str, int]) -> None:
    assert set(counts) <= MEASURED


def add_tenants(world: World) -> None:
    for number in range(19):
        tenants.create_tenant(
            actor=world.alice.actor, tenant_name=f"tenant {number}", tenant_type="enterprise", owner_id=None
        )


def add_agents(world: World) -> None:
    for _ in range(19):
        make_agent(world.alice.tenant)


def add_agents_in_other_tenants(world: World) -> None:
    for number in range(19):
        tenant = tenants.create_tenant(
            actor=world.alice.actor, tenant_name=f"tenant {number}", tenant_type="enterprise"
        )
        make_agent(tenant)


def add_keys(world: World) -> None:
    agent = Agent.unscoped.get(pk=world.values["agent_id"])
    for _ in range(19):
        make_key(agent)


def add_templates(world: World) -> None:
    for number in range(19):
        templates.create_template(actor=OPERATOR, tenant=world.alice.tenant, name=f"template {number}")


def add_versions(world: World) -> None:
    agent = Agent.unscoped.get(pk=world.values["agent_id"])
    for number in range(3, 22):
        change_config(agent, number)


def add_plugins(world: World) -> None:
    for number in range(19):
        body = {"plugin_name": f"plugin {number}", "enabled": True}
        path = fill("/api/v1/plugins/settings?agent_id={agent_id}", **world.values)
        assert world.alice.client.send("POST", path, body).status_code == 200


def add_heartbeats(world: World) -> None:
    internal = SurfaceClient(INTERNAL)
    for _ in range(19):
        ids = {"tenant_id": world.alice.tenant.id, "agent_id": make_agent(world.alice.tenant).id}
        assert internal.send("PUT", "/api/v2/agent-activity", {**ids, "ttl_seconds": 60}).status_code == 200


GROWING: list[tuple[str, str, Callable[[World], None]]] = [
    ("public", "/api/v1/auth/me", add_tenants),
    ("public", "/api/v1/tenants", add_tenants),
    ("public", "/api/v1/agents", add_agents),
    ("public", "/api/v1/agents", add_agents_in_other_tenants),
    ("public", "/api/v1/agents/{agent_id}/api_keys", add_keys),
    ("public", "/api/v1/api-keys", add_keys),
    ("public", "/api/v1/agents/{agent_id}/config/versions", add_versions),
    ("public", "/api/v1/templates", add_templates),
    ("public", "/api/v1/plugins/settings", add_plugins),
    ("internal", "/api/v2/tenants", add_tenants),
    ("internal", "/api/v2/agents", add_agents),
    ("internal", "/api/v2/api-keys", add_keys),
    ("internal", "/api/v2/agent-activity", add_heartbeats),
    ("internal", "/api/v2/agents/{agent_id}/config/versions", add_versions),
    ("internal", "/api/v2/config-changes", add_agents),
    ("internal", "/api/v2/templates", add_templates),
    ("internal", "/api/v1/plugins/settings", add_plugins),
]


@pytest.mark.parametrize(
    ("surface", "path", "grow"), GROWING, ids=lambda value: getattr(value, "__name__", None) or str(value)
)
def test_a_list_of_20_takes_as_many_statements_as_one_of_1(
    surface: str, path: str, grow: Callable[[World], None], world: World
) -> None:
    route = Route(surface, path, "GET")
    short = world.send(route)

    grow(world)

    assert world.send(route) == short


def test_the_lists_that_are_tested_are_all_there_are() -> None:
    """Of the paths that can be read, those that also take a new item, and those that only list."""
    methods: dict[tuple[str, str], set[str]] = {}
    for route in all_routes():
        methods.setdefault((route.surface, route.path), set()).add(route.method)
    collections = {place for place, found in methods.items() if {"GET", "POST"} <= found}
    only_listed = {
        ("public", "/api/v1/auth/me"),
        ("public", "/api/v1/agents/{agent_id}/config/versions"),
        ("internal", "/api/v2/agents/{agent_id}/config/versions"),
        ("internal", "/api/v2/agent-activity"),
        ("internal", "/api/v2/config-changes"),
    }

    assert {(surface, path) for surface, path, _ in GROWING} == collections | only_listed
