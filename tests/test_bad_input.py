"""Whatever a client sends: an answer in the surface's own shape, and nothing half-written.

What is tried on each endpoint comes from the OpenAPI documents, so that a new field or parameter is
tried as soon as it exists. Refusals are compared with the tables once for each endpoint.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytest

from accounts import services as accounts
from agents.models import Agent, Template
from agents.services import templates
from apikeys.services import IssuedKey
from core.http.surfaces import INTERNAL, PUBLIC, SURFACES, Surface
from tests.support import hostile
from tests.support.client import SurfaceClient
from tests.support.hostile import JSON, Described, described
from tests.support.people import OPERATOR, PASSWORD, Person, make_agent, make_key, register
from tests.support.routes import Route, all_routes, fill, methods_of, routes
from tests.support.tables import changed_tables, tables

pytestmark = pytest.mark.single

ENVELOPE_KEYS = [
    "success",
    "message",
    "data",
    "timestamp",
    "request_id",
    "tenant_id",
    "execution_time",
    "error",
    "error_code",
]
OPERATIONS = described()
WITH_BODY = [operation for operation in OPERATIONS if operation.has_body]
WITH_QUERY = [operation for operation in OPERATIONS if operation.query]
WITH_PARAMETERS = [route for route in all_routes() if "{" in route.path]


@dataclass(frozen=True)
class World:
    """Alice, her agent, its key and her template: what well-formed requests are about."""

    alice: Person
    agent: Agent
    key: IssuedKey
    template: Template

    def client(self, surface: Surface) -> SurfaceClient:
        return SurfaceClient(surface, self.alice.token if surface == PUBLIC else None)

    def path(self, template: str) -> str:
        return fill(
            template,
            tenant_id=self.agent.tenant_id,
            agent_id=self.agent.id,
            key_id=self.key.key.id,
            template_id=self.template.id,
            number="1",
        )

    def url(self, operation: Described) -> str:
        """The path, with the query parameters that are required."""
        query = [f"{name}={self.value(name, {})}" for name, it in operation.query.items() if it.get("required")]
        return self.path(operation.path) + ("?" + "&".join(query) if query else "")

    def body(self, operation: Described) -> dict[str, Any]:
        """A body that the endpoint accepts, with every field that it knows."""
        body = {name: self.value(name, schema) for name, schema in operation.fields.items()}
        if operation.path == "/api/v2/templates":
            del body["tenant_id"]  # a tenant's has no id of the sender's choice
        return {**body, "username": "newcomer 🤖"} if operation.path.endswith("/register") else body

    def value(self, name: str, schema: dict[str, Any]) -> Any:
        known: dict[str, Callable[[], Any]] = {
            "tenant_id": lambda: self.agent.tenant_id,
            "agent_id": lambda: self.agent.id,
            "owner_id": lambda: self.alice.user.id,
            "api_key": lambda: self.key.secret,
            "username": lambda: self.alice.user.username,
            "password": lambda: PASSWORD,
            "old_password": lambda: PASSWORD,
            "new_password": lambda: PASSWORD,
            "email": lambda: "someone@example.org",
            "refresh_token": lambda: accounts.sign_in(actor=OPERATOR, user=self.alice.user).refresh,
            "rate_limit": lambda: {"limit": 60, "window_seconds": 60},
            "quota": lambda: {"limit": 60, "period": "day"},
            "allowed_networks": lambda: ["203.0.113.0/24"],
            "client_ip": lambda: "203.0.113.7",
            "required_permission": lambda: "chat and (read or admin)",
            "items": lambda: [{"api_key": self.key.secret}],
            "plugins": lambda: [{"plugin_name": "weather", "enabled": True}],
            "maim_export": lambda: 1,
            "version": lambda: 1,
            "from": lambda: 1,
            "to": lambda: 1,
        }
        if name in known:
            return known[name]()
        if "oneOf" in schema or schema.get("format") == "date-time":
            return "2030-01-31T12:00:00+05:30"
        if "enum" in schema:
            return schema["enum"][0]
        return {"string": "text 🤖", "integer": 60, "boolean": True, "object": {"any": "🤖"}, "array": ["text"]}.get(
            schema.get("type", ""), {"any": 1}
        )


@pytest.fixture(scope="module")
def first_world(module_transaction: None) -> World:
    alice = register("alice")
    agent = make_agent(alice.tenant)
    template = templates.create_template(actor=OPERATOR, tenant=alice.tenant, name="template")
    return World(alice, agent, make_key(agent), template)


@pytest.fixture
def world(first_world: World, db: None) -> World:
    return deepcopy(first_world)


def problem(response: Any, *, enveloped: bool) -> dict[str, Any]:
    """The error of an answer, whose shape must be right to the last key: its `code` and `errors`."""
    text = response.content.decode()
    for leak in ("Traceback", "SELECT ", "INSERT ", "sqlite", "MySQL", "django", 'File "'):
        assert leak not in text
    assert response["Content-Type"] == JSON
    assert response["X-Request-ID"]
    body = response.json()
    if enveloped:
        assert list(body) == ENVELOPE_KEYS
        assert body["success"] is False
        assert body["message"]
        assert body["error"]
        return {"code": body["error_code"], "errors": (body["data"] or {}).get("errors")}
    assert set(body) - {"errors"} == {"detail", "code"}
    assert body["detail"]
    assert isinstance(body["detail"], str)
    return {"code": body["code"], "errors": body.get("errors")}


def is_enveloped(route: Route) -> bool:
    """Whether the errors of a route come in v2's envelope."""
    shapes = {str(operation): operation.is_enveloped for operation in OPERATIONS}
    return shapes.get(str(route), False)


@pytest.mark.parametrize("operation", WITH_BODY, ids=str)
class TestBodies:
    def test_every_field_refuses_what_it_is_not(self, operation: Described, world: World) -> None:
        client, url, good = world.client(operation.surface), world.url(operation), world.body(operation)
        before = tables()
        for name, schema in operation.fields.items():
            for value in hostile.wrong_values(schema, required=name in operation.required):
                response = client.send(operation.method, url, {**good, name: value})
                case = f"{name} = {value!r:.80}"
                assert response.status_code == 400, f"{case}: {response.status_code} {response.content!r:.300}"
                found = problem(response, enveloped=operation.is_enveloped)
                assert found["code"] in ("VALIDATION_ERROR", "KEY_005"), case
                assert any(key.split(".")[0] == name for key in found["errors"] or {name: []}), (case, found)
        assert not changed_tables(before, tables())

    def test_every_required_field_is_missed(self, operation: Described, world: World) -> None:
        client, url, good = world.client(operation.surface), world.url(operation), world.body(operation)
        before = tables()
        for name in operation.required:
            response = client.send(operation.method, url, {key: good[key] for key in good if key != name})
            assert response.status_code == 400, name
            assert name in problem(response, enveloped=operation.is_enveloped)["errors"]
        assert not changed_tables(before, tables())

    def test_what_is_not_a_json_object_is_refused(self, operation: Described, world: World) -> None:
        client, url = world.client(operation.surface), world.url(operation)
        before = tables()
        for title, body in hostile.BODIES.items():
            response = client.generic(operation.method, url, body, JSON)
            assert response.status_code == 400, f"{title}: {response.status_code} {response.content!r:.300}"
            assert problem(response, enveloped=operation.is_enveloped)["errors"], title
        assert not changed_tables(before, tables())

    def test_another_media_type_is_refused(self, operation: Described, world: World) -> None:
        client, url = world.client(operation.surface), world.url(operation)
        good = json.dumps(world.body(operation)).encode()
        before = tables()
        forms = () if "login" in operation.path else hostile.FORM_TYPES
        for content_type in (*hostile.CONTENT_TYPES, *forms):
            response = client.generic(operation.method, url, good, content_type)
            assert response.status_code == 415, f"{content_type:.60}: {response.status_code}"
            assert problem(response, enveloped=operation.is_enveloped)["code"] == "UNSUPPORTED_MEDIA_TYPE"
        assert not changed_tables(before, tables())

    def test_a_body_past_one_mebibyte_is_refused(self, operation: Described, world: World) -> None:
        client, url, good = world.client(operation.surface), world.url(operation), world.body(operation)
        before = tables()
        response = client.send(operation.method, url, {**good, "unknown": hostile.TOO_LONG})
        assert response.status_code == 413
        assert problem(response, enveloped=operation.is_enveloped)["code"] == "PAYLOAD_TOO_LARGE"
        assert not changed_tables(before, tables())

    def test_a_whole_body_is_accepted_and_its_text_comes_back(self, operation: Described, world: World) -> None:
        """Which also shows that each refusal above was for the one thing that was wrong."""
        good = world.body(operation)
        response = world.client(operation.surface).send(operation.method, world.url(operation), good)
        assert response.status_code in (200, 204), response.content
        answer = response.json() if response.content else {}
        shown = answer.get("data", answer)
        for name in [name for name in good if name in shown and isinstance(good[name], str | list | dict)]:
            if name not in ("expires_at", "timestamp", "api_key", "refresh_token", "items"):
                assert shown[name] == good[name], name

    def test_text_of_full_length_is_accepted(self, operation: Described, world: World) -> None:
        """Counted in characters, and stored whole on every database."""
        good = world.body(operation)
        lengths = {name: schema["maxLength"] for name, schema in operation.fields.items() if "maxLength" in schema}
        longest = {name: "🤖" * length for name, length in lengths.items() if good.get(name) == "text 🤖"}
        response = world.client(operation.surface).send(operation.method, world.url(operation), {**good, **longest})
        assert response.status_code in (200, 204), response.content
        answer = response.json() if response.content else {}
        shown = answer.get("data", answer)
        assert {name: shown[name] for name in longest if name in shown} == {
            name: longest[name] for name in longest if name in shown
        }


@pytest.mark.parametrize("operation", WITH_QUERY, ids=str)
class TestQueries:
    def test_every_parameter_refuses_what_it_is_not(self, operation: Described, world: World) -> None:
        client, url = world.client(operation.surface), world.url(operation)
        good = world.body(operation) if operation.has_body else None
        before = tables()
        for name, parameter in operation.query.items():
            for value in hostile.wrong_parameters(parameter["schema"]):
                # The last of two parameters of one name counts.
                response = client.send(operation.method, f"{url}{'&' if '?' in url else '?'}{name}={value}", good)
                case = f"{name}={value:.60}"
                assert response.status_code == 400, f"{case}: {response.status_code} {response.content!r:.300}"
                assert list(problem(response, enveloped=operation.is_enveloped)["errors"]) == [name], case
        assert not changed_tables(before, tables())

    def test_a_query_of_garbage_harms_nothing(self, operation: Described, world: World) -> None:
        client, path = world.client(operation.surface), world.path(operation.path)
        good = world.body(operation) if operation.has_body else None
        names = "".join(f"&{name}=%ff%fe" for name in operation.query)
        for query in ("%", "&&&=", "=", "%00=%00", "%ff=%ff", "a" * 50_000, "a&" * 5000, "page[]=1", names):
            response = client.send(operation.method, f"{path}?{query}", good)
            assert response.status_code < 500, f"{query:.60}: {response.content!r:.300}"
            if response.status_code >= 400:
                problem(response, enveloped=operation.is_enveloped)

    def test_a_far_page_is_empty(self, operation: Described, world: World) -> None:
        far = {"page": 2**31 - 1, "skip": 2**31 - 1}
        sent = [f"{name}={value}" for name, value in far.items() if name in operation.query]
        for parameter in sent:
            url = world.url(operation)
            response = world.client(operation.surface).get(f"{url}{'&' if '?' in url else '?'}{parameter}")
            assert response.status_code == 200
            found = response.json()
            assert (found if isinstance(found, list) else found["data"]["items"]) == []


@pytest.mark.parametrize("route", WITH_PARAMETERS, ids=str)
def test_a_path_of_garbage_is_not_found(route: Route, world: World) -> None:
    surface = next(surface for surface in SURFACES if surface.name == route.surface)
    client = world.client(surface)
    operation = next(each for each in OPERATIONS if str(each) == str(route))
    good = world.body(operation) if operation.has_body else None
    before = tables()
    for name in ("tenant_id", "agent_id", "key_id", "template_id", "number"):
        for title, segment in hostile.SEGMENTS.items():
            path = world.path(route.path.replace(f"{{{name}}}", segment))
            if f"{{{name}}}" in route.path:
                response = client.send(route.method, path, good)
                assert response.status_code == 404, f"{title}: {response.status_code} {response.content!r:.300}"
                problem(response, enveloped=operation.is_enveloped)
    assert not changed_tables(before, tables())


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
class TestMethods:
    def test_a_wrong_method_is_refused_and_the_right_ones_named(self, surface: Surface, world: World) -> None:
        client = world.client(surface)
        before = tables()
        for template, allowed in methods_of(surface).items():
            there = {*allowed, *(["HEAD"] if "GET" in allowed else [])}
            known = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "BREW"}
            for method in sorted(known - there):
                response = client.send(method, world.path(template))
                assert response.status_code == 405, f"{method} {template}: {response.status_code}"
                assert set(response["Allow"].split(", ")) - {"HEAD"} == set(allowed), f"{method} {template}"
                if method != "HEAD":
                    route = Route(surface.name, template, allowed[0])
                    assert problem(response, enveloped=is_enveloped(route))["code"] == "METHOD_NOT_ALLOWED"
        assert not changed_tables(before, tables())

    def test_an_unknown_path_is_not_found(self, surface: Surface, world: World) -> None:
        client = world.client(surface)
        for path in ("/x", "/api", "/api/", "/api/v1", "/api/v3/tenants", "/%00", "/%ff", "/..", "/x" * 5000):
            response = client.send("GET", path)
            assert response.status_code == 404, path
            problem(response, enveloped=surface == INTERNAL)

    def test_garbage_in_other_headers_harms_nothing(self, surface: Surface, world: World) -> None:
        client = world.client(surface)
        garbage = ("", "\x00", "\xff", "http://[", "null", "x" * 20_000, "%00", "-1", "🤖".encode().decode("latin-1"))
        names = ("ORIGIN", "HOST", "ACCEPT", "ACCEPT_LANGUAGE", "ACCEPT_ENCODING", "COOKIE", "REFERER", "X_REQUEST_ID")
        others = ("X_FORWARDED_FOR", "X_FORWARDED_PROTO", "IF_MATCH", "IF_NONE_MATCH", "RANGE", "TRANSFER_ENCODING")
        for name in (*names, *others, "SEC_FETCH_SITE"):
            for value in garbage:
                response = client.send("GET", "/health", **{f"HTTP_{name}": value})
                assert response.status_code in (200, 403), f"{name}: {value:.60}: {response.content!r:.300}"
        for length in ("", "x", "-1", "1e3", "\xff"):
            response = client.generic(
                "POST", world.path("/api/v1/plugins/settings"), b"{}", JSON, CONTENT_LENGTH=length
            )
            assert response.status_code == 400, length


class TestTokens:
    @pytest.mark.parametrize("title", hostile.AUTHORIZATIONS)
    def test_a_bad_authorization_is_refused_everywhere(self, title: str, world: World) -> None:
        client = SurfaceClient(PUBLIC)
        before = tables()
        for route in routes(PUBLIC):
            operation = next((each for each in OPERATIONS if str(each) == str(route)), None)
            if operation is not None and "security" in operation.operation:
                response = client.send(
                    route.method, world.path(route.path), {}, HTTP_AUTHORIZATION=hostile.AUTHORIZATIONS[title]
                )
                assert response.status_code == 401, f"{route}: {response.content!r:.300}"
                assert response["WWW-Authenticate"] == "Bearer"
                problem(response, enveloped=operation.is_enveloped)
        assert not changed_tables(before, tables())

    @pytest.mark.parametrize("title", hostile.AUTHORIZATIONS)
    @pytest.mark.parametrize("path", ["/api/v1/auth/refresh", "/api/v1/auth/logout"])
    def test_a_bad_refresh_token_is_refused(self, path: str, title: str, world: World) -> None:
        token = hostile.AUTHORIZATIONS[title].removeprefix("Bearer ")[:4096]
        response = SurfaceClient(PUBLIC).send("POST", path, {"refresh_token": token})
        assert response.status_code in (400, 401), response.content
        problem(response, enveloped=False)


class TestForms:
    @pytest.mark.parametrize(
        "form",
        [b"", b"&", b"=", b"%", b"username=%00&password=x", b"username=%ff&password=%ff", b"x=1&" * 5000, b"\xff" * 99],
        ids=lambda form: form[:20].decode("latin-1"),
    )
    def test_a_bad_form_is_refused_at_login(self, form: bytes, world: World) -> None:
        content_type = "application/x-www-form-urlencoded"
        response = SurfaceClient(PUBLIC).generic("POST", "/api/v1/auth/login", form, content_type)
        assert response.status_code == 400, response.content
        problem(response, enveloped=False)


class TestConfigs:
    """The deepest and largest of what may be stored (docs/contract.md sections 2 and 13)."""

    @staticmethod
    def places(world: World) -> list[tuple[SurfaceClient, str, str, str | None]]:
        """Where a config is sent: client, method, path, and the member of the body that holds it."""
        public, internal = world.client(PUBLIC), world.client(INTERNAL)
        return [
            (internal, "PUT", f"/api/v2/agents/{world.agent.id}/config", None),
            (internal, "PUT", f"/api/v2/agents/{world.agent.id}", "config"),
            (public, "PUT", f"/api/v1/agents/{world.agent.id}", "config"),
            (public, "PATCH", f"/api/v1/agents/{world.agent.id}", "config"),
            (public, "PUT", f"/api/v1/agents/{world.agent.id}/config", None),
        ]

    @pytest.mark.parametrize("kind", ["object", "list"])
    def test_28_levels_are_stored_and_read_back_unchanged(self, kind: str, world: World) -> None:
        deepest = {f"{kind}s": json.loads(hostile.nested(27, kind)), "text 🤖": ["\x7f", "\u2028", 0.1, -(2**63)]}
        for client, method, path, inside in self.places(world):
            before = {**deepest, "sent": f"{method} {path}"}
            response = client.send(method, path, before if inside is None else {inside: before})
            assert response.status_code == 200, response.content
            read = world.client(INTERNAL).get(f"/api/v2/agents/{world.agent.id}/config").json()["data"]
            assert json.dumps(read) == json.dumps(before)
            assert world.client(PUBLIC).get(f"/api/v1/agents/{world.agent.id}").json()["config"] == before

    @pytest.mark.parametrize("kind", ["object", "list"])
    def test_29_levels_are_refused(self, kind: str, world: World) -> None:
        too_deep = {"any": json.loads(hostile.nested(28, kind))}
        before = tables()
        for client, method, path, inside in self.places(world):
            response = client.send(method, path, too_deep if inside is None else {inside: too_deep})
            assert response.status_code == 400, f"{method} {path}"
            found = problem(response, enveloped="v2" in path)
            assert "28" in json.dumps(found["errors"], ensure_ascii=False)
        assert not changed_tables(before, tables())

    def test_a_config_past_256_kib_is_refused(self, world: World) -> None:
        before = tables()
        for client, method, path, inside in self.places(world):
            too_large = {"any": "é" * (128 * 1024)}
            response = client.send(method, path, too_large if inside is None else {inside: too_large})
            assert response.status_code == 400, f"{method} {path}"
            assert problem(response, enveloped="v2" in path)["code"] == "AGENT_004"
        assert not changed_tables(before, tables())

    def test_no_config_grows_past_256_kib_by_merging(self, world: World) -> None:
        client, method, path, _inside = self.places(world)[0]
        assert client.send(method, path, {"one": "x" * 200_000}).status_code == 200
        before = tables()
        response = client.send(method, path, {"two": "x" * 100_000})
        assert response.status_code == 400
        assert problem(response, enveloped=True)["code"] == "AGENT_004"
        assert not changed_tables(before, tables())


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("2030-01-31T12:00:00", "2030-01-31T12:00:00Z"),
        ("2030-01-31 12:00", "2030-01-31T12:00:00Z"),
        ("2030-01-31T12:00:00.5Z", "2030-01-31T12:00:00.500000Z"),
        ("2030-01-31T12:00:00+05:30", "2030-01-31T06:30:00Z"),
        ("2030-01-01T00:00:00+14:00", "2029-12-31T10:00:00Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
    ],
)
def test_times_at_the_edge_are_read_exactly(sent: str, stored: str, world: World) -> None:
    client, path = world.client(INTERNAL), f"/api/v2/api-keys/{world.key.key.id}"
    assert client.send("PUT", path, {"expires_at": sent}).status_code == 200
    assert client.get(path).json()["data"]["expires_at"] == stored
