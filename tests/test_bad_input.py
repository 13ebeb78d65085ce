"""Malformed requests, each of which gets an error in the surface's own shape, without a partial change.

The requests are made from the OpenAPI documents, so that a new field or parameter is tested as soon as it exists. The
tables are compared once for each endpoint.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from accounts import services as accounts
from accounts.models import EmailToken
from agents.models import Agent, Template
from agents.services import templates
from apikeys.services import IssuedKey
from core.http.surfaces import INTERNAL, PUBLIC, SURFACES, Surface
from tests.permission_matrix import BODIES
from tests.support import bad_input
from tests.support.bad_input import JSON, Operation, operations
from tests.support.client import SurfaceClient
from tests.support.copies import Original
from tests.support.factors import values_for
from tests.support.invitations import invite, invited_token
from tests.support.mail import invitation_to, new_token
from tests.support.oidc import Provider, request_values
from tests.support.people import (
    OPERATOR,
    PASSWORD,
    Person,
    give_up_tenants,
    join,
    make_agent,
    make_key,
    register,
    see_everybody,
)
from tests.support.routes import Route, all_routes, fill, fill_value, methods_of
from tests.support.tables import unchanged_tables
from tests.support.tokens import TOKENS

pytestmark = pytest.mark.single
T = TypeVar("T")

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
OPERATIONS = operations()
WITH_BODY = [operation for operation in OPERATIONS if operation.has_body]
WITH_QUERY = [operation for operation in OPERATIONS if operation.query]
SIGNED_IN = [each for each in OPERATIONS if each.surface == PUBLIC and "security" in each.operation]
WITH_PARAMETERS = [route for route in all_routes() if "{" in route.path]
# The links whose token an endpoint takes.
PURPOSES = {
    "/api/v1/auth/password/reset": EmailToken.Purpose.RESET,
    "/api/v1/auth/email/verify": EmailToken.Purpose.VERIFY,
}
# Those that take the token of an invitation.
INVITED = ("/api/v1/invitations/show", "/api/v1/invitations/accept")


@dataclass(frozen=True)
class Data:
    """Alice, Bob who is a member of her tenant, her agent, its key and her template, for well-formed requests."""

    alice: Person
    bob: Person
    agent: Agent
    key: IssuedKey
    template: Template
    invitation_id: str
    inviter: Person

    def client(self, surface: Surface) -> SurfaceClient:
        return SurfaceClient(surface, self.alice.token if surface == PUBLIC else None)

    def path(self, template: str) -> str:
        return fill(
            template,
            tenant_id=self.agent.tenant_id,
            user_id=self.bob.user.id,
            agent_id=self.agent.id,
            key_id=self.key.key.id,
            template_id=self.template.id,
            invitation_id=self.invitation_id,
            provider="acme",
            number="1",
        )

    def url(self, operation: Operation) -> str:
        """Return the path with the required query parameters."""
        query = [
            f"{name}={self.value(name, {})}"
            for name, it in operation.query.items()
            if it.get("required") or (name == "tenant_id" and operation.path == "/api/v2/agents/import")
        ]
        path = operation.path
        if "{passkey_id}" in path or "{token_id}" in path:
            path = fill(path, **values_for(self.alice.user, path))
        return self.path(path) + ("?" + "&".join(query) if query else "")

    def body(self, operation: Operation) -> dict[str, Any]:
        """Return a body that the endpoint accepts, with every field that it knows."""
        body = {name: self.value(name, schema) for name, schema in operation.fields.items()}
        if operation.path == "/api/v2/templates":
            del body["tenant_id"]  # only templates without a tenant may have a chosen id
        if operation.path == "/api/v1/auth/me/close":
            give_up_tenants(self.alice)
        if operation.path == TOKENS:
            del body["expires_in"]  # which says the same as `expires_at`
            body["expires_at"] = values_for(self.alice.user, TOKENS)["token_expiry"]
        if operation.path in INVITED:
            body["token"] = invited_token(self.inviter.user, self.inviter.tenant, self.alice.user)
        if operation.path in PURPOSES:
            body["token"] = new_token(self.alice.user, PURPOSES[operation.path])
        body |= self.factor(operation)
        known = request_values(operation.path, self.alice.user)
        body |= {name: known[name] for name in body if name in known}
        return {**body, "username": "newcomer 🤖"} if operation.path.endswith("/register") else body

    def factor(self, operation: Operation) -> dict[str, Any]:
        """Return what the request is about factors, if it is."""
        values = values_for(self.alice.user, operation.path)
        body = BODIES.get(f"POST {operation.path}", {}) if values else {}
        return {name: fill_value(value, **values) for name, value in body.items()}

    def value(self, name: str, schema: dict[str, Any]) -> Any:
        known: dict[str, Callable[[], Any]] = {
            "tenant_id": lambda: self.agent.tenant_id,
            "agent_id": lambda: self.agent.id,
            "owner_id": lambda: self.alice.user.id,
            "user_id": lambda: self.bob.user.id,
            "api_key": lambda: self.key.secret,
            "username": lambda: self.alice.user.username,
            "password": lambda: PASSWORD,
            "old_password": lambda: PASSWORD,
            "new_password": lambda: PASSWORD,
            "email": lambda: "someone@example.org",
            "invitation": lambda: invitation_to("someone@example.org"),
            "refresh_token": lambda: accounts.sign_in(actor=OPERATOR, user=self.alice.user).refresh,
            "rate_limit": lambda: {"limit": 60, "window_seconds": 60},
            "limits": lambda: {"agents": 100},
            "requires_mfa": lambda: False,  # the sender has no second factor
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


def make_data() -> Data:
    """Create the objects for well-formed requests."""
    alice, bob = register("alice"), register("bob")
    join(bob, alice.tenant)
    agent = make_agent(alice.tenant)
    template = templates.create_template(actor=OPERATOR, tenant=alice.tenant, name="template")
    invitation_id = invite(alice.user, alice.tenant).id
    return Data(alice, bob, agent, make_key(agent), template, invitation_id, register("ivan"))


@pytest.fixture(scope="module")
def module_data(module_transaction: None, oidc_provider: Provider) -> Original[Data]:
    return Original(make_data())


@pytest.fixture
def data(module_data: Original[Data], db: None) -> Data:
    see_everybody()
    return module_data.copy()


def error_of(response: Any, *, enveloped: bool) -> dict[str, Any]:
    """Return the `code` and `errors` of an error, which must have exactly the right shape."""
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


def third(cases: Iterable[T], operation: Operation) -> list[T]:
    """Return a third of the cases, and of three endpoints each another, because the same code refuses them for all."""
    return list(cases)[OPERATIONS.index(operation) % 3 :: 3]


def is_enveloped(route: Route) -> bool:
    """Return whether the errors of a route have v2's envelope."""
    shapes = {str(operation): operation.is_enveloped for operation in OPERATIONS}
    return shapes.get(str(route), False)


@pytest.mark.parametrize("operation", WITH_BODY, ids=str)
class TestBodies:
    def test_field_of_a_wrong_type_is_rejected(self, operation: Operation, data: Data) -> None:
        client, url, valid = data.client(operation.surface), data.url(operation), data.body(operation)
        with unchanged_tables():
            for name, schema in operation.fields.items():
                for value in bad_input.wrong_values(schema, required=name in operation.required):
                    response = client.send(operation.method, url, {**valid, name: value})
                    case = f"{name} = {value!r:.80}"
                    assert response.status_code == 400, f"{case}: {response.status_code} {response.content!r:.300}"
                    found = error_of(response, enveloped=operation.is_enveloped)
                    assert found["code"] in ("VALIDATION_ERROR", "KEY_005"), case
                    assert any(key.split(".")[0] == name for key in found["errors"] or {name: []}), (case, found)

    def test_missing_required_field_is_rejected(self, operation: Operation, data: Data) -> None:
        client, url, valid = data.client(operation.surface), data.url(operation), data.body(operation)
        with unchanged_tables():
            for name in operation.required:
                response = client.send(operation.method, url, {key: valid[key] for key in valid if key != name})
                assert response.status_code == 400, name
                assert name in error_of(response, enveloped=operation.is_enveloped)["errors"]

    def test_body_that_is_no_json_object_is_rejected(self, operation: Operation, data: Data) -> None:
        client, url = data.client(operation.surface), data.url(operation)
        with unchanged_tables():
            for title, body in third(bad_input.BODIES.items(), operation):
                response = client.generic(operation.method, url, body, JSON)
                assert response.status_code == 400, f"{title}: {response.status_code} {response.content!r:.300}"
                assert error_of(response, enveloped=operation.is_enveloped)["errors"], title

    def test_other_media_type_is_rejected(self, operation: Operation, data: Data) -> None:
        client, url = data.client(operation.surface), data.url(operation)
        valid = json.dumps(data.body(operation)).encode()
        with unchanged_tables():
            forms = () if "login" in operation.path else bad_input.FORM_TYPES
            for content_type in third((*bad_input.CONTENT_TYPES, *forms), operation):
                response = client.generic(operation.method, url, valid, content_type)
                assert response.status_code == 415, f"{content_type:.60}: {response.status_code}"
                assert error_of(response, enveloped=operation.is_enveloped)["code"] == "UNSUPPORTED_MEDIA_TYPE"

    def test_body_over_one_mebibyte_is_rejected(self, operation: Operation, data: Data) -> None:
        client, url, valid = data.client(operation.surface), data.url(operation), data.body(operation)
        with unchanged_tables():
            response = client.send(operation.method, url, {**valid, "unknown": bad_input.TOO_LONG})
            assert response.status_code == 413
            assert error_of(response, enveloped=operation.is_enveloped)["code"] == "PAYLOAD_TOO_LARGE"

    def test_valid_body_is_accepted_and_its_text_is_returned(self, operation: Operation, data: Data) -> None:
        """This also shows that each error above was about the wrong value."""
        valid = data.body(operation)
        response = data.client(operation.surface).send(operation.method, data.url(operation), valid)
        assert response.status_code in (200, 202, 204), response.content
        body = response.json() if response.content else {}
        returned = body.get("data", body)
        for name in [name for name in valid if name in returned and isinstance(valid[name], str | list | dict)]:
            if name not in ("expires_at", "timestamp", "api_key", "refresh_token", "items"):
                assert returned[name] == valid[name], name

    def test_text_of_full_length_is_accepted(self, operation: Operation, data: Data) -> None:
        """The length is counted in characters, and every database stores them all."""
        valid = data.body(operation)
        lengths = {name: schema["maxLength"] for name, schema in operation.fields.items() if "maxLength" in schema}
        longest = {name: "🤖" * length for name, length in lengths.items() if valid.get(name) == "text 🤖"}
        response = data.client(operation.surface).send(operation.method, data.url(operation), {**valid, **longest})
        assert response.status_code in (200, 202, 204), response.content
        body = response.json() if response.content else {}
        returned = body.get("data", body)
        assert {name: returned[name] for name in longest if name in returned} == {
            name: longest[name] for name in longest if name in returned
        }


@pytest.mark.parametrize("operation", WITH_QUERY, ids=str)
class TestQueries:
    def test_invalid_query_parameter_is_rejected(self, operation: Operation, data: Data) -> None:
        client, url = data.client(operation.surface), data.url(operation)
        valid = data.body(operation) if operation.has_body else None
        with unchanged_tables():
            for name, parameter in operation.query.items():
                for value in bad_input.wrong_parameters(parameter["schema"]):
                    # The last of two parameters with the same name counts.
                    response = client.send(operation.method, f"{url}{'&' if '?' in url else '?'}{name}={value}", valid)
                    case = f"{name}={value:.60}"
                    assert response.status_code == 400, f"{case}: {response.status_code} {response.content!r:.300}"
                    assert list(error_of(response, enveloped=operation.is_enveloped)["errors"]) == [name], case

    def test_garbage_in_the_query_causes_no_server_error(self, operation: Operation, data: Data) -> None:
        client, path = data.client(operation.surface), data.path(operation.path)
        valid = data.body(operation) if operation.has_body else None
        names = "".join(f"&{name}=%ff%fe" for name in operation.query)
        shared = ("%", "&&&=", "=", "%00=%00", "%ff=%ff", "a" * 50_000, "a&" * 5000, "page[]=1")
        for query in (names, *third(shared, operation)):
            response = client.send(operation.method, f"{path}?{query}", valid)
            assert response.status_code < 500, f"{query:.60}: {response.content!r:.300}"
            if response.status_code >= 400:
                error_of(response, enveloped=operation.is_enveloped)

    def test_page_after_the_last_is_empty(self, operation: Operation, data: Data) -> None:
        far = {"page": 2**31 - 1, "skip": 2**31 - 1}
        sent = [f"{name}={value}" for name, value in far.items() if name in operation.query]
        for parameter in sent:
            url = data.url(operation)
            response = data.client(operation.surface).get(f"{url}{'&' if '?' in url else '?'}{parameter}")
            assert response.status_code == 200
            found = response.json()
            assert (found if isinstance(found, list) else found["data"]["items"]) == []


@pytest.mark.parametrize("route", WITH_PARAMETERS, ids=str)
def test_garbage_in_the_path_gets_404(route: Route, data: Data) -> None:
    surface = next(surface for surface in SURFACES if surface.name == route.surface)
    client = data.client(surface)
    operation = next(each for each in OPERATIONS if str(each) == str(route))
    valid = data.body(operation) if operation.has_body else None
    with unchanged_tables():
        for name in ("tenant_id", "agent_id", "key_id", "template_id", "number"):
            for title, segment in bad_input.SEGMENTS.items():
                path = data.path(route.path.replace(f"{{{name}}}", segment))
                if f"{{{name}}}" in route.path:
                    response = client.send(route.method, path, valid)
                    assert response.status_code == 404, f"{title}: {response.status_code} {response.content!r:.300}"
                    error_of(response, enveloped=operation.is_enveloped)


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
class TestMethods:
    def test_wrong_method_gets_405_with_the_allowed_ones(self, surface: Surface, data: Data) -> None:
        client = data.client(surface)
        with unchanged_tables():
            for template, allowed in methods_of(surface).items():
                defined = {*allowed, *(["HEAD"] if "GET" in allowed else [])}
                known = {
                    "GET",
                    "HEAD",
                    "POST",
                    "PUT",
                    "PATCH",
                    "DELETE",
                    "OPTIONS",
                    "TRACE",
                    "CONNECT",
                    "PROPFIND",
                    "BREW",
                }
                for method in sorted(known - defined):
                    response = client.send(method, data.path(template))
                    assert response.status_code == 405, f"{method} {template}: {response.status_code}"
                    assert set(response["Allow"].split(", ")) - {"HEAD"} == set(allowed), f"{method} {template}"
                    if method != "HEAD":
                        route = Route(surface.name, template, allowed[0])
                        assert error_of(response, enveloped=is_enveloped(route))["code"] == "METHOD_NOT_ALLOWED"

    def test_unknown_path_gets_404(self, surface: Surface, data: Data) -> None:
        client = data.client(surface)
        for path in ("/x", "/api", "/api/", "/api/v1", "/api/v3/tenants", "/%00", "/%ff", "/..", "/x" * 5000):
            response = client.send("GET", path)
            assert response.status_code == 404, path
            error_of(response, enveloped=surface == INTERNAL)

    def test_garbage_in_headers_causes_no_server_error(self, surface: Surface, data: Data) -> None:
        client = data.client(surface)
        garbage = ("", "\x00", "\xff", "http://[", "null", "x" * 20_000, "%00", "-1", "🤖".encode().decode("latin-1"))
        names = ("ORIGIN", "HOST", "ACCEPT", "ACCEPT_LANGUAGE", "ACCEPT_ENCODING", "COOKIE", "REFERER", "X_REQUEST_ID")
        others = ("X_FORWARDED_FOR", "X_FORWARDED_PROTO", "IF_MATCH", "IF_NONE_MATCH", "RANGE", "TRANSFER_ENCODING")
        for name in (*names, *others, "SEC_FETCH_SITE"):
            for value in garbage:
                response = client.send("GET", "/health", **{f"HTTP_{name}": value})
                assert response.status_code in (200, 403), f"{name}: {value:.60}: {response.content!r:.300}"
        for length in ("", "x", "-1", "1e3", "\xff"):
            response = client.generic("POST", data.path("/api/v1/plugins/settings"), b"{}", JSON, CONTENT_LENGTH=length)
            assert response.status_code == 400, length


class TestTokens:
    @pytest.mark.parametrize("title", bad_input.AUTHORIZATIONS)
    def test_malformed_authorization_gets_401(self, title: str, data: Data) -> None:
        """Send each header to a third of the endpoints, because all share one authenticator."""
        client = SurfaceClient(PUBLIC)
        with unchanged_tables():
            for operation in SIGNED_IN[list(bad_input.AUTHORIZATIONS).index(title) % 3 :: 3]:
                response = client.send(
                    operation.method, data.path(operation.path), {}, HTTP_AUTHORIZATION=bad_input.AUTHORIZATIONS[title]
                )
                assert response.status_code == 401, f"{operation}: {response.content!r:.300}"
                assert response["WWW-Authenticate"] == "Bearer"
                error_of(response, enveloped=operation.is_enveloped)

    @pytest.mark.parametrize("title", bad_input.AUTHORIZATIONS)
    @pytest.mark.parametrize("path", ["/api/v1/auth/refresh", "/api/v1/auth/logout"])
    def test_malformed_refresh_token_is_rejected(self, path: str, title: str, data: Data) -> None:
        token = bad_input.AUTHORIZATIONS[title].removeprefix("Bearer ")[:4096]
        response = SurfaceClient(PUBLIC).send("POST", path, {"refresh_token": token})
        assert response.status_code in (400, 401), response.content
        error_of(response, enveloped=False)


class TestForms:
    @pytest.mark.parametrize(
        "form",
        [b"", b"&", b"=", b"%", b"username=%00&password=x", b"username=%ff&password=%ff", b"x=1&" * 5000, b"\xff" * 99],
        ids=lambda form: form[:20].decode("latin-1"),
    )
    def test_malformed_form_is_rejected_at_login(self, form: bytes, data: Data) -> None:
        content_type = "application/x-www-form-urlencoded"
        response = SurfaceClient(PUBLIC).generic("POST", "/api/v1/auth/login", form, content_type)
        assert response.status_code == 400, response.content
        error_of(response, enveloped=False)


class TestConfigs:
    """The deepest and largest configs that may be stored (docs/contract.md sections 2 and 13)."""

    @staticmethod
    def config_endpoints(data: Data) -> list[tuple[SurfaceClient, str, str, str | None]]:
        """Return the requests that send a config: client, method, path, and the field of the body for it."""
        public, internal = data.client(PUBLIC), data.client(INTERNAL)
        return [
            (internal, "PUT", f"/api/v2/agents/{data.agent.id}/config", None),
            (internal, "PUT", f"/api/v2/agents/{data.agent.id}", "config"),
            (public, "PUT", f"/api/v1/agents/{data.agent.id}", "config"),
            (public, "PATCH", f"/api/v1/agents/{data.agent.id}", "config"),
            (public, "PUT", f"/api/v1/agents/{data.agent.id}/config", None),
        ]

    @pytest.mark.parametrize("kind", ["object", "list"])
    def test_28_levels_are_stored_and_read_back_unchanged(self, kind: str, data: Data) -> None:
        deepest = {f"{kind}s": json.loads(bad_input.nested(27, kind)), "text 🤖": ["\x7f", "\u2028", 0.1, -(2**63)]}
        for client, method, path, inside in self.config_endpoints(data):
            before = {**deepest, "sent": f"{method} {path}"}
            response = client.send(method, path, before if inside is None else {inside: before})
            assert response.status_code == 200, response.content
            read = data.client(INTERNAL).get(f"/api/v2/agents/{data.agent.id}/config").json()["data"]
            assert json.dumps(read) == json.dumps(before)
            assert data.client(PUBLIC).get(f"/api/v1/agents/{data.agent.id}").json()["config"] == before

    @pytest.mark.parametrize("kind", ["object", "list"])
    def test_29_levels_are_rejected(self, kind: str, data: Data) -> None:
        too_deep = {"any": json.loads(bad_input.nested(28, kind))}
        with unchanged_tables():
            for client, method, path, inside in self.config_endpoints(data):
                response = client.send(method, path, too_deep if inside is None else {inside: too_deep})
                assert response.status_code == 400, f"{method} {path}"
                found = error_of(response, enveloped="v2" in path)
                assert "28" in json.dumps(found["errors"], ensure_ascii=False)

    def test_config_over_256_kib_is_rejected(self, data: Data) -> None:
        with unchanged_tables():
            for client, method, path, inside in self.config_endpoints(data):
                too_large = {"any": "é" * (128 * 1024)}
                response = client.send(method, path, too_large if inside is None else {inside: too_large})
                assert response.status_code == 400, f"{method} {path}"
                assert error_of(response, enveloped="v2" in path)["code"] == "AGENT_004"

    def test_merged_config_over_256_kib_is_rejected(self, data: Data) -> None:
        client, method, path, _inside = self.config_endpoints(data)[0]
        assert client.send(method, path, {"one": "x" * 200_000}).status_code == 200
        with unchanged_tables():
            response = client.send(method, path, {"two": "x" * 100_000})
            assert response.status_code == 400
            assert error_of(response, enveloped=True)["code"] == "AGENT_004"


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
def test_times_at_the_limits_are_stored_exactly(sent: str, stored: str, data: Data) -> None:
    client, path = data.client(INTERNAL), f"/api/v2/api-keys/{data.key.key.id}"
    assert client.send("PUT", path, {"expires_at": sent}).status_code == 200
    assert client.get(path).json()["data"]["expires_at"] == stored
