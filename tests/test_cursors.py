"""Lists read by cursor, which return every lasting object once while others are created and deleted."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import parse_qs, quote, unquote

import pytest
from django.db.models import QuerySet

from accounts import services as accounts
from accounts.models import Identity, PersonalToken, TokenSession
from agents import services
from agents.fields import AgentChanges
from agents.models import Agent, ConfigVersion, PluginSetting, Template
from agents.services import plugins, templates
from apikeys import notices
from apikeys.models import ApiKey, Notice, Refusal, UsageLogEntry
from apikeys.notices import QuotaLevel
from apikeys.usage_log import log_usage
from core.http.docs import document
from core.http.surfaces import INTERNAL, SURFACES
from core.models import AuditEntry
from tenants import services as tenants
from tenants.models import Membership, Tenant, TenantInvitation
from tests.support.client import SurfaceClient
from tests.support.invitations import invite
from tests.support.oidc import add_identity
from tests.support.people import OPERATOR, Person, join, make_agent, make_key, register
from tests.support.refusals import refuse
from tests.support.routes import Route, fill
from tests.support.tokens import add_token, newest_token

pytestmark = pytest.mark.django_db
SURFACE_OF = {surface.name: surface for surface in SURFACES}
FEED = Route("internal", "/api/v2/config-changes", "GET")


# ---- the lists in the OpenAPI documents


def _resolved(surface: str, schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = document(SURFACE_OF[surface])["components"]["schemas"][name] if name else schema
    return found


def _is_list(route: Route, operation: dict[str, Any]) -> bool:
    """Return whether an operation returns a list, bare or as `items`."""
    content = operation["responses"].get("200", {}).get("content", {}).get("application/json")
    if route.method != "GET" or content is None:
        return False
    schema = _resolved(route.surface, content["schema"])
    data = _resolved(route.surface, schema.get("properties", {}).get("data", schema))
    return data.get("type") == "array" or "items" in data.get("properties", {})


def operations() -> dict[Route, dict[str, Any]]:
    return {
        Route(surface.name, path, method.upper()): operation
        for surface in SURFACES
        for path, methods in document(surface)["paths"].items()
        for method, operation in methods.items()
    }


LISTS = sorted(route for route, operation in operations().items() if _is_list(route, operation) and route != FEED)


# ---- their objects


@dataclass
class Data:
    """Alice's tenant with an agent, and the objects that the tests create and delete."""

    alice: Person
    agent: Agent
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(10**6)))

    @property
    def name(self) -> str:
        """A new name each time. The order of the names is not that of their creation."""
        return f"{random.Random(next(self.numbers)).getrandbits(64):x} 天气"

    def client(self, route: Route) -> SurfaceClient:
        return SurfaceClient(INTERNAL) if route.surface == "internal" else self.alice.client


def _tenant(data: Data) -> Any:
    actor = data.alice.actor
    return tenants.create_tenant(actor=actor, tenant_name=data.name, tenant_type="enterprise").id


def _identity(data: Data) -> Any:
    return add_identity(data.alice.user, data.name)


def _session(data: Data) -> Any:
    accounts.sign_in(actor=data.alice.actor, user=data.alice.user)
    return TokenSession.objects.latest("created_at").pk


def _token(data: Data) -> Any:
    add_token(data.alice.user)
    return newest_token(data.alice.user).id


def _member(data: Data) -> Any:
    person = register(data.name)
    join(person, data.alice.tenant)
    return person.user.id


def _invitation(data: Data) -> Any:
    return invite(data.alice.user, data.alice.tenant, f"{next(data.numbers)}@example.org").id


def _agent(data: Data) -> Any:
    return make_agent(data.alice.tenant, data.name).id


def _live_agent(data: Data) -> Any:
    agent = make_agent(data.alice.tenant, data.name)
    services.record_activity(services.Heartbeat(agent.tenant_id, agent.id, 60))
    return agent.id


def _key(data: Data) -> Any:
    return make_key(data.agent, data.name).key.id


def _template(data: Data) -> Any:
    # Users choose these ids, in any script.
    name = data.name
    return templates.create_template(actor=OPERATOR, tenant=None, name=name, template_id=name).id


def _version(data: Data) -> Any:
    changes: AgentChanges = {"config": {"name": data.name}}
    return services.update_agent(actor=OPERATOR, agent=data.agent, changes=changes).config_version


def _plugin(data: Data) -> Any:
    agent = random.Random(next(data.numbers)).choice([data.agent, None])
    setting = plugins.set_plugin(
        actor=OPERATOR, tenant=data.alice.tenant, agent=agent, plugin_name=data.name, enabled=True, config={}
    )
    return setting.public_id


def _delete_plugin(data: Data, public_id: str) -> None:
    rows = PluginSetting.objects.in_tenants([data.alice.tenant.id])
    next(row for row in rows if row.public_id == public_id).delete()


def _audit_entry(data: Data) -> Any:
    make_agent(data.alice.tenant, data.name)
    return AuditEntry.objects.latest("id").pk


def _delete_audit_entry(_data: Data, entry_id: int) -> None:
    """Delete an entry as retention does, of which the model knows nothing."""
    QuerySet(AuditEntry).filter(pk=entry_id).delete()


def _usage_entry(data: Data) -> Any:
    return log_usage(action="chat", tenant_id=data.alice.tenant.id).pk


def _refusal(data: Data) -> Any:
    refuse(data.alice.tenant, data.name)
    return Refusal.unscoped.latest("id").pk


def _notice(data: Data) -> Any:
    notices.notify_quotas([QuotaLevel(data.alice.tenant.id, data.agent.id, data.name[:16], 10, 80)])
    return Notice.unscoped.latest("id").pk


@dataclass(frozen=True)
class Kind:
    """A kind of objects: how to create one, its name in a list, and how to delete it."""

    make: Callable[[Data], Any]
    id: str
    delete: Callable[[Data, Any], object]
    query: str = ""
    is_counted: bool = True


def _deleted(model: Any, column: str, _data: Data, value: Any) -> None:
    getattr(model, "unscoped", model.objects).filter(**{column: value}).delete()


AGENTS = Kind(_agent, "id", partial(_deleted, Agent, "pk"))
KEYS = Kind(_key, "id", partial(_deleted, ApiKey, "pk"))
TEMPLATES = Kind(_template, "id", partial(_deleted, Template, "pk"))
TENANTS = Kind(_tenant, "id", partial(_deleted, Tenant, "pk"))
VERSIONS = Kind(_version, "version", partial(_deleted, ConfigVersion, "number"))
OF_TENANT = "&tenant_id={tenant_id}"

KINDS = {
    "internal: GET /api/v1/plugins/settings": Kind(_plugin, "id", _delete_plugin, OF_TENANT + "&agent_id={agent_id}"),
    "internal: GET /api/v2/agent-activity": Kind(_live_agent, "agent_id", partial(_deleted, Agent, "pk"), OF_TENANT),
    "internal: GET /api/v2/agents": Kind(AGENTS.make, "id", AGENTS.delete, OF_TENANT + "&status=active"),
    "internal: GET /api/v2/agents/{agent_id}/config/versions": VERSIONS,
    "internal: GET /api/v2/api-keys": Kind(KEYS.make, "api_key_id", KEYS.delete, OF_TENANT + "&agent_id={agent_id}"),
    "internal: GET /api/v2/templates": TEMPLATES,
    "internal: GET /api/v2/tenants": TENANTS,
    "public: GET /api/v1/agents": Kind(AGENTS.make, "id", AGENTS.delete, OF_TENANT + "&q=天气&status=active"),
    "public: GET /api/v1/agents/{agent_id}/api_keys": Kind(KEYS.make, "id", KEYS.delete, "&q=天气"),
    "public: GET /api/v1/agents/{agent_id}/config/versions": VERSIONS,
    "public: GET /api/v1/api-keys": Kind(KEYS.make, "api_key_id", KEYS.delete, OF_TENANT),
    "public: GET /api/v1/auth/sessions": Kind(_session, "id", partial(_deleted, TokenSession, "pk")),
    "public: GET /api/v1/auth/identities": Kind(_identity, "id", partial(_deleted, Identity, "pk")),
    "public: GET /api/v1/auth/tokens": Kind(_token, "id", partial(_deleted, PersonalToken, "pk")),
    "public: GET /api/v1/plugins/settings": Kind(_plugin, "id", _delete_plugin, "&agent_id={agent_id}"),
    "public: GET /api/v1/templates": TEMPLATES,
    "public: GET /api/v1/tenants": TENANTS,
    "public: GET /api/v1/tenants/{tenant_id}/members": Kind(
        _member, "user_id", partial(_deleted, Membership, "user_id")
    ),
    "public: GET /api/v1/tenants/{tenant_id}/invitations": Kind(
        _invitation, "id", partial(_deleted, TenantInvitation, "pk")
    ),
    "public: GET /api/v1/tenants/{tenant_id}/audit": Kind(_audit_entry, "id", _delete_audit_entry, is_counted=False),
    "public: GET /api/v1/tenants/{tenant_id}/agent-activity": Kind(
        _live_agent, "agent_id", partial(_deleted, Agent, "pk"), is_counted=False
    ),
    "public: GET /api/v1/tenants/{tenant_id}/refusals": Kind(
        _refusal, "id", partial(_deleted, Refusal, "pk"), is_counted=False
    ),
    "public: GET /api/v1/tenants/{tenant_id}/notices": Kind(
        _notice, "id", partial(_deleted, Notice, "pk"), is_counted=False
    ),
    "public: GET /api/v1/tenants/{tenant_id}/usage-log": Kind(
        _usage_entry, "id", partial(_deleted, UsageLogEntry, "pk"), is_counted=False
    ),
}


@pytest.fixture(scope="module")
def data(module_transaction: None) -> Data:
    alice = register("alice")
    return Data(alice, make_agent(alice.tenant, "first 天气"))


@dataclass
class CursorReader:
    """A client that reads a list page by page."""

    data: Data
    route: Route
    size: int = 3
    after: str | None = ""
    total: int | None = -1

    @property
    def kind(self) -> Kind:
        return KINDS[str(self.route)]

    def get(self, **query: Any) -> Any:
        """Return the response to one request."""
        path = fill(self.route.path, agent_id=self.data.agent.id, tenant_id=self.data.alice.tenant.id)
        filters = fill(self.kind.query, tenant_id=self.data.alice.tenant.id, agent_id=self.data.agent.id)
        sent = {name: values[0] for name, values in parse_qs(filters).items()} | query
        return self.data.client(self.route).get(path, sent)

    def part(self) -> list[Any]:
        """Return the ids of the next page."""
        # Lists have different names for the size, and ignore the others.
        response = self.get(after=self.after, size=self.size, page_size=self.size, limit=self.size)
        assert response.status_code == 200, response.content
        body = response.json()
        if isinstance(body, list):
            rows, next_after = body, response.get("X-Next-Cursor")
            self.after = None if next_after is None else unquote(next_after)
            self.total = int(response["X-Total-Count"])
        else:
            rows = body["data"]["items"]
            page = body["data"].get("pagination", body["data"])
            self.after, self.total = page["next_after"], page.get("total", page.get("count"))
        assert len(rows) <= self.size
        assert self.after is None or (len(rows) == self.size and self.after == str(rows[-1][self.kind.id]))
        return [row[self.kind.id] for row in rows]

    def remaining(self) -> list[Any]:
        """Return the ids of all further pages."""
        found: list[Any] = []
        while self.after is not None:
            found += self.part()
        return found


def test_all_lists_are_tested() -> None:
    assert set(map(str, LISTS)) == set(KINDS), "say above how to make and delete what a new list is of"


@pytest.mark.embedded
@pytest.mark.parametrize("route", LISTS, ids=str)
def test_every_list_documents_after(route: Route) -> None:
    operation = operations()[route]

    assert "after" in {parameter["name"] for parameter in operation["parameters"]}
    is_bare = "array" in str(operation["responses"]["200"]["content"]["application/json"]["schema"].get("type"))
    assert is_bare == ("X-Next-Cursor" in operation["responses"]["200"].get("headers", {}))


@pytest.mark.parametrize("route", LISTS, ids=str)
def test_lasting_object_is_returned_once(route: Route, data: Data) -> None:
    reader = CursorReader(data, route)
    kind, draw = reader.kind, random.Random(7)
    throughout = [kind.make(data) for _ in range(7)]
    passing = [kind.make(data) for _ in range(7)]
    met: list[Any] = []

    while reader.after is not None:
        met += reader.part()
        # The object that the cursor names is deleted first, if possible.
        passing.sort(key=lambda each: each not in met[-1:])
        for each in (passing.pop(0), passing.pop(draw.randrange(len(passing)))):
            kind.delete(data, each)
        if len(passing) < 4:
            passing += [kind.make(data) for _ in range(3)]
        if len(met) > 60:
            break

    assert set(throughout) <= set(met)
    assert len(set(met)) == len(met)


@pytest.mark.parametrize("route", LISTS, ids=str)
def test_unchanged_list_is_complete_and_ordered_by_id(route: Route, data: Data) -> None:
    for _ in range(7):
        CursorReader(data, route).kind.make(data)
    reader = CursorReader(data, route)
    in_one_page = CursorReader(data, route, size=100)

    found = reader.remaining()

    assert found == in_one_page.remaining()
    assert reader.total == in_one_page.total == (len(found) if reader.kind.is_counted else None)
    assert found == (sorted(found) if isinstance(found[0], int) else sorted(found, key=_order))
    assert len(found) >= 7


def _order(public_id: str) -> str:
    """Return a sort key by code points. Plugins are sorted by name, because an agent's replaces its tenant's."""
    return public_id.split("_", 5)[-1] if public_id.startswith("ps_") else public_id


@pytest.mark.parametrize("route", LISTS, ids=str)
def test_last_page_has_no_next_cursor(route: Route, data: Data) -> None:
    kind = CursorReader(data, route).kind
    for _ in range(4):
        kind.make(data)
    in_one_page = CursorReader(data, route, size=100).remaining()

    exact = CursorReader(data, route, size=len(in_one_page))
    assert (exact.part(), exact.after) == (in_one_page, None)
    end = CursorReader(data, route, after=str(in_one_page[-1]))
    assert (end.part(), end.after) == ([], None)
    assert end.total == (len(in_one_page) if end.kind.is_counted else None)


@pytest.mark.embedded
@pytest.mark.parametrize("route", LISTS, ids=str)
def test_order_or_offset_beside_after_is_rejected(route: Route, data: Data) -> None:
    taken = {parameter["name"] for parameter in operations()[route]["parameters"]}

    for name, value in (("page", 2), ("skip", 1), ("sort", "name"), ("sort", "-created_at")):
        response = CursorReader(data, route).get(after="", **{name: value})
        assert response.status_code == (400 if name in taken else 200), response.content
        if name in taken:
            body = response.json()
            errors = body["errors"] if "errors" in body else body["data"]["errors"]
            assert list(errors) == [name]


@pytest.mark.embedded
@pytest.mark.parametrize("route", LISTS, ids=str)
def test_without_after_no_cursor_is_returned(route: Route, data: Data) -> None:
    for _ in range(2):
        CursorReader(data, route).kind.make(data)

    response = CursorReader(data, route).get(size=1, page_size=1, limit=1)

    body = response.json()
    assert "X-Next-Cursor" not in response
    if isinstance(body, dict):
        assert body["data"].get("pagination", body["data"]).get("next_after") is None


@pytest.mark.embedded
@pytest.mark.parametrize("route", LISTS, ids=str)
@pytest.mark.parametrize("after", ["x" * 300, "\x00"])
def test_malformed_cursor_is_rejected(route: Route, data: Data, after: str) -> None:
    assert CursorReader(data, route).get(after=after).status_code == 400


def test_cursor_in_the_header_is_percent_encoded(data: Data) -> None:
    route = Route("public", "/api/v1/templates", "GET")
    for name in ("a %41&b", "天气", "é"):
        templates.create_template(actor=OPERATOR, tenant=None, name=name, template_id=name)

    cursors = []
    reader = CursorReader(data, route, size=1)
    while (response := reader.get(after=reader.after, limit=1)).get("X-Next-Cursor") is not None:
        cursors.append(response["X-Next-Cursor"])
        reader.after = unquote(cursors[-1])

    assert cursors == [quote(name, safe="") for name in ("a %41&b", "é")]


def test_setting_that_replaces_a_returned_one_is_not_returned_again(data: Data) -> None:
    for name in ("a", "b", "c"):
        plugins.set_plugin(
            actor=OPERATOR, tenant=data.alice.tenant, agent=None, plugin_name=name, enabled=True, config={}
        )
    reader = CursorReader(data, Route("public", "/api/v1/plugins/settings", "GET"), size=2)
    first = reader.part()
    plugins.set_plugin(
        actor=OPERATOR, tenant=data.alice.tenant, agent=data.agent, plugin_name="b", enabled=True, config={}
    )

    assert [setting.rpartition("_")[2] for setting in first + reader.remaining()] == ["a", "b", "c"]


def test_cursor_of_another_plugin_list_is_rejected(data: Data) -> None:
    response = data.alice.client.get(f"/api/v1/plugins/settings?agent_id={data.agent.id}&after=ps_tenant_x_global_a")

    assert (response.status_code, list(response.json()["errors"])) == (400, ["after"])
