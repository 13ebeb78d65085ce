"""The number of SQL statements of each route, which does not grow with the length of a list.

`make query-counts` rewrites the committed numbers. The reason of a change that raises one belongs in its commit.
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
from accounts.models import EmailToken, TokenSession
from agents import services as agents
from agents.models import Agent
from agents.services import templates
from apikeys import notices
from apikeys.notices import QuotaLevel
from apikeys.usage_log import log_usage, log_usages
from core.http.docs import document
from core.http.surfaces import INTERNAL, PUBLIC, SURFACES
from tenants import members
from tenants import services as tenants
from tests.permission_matrix import BODIES
from tests.support.client import SurfaceClient
from tests.support.copies import Original
from tests.support.factors import values_for
from tests.support.invitations import invite, invited_token
from tests.support.mail import new_token
from tests.support.oidc import Provider, add_identity, request_values
from tests.support.people import OPERATOR, Person, give_up_tenants, join, make_agent, make_key, register, see_everybody
from tests.support.refusals import refuse
from tests.support.routes import Route, all_routes, fill, fill_value
from tests.support.tokens import add_token

pytestmark = pytest.mark.single
SNAPSHOT = Path(__file__).with_name("query_counts.json")
SURFACE_OF = {surface.name: surface for surface in SURFACES}
# Whose sender is the person whom the tenant is offered to.
ACCEPTANCE = Route("public", "/api/v1/tenants/{tenant_id}/ownership-offer/accept", "POST")
CHANGES = Route("internal", "/api/v2/config-changes", "GET")


def _unchanged(route: Route) -> str:
    """Return the name under which the number of statements of a poll without news is committed."""
    return f"{route}, unchanged"


def _has_etag(route: Route) -> bool:
    operations = document(SURFACE_OF[route.surface])["paths"].get(route.path, {})
    return "304" in operations.get(route.method.lower(), {}).get("responses", {})


# Routes that clients poll: those with an ETag, and the feed.
POLLED = [route for route in all_routes() if _has_etag(route) or route == CHANGES]
MEASURED = {str(route) for route in all_routes()} | {_unchanged(route) for route in POLLED}

# Statements around the queries, whose number differs between databases.
FRAME = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE SAVEPOINT")

# Between statements that MariaDB gets in one round trip (core.prepared_writes.one_round_trip).
TOGETHER = ";\n"

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
    "public: GET /api/v1/search": "?q=a",
    "public: GET /api/v1/plugins/settings": "?agent_id={agent_id}",
    "public: POST /api/v1/plugins/settings": "?agent_id={agent_id}",
}


@dataclass(frozen=True)
class Data:
    """Alice's tenant, offered to Bob, with a template, an agent whose config has two versions, and the agent's key."""

    alice: Person
    bob: Person
    values: dict[str, str]

    def send(self, route: Route) -> int:
        """Send a request that succeeds, and return its number of statements."""
        if route.path == "/api/v1/auth/me/close":
            give_up_tenants(self.alice)
        response, taken = self.request(route)
        assert response.status_code in (200, 202, 204), response.content
        if response.headers.get("Content-Type", "").startswith("application/json"):
            body = response.json()
            assert not isinstance(body, dict) or body.get("success") is not False, body
        return taken

    def request(self, route: Route, query: str | None = None, **headers: str) -> tuple[Any, int]:
        """Return the response to a request and its number of statements."""
        surface = SURFACE_OF[route.surface]
        person = self.bob if route == ACCEPTANCE else self.alice
        client = SurfaceClient(surface, person.token if surface == PUBLIC else None)
        values = {**self.values, **values_for(person.user, route.path), **request_values(route.path, person.user)}
        path = fill(route.path + (REQUIRED_QUERIES.get(str(route), "") if query is None else query), **values)
        template = BODIES.get(f"{route.method} {route.path}", {})
        body = {key: fill_value(value, **values) for key, value in template.items()}
        with CaptureQueriesContext(connection) as captured:
            response = client.send(route.method, path, body or None, **headers)
        statements = [part for entry in captured.captured_queries for part in entry["sql"].split(TOGETHER)]
        return response, sum(not statement.startswith(FRAME) for statement in statements)


def make_data() -> Data:
    alice, bob = register("alice"), register("bob")
    join(bob, alice.tenant)
    agent = make_agent(alice.tenant)
    change_config(agent, 2)
    template = templates.create_template(actor=OPERATOR, tenant=alice.tenant, name="template")
    key = make_key(agent, permissions=["chat"])
    agents.record_activity(agents.Heartbeat(alice.tenant.id, agent.id, 3600))
    log_usage(action="chat", tenant_id=alice.tenant.id)
    refuse(alice.tenant, "request")
    notify_quotas(alice.tenant.id, range(1))
    pair = accounts.sign_in(actor=OPERATOR, user=alice.user)
    members.offer_tenant(actor=alice.actor, tenant=alice.tenant, user_id=bob.user.id)
    return Data(
        alice,
        bob,
        {
            "username": alice.user.username,
            "refresh_token": pair.refresh,
            "reset_token": new_token(alice.user, EmailToken.Purpose.RESET),
            "verify_token": new_token(alice.user, EmailToken.Purpose.VERIFY),
            "identity_id": add_identity(alice.user, "alice"),
            "tenant_id": alice.tenant.id,
            "user_id": bob.user.id,
            "invitation_id": invite(alice.user, alice.tenant).id,
            "invitation_token": invited_token(bob.user, bob.tenant, alice.user),
            "agent_id": agent.id,
            "key_id": key.key.id,
            "session_id": TokenSession.objects.filter(user=alice.user).earliest("created_at").id,
            "api_key": key.secret,
            "template_id": template.id,
            "number": "2",
        },
    )


@pytest.fixture(scope="module")
def module_data(module_transaction: None, oidc_provider: Provider) -> Original[Data]:
    return Original(make_data())


@pytest.fixture
def data(module_data: Original[Data], db: None) -> Data:
    see_everybody()
    return module_data.copy()


def change_config(agent: Agent, number: int) -> None:
    """Create a version of the agent's config."""
    agents.update_agent(actor=OPERATOR, agent=agent, changes={"config": {"number": number}})


@pytest.fixture(scope="module")
def counts(write_snapshots: bool) -> Iterator[dict[str, int]]:
    """The committed numbers. With --write-snapshots, the numbers that tests store here are written back."""
    committed: dict[str, int] = json.loads(SNAPSHOT.read_text()) if SNAPSHOT.exists() else {}
    yield committed
    if write_snapshots:
        measured = sorted(MEASURED & set(committed))
        SNAPSHOT.write_text(json.dumps({name: committed[name] for name in measured}, indent=2) + "\n")


@pytest.mark.parametrize("route", all_routes(), ids=str)
def test_route_takes_the_committed_number_of_statements(
    route: Route, data: Data, counts: dict[str, int], write_snapshots: bool
) -> None:
    taken = data.send(route)

    if write_snapshots:
        counts[str(route)] = taken
    assert taken == counts.get(str(route))


@pytest.mark.parametrize("route", POLLED, ids=str)
def test_poll_without_changes_takes_the_committed_number_of_statements(
    route: Route, data: Data, counts: dict[str, int], write_snapshots: bool
) -> None:
    first, _ = data.request(route)
    if route == CHANGES:
        response, taken = data.request(route, f"?after={first.json()['data']['cursor']}")
        assert response.json()["data"]["items"] == []
    else:
        response, taken = data.request(route, HTTP_IF_NONE_MATCH=first["ETag"])
        assert (response.status_code, response.content) == (304, b"")

    if write_snapshots:
        counts[_unchanged(route)] = taken
    assert taken == counts.get(_unchanged(route))


def test_polls_of_bots_take_few_statements(counts: dict[str, int]) -> None:
    """These numbers are promised in the documentation, so the snapshot must not change them."""
    effective = "internal: GET /api/v2/agents/{agent_id}/config/effective"

    assert counts[effective] <= 3
    assert {counts[_unchanged(route)] for route in POLLED if route.surface == INTERNAL.name} == {1}


@pytest.mark.skipif("config.getoption('--write-snapshots')", reason="such a number is being removed")
def test_every_committed_number_belongs_to_a_route(counts: dict[str, int]) -> None:
    assert set(counts) <= MEASURED


def add_tenants(data: Data) -> None:
    for number in range(19):
        tenants.create_tenant(
            actor=data.alice.actor, tenant_name=f"tenant {number}", tenant_type="enterprise", owner_id=None
        )


def add_agents(data: Data) -> None:
    for _ in range(19):
        make_agent(data.alice.tenant)


def add_agents_in_other_tenants(data: Data) -> None:
    for number in range(19):
        tenant = tenants.create_tenant(actor=data.alice.actor, tenant_name=f"tenant {number}", tenant_type="enterprise")
        make_agent(tenant)


def add_keys(data: Data) -> None:
    agent = Agent.unscoped.get(pk=data.values["agent_id"])
    for _ in range(19):
        make_key(agent)


def add_sessions(data: Data) -> None:
    for _number in range(20):
        accounts.sign_in(actor=OPERATOR, user=data.alice.user)


def add_identities(data: Data) -> None:
    for number in range(20):
        add_identity(data.alice.user, f"alice {number}")


def add_tokens(data: Data) -> None:
    for _number in range(20):
        add_token(data.alice.user)


def add_invitations(data: Data) -> None:
    for number in range(19):
        invite(data.alice.user, data.alice.tenant, f"{number}@example.org")


def add_templates(data: Data) -> None:
    for number in range(19):
        templates.create_template(actor=OPERATOR, tenant=data.alice.tenant, name=f"template {number}")


def add_versions(data: Data) -> None:
    agent = Agent.unscoped.get(pk=data.values["agent_id"])
    for number in range(3, 22):
        change_config(agent, number)


def add_plugins(data: Data) -> None:
    for number in range(19):
        body = {"plugin_name": f"plugin {number}", "enabled": True}
        path = fill("/api/v1/plugins/settings?agent_id={agent_id}", **data.values)
        assert data.alice.client.send("POST", path, body).status_code == 200


def add_heartbeats(data: Data) -> None:
    internal = SurfaceClient(INTERNAL)
    for _ in range(19):
        ids = {"tenant_id": data.alice.tenant.id, "agent_id": make_agent(data.alice.tenant).id}
        assert internal.send("PUT", "/api/v2/agent-activity", {**ids, "ttl_seconds": 60}).status_code == 200


def add_usage(data: Data) -> None:
    log_usages([{"action": "chat", "tenant_id": data.alice.tenant.id}] * 19)


def add_refusals(data: Data) -> None:
    for number in range(19):
        refuse(data.alice.tenant, f"request_{number}")


def notify_quotas(tenant_id: str, numbers: range) -> None:
    notices.notify_quotas([QuotaLevel(tenant_id, tenant_id, "all", number, 80) for number in numbers])


def add_notices(data: Data) -> None:
    notify_quotas(data.alice.tenant.id, range(1, 20))


GROWING: list[tuple[str, str, Callable[[Data], None]]] = [
    ("public", "/api/v1/auth/me", add_tenants),
    ("public", "/api/v1/auth/sessions", add_sessions),
    ("public", "/api/v1/auth/identities", add_identities),
    ("public", "/api/v1/auth/tokens", add_tokens),
    ("public", "/api/v1/tenants", add_tenants),
    ("public", "/api/v1/tenants/{tenant_id}/audit", add_agents),
    ("public", "/api/v1/tenants/{tenant_id}/invitations", add_invitations),
    ("public", "/api/v1/tenants/{tenant_id}/agent-activity", add_heartbeats),
    ("public", "/api/v1/tenants/{tenant_id}/usage-log", add_usage),
    ("public", "/api/v1/tenants/{tenant_id}/notices", add_notices),
    ("public", "/api/v1/tenants/{tenant_id}/refusals", add_refusals),
    ("public", "/api/v1/agents", add_agents),
    ("public", "/api/v1/agents", add_agents_in_other_tenants),
    ("public", "/api/v1/agents/{agent_id}/api_keys", add_keys),
    ("public", "/api/v1/api-keys", add_keys),
    ("public", "/api/v1/agents/{agent_id}/config/versions", add_versions),
    ("public", "/api/v1/search", add_keys),
    ("public", "/api/v1/search", add_agents_in_other_tenants),
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
def test_list_of_20_takes_as_many_statements_as_one_of_1(
    surface: str, path: str, grow: Callable[[Data], None], data: Data
) -> None:
    route = Route(surface, path, "GET")
    short = data.send(route)

    grow(data)

    assert data.send(route) == short


def test_all_lists_are_tested() -> None:
    """Lists are the paths with GET and POST, and those that only list."""
    methods: dict[tuple[str, str], set[str]] = {}
    for route in all_routes():
        methods.setdefault((route.surface, route.path), set()).add(route.method)
    collections = {path for path, found in methods.items() if {"GET", "POST"} <= found}
    only_listed = {
        ("public", "/api/v1/auth/me"),
        ("public", "/api/v1/auth/sessions"),
        ("public", "/api/v1/tenants/{tenant_id}/audit"),
        ("public", "/api/v1/tenants/{tenant_id}/agent-activity"),
        ("public", "/api/v1/tenants/{tenant_id}/usage-log"),
        ("public", "/api/v1/tenants/{tenant_id}/notices"),
        ("public", "/api/v1/tenants/{tenant_id}/refusals"),
        ("public", "/api/v1/auth/identities"),
        ("public", "/api/v1/agents/{agent_id}/config/versions"),
        ("internal", "/api/v2/agents/{agent_id}/config/versions"),
        ("internal", "/api/v2/agent-activity"),
        ("internal", "/api/v2/config-changes"),
    }

    assert {(surface, path) for surface, path, _ in GROWING} == collections | only_listed
