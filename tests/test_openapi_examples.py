"""The examples in the OpenAPI documents, which people send from the documentation's page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from core.http.docs import document
from core.http.surfaces import INTERNAL, PUBLIC, SURFACES, Surface
from maim.openapi_examples import VALUES
from tests.support.client import SurfaceClient
from tests.support.people import PASSWORD, Person, make_agent, make_key
from tests.support.routes import fill

pytestmark = pytest.mark.embedded
JSON = "application/json"
IDS = ("tenant_id", "agent_id")
KNOWS_SECRET = (
    *("/api/v1/auth/login", "/api/v1/auth/password"),
    *("/api/v1/auth/password/reset", "/api/v1/auth/email/verify", "/api/v1/auth/oidc/link"),
    *("/api/v1/auth/factors/totp", "/api/v1/auth/factors/totp/remove", "/api/v1/auth/factors/recovery-codes"),
    *("/api/v1/auth/factors/passkeys", "/api/v1/auth/factors/passkeys/confirm", "/api/v1/auth/passkey"),
    "/api/v1/auth/factors/passkeys/{passkey_id}/remove",
    "/api/v1/auth/me/close",
    "/api/v1/auth/tokens",
    *("/api/v1/invitations/accept", "/api/v1/invitations/show"),
    "/api/v1/api-keys/report-leaked",
)


def as_json_schema(node: Any) -> Any:
    """Return a schema of OpenAPI 3.0 as one of JSON Schema, which has no `nullable`."""
    if isinstance(node, list):
        return [as_json_schema(each) for each in node]
    if not isinstance(node, dict):
        return node
    schema = {key: as_json_schema(value) for key, value in node.items() if key not in ("nullable", "example")}
    return {"anyOf": [schema, {"type": "null"}]} if node.get("nullable") is True else schema


def bodies(surface: Surface) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the JSON bodies of all requests and successful responses."""
    for path, methods in document(surface)["paths"].items():
        for method, operation in methods.items():
            title = f"{method.upper()} {path}"
            if JSON in (request := operation.get("requestBody", {}).get("content", {})):
                yield f"request of {title}", request[JSON]
            for status, response in operation["responses"].items():
                if int(status) < 300 and JSON in response.get("content", {}):
                    yield f"{status} of {title}", response["content"][JSON]


def ids_in_query(operation: dict[str, Any]) -> list[str]:
    """Return the names of the query parameters that are ids."""
    return [each["name"] for each in operation.get("parameters", []) if each["in"] == "query" and each["name"] in IDS]


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
def test_each_body_has_an_example_of_its_schema(surface: Surface) -> None:
    components = {"components": as_json_schema(document(surface)["components"])}

    for title, media in bodies(surface):
        schema = {**components, **as_json_schema(media["schema"])}
        problems = [error.message for error in Draft202012Validator(schema).iter_errors(media["example"])]
        assert not problems, title


def test_table_has_only_names_of_the_documents() -> None:
    """A name that nothing has would hide a misspelt one."""
    names = {
        name
        for surface in SURFACES
        for component, schema in document(surface)["components"]["schemas"].items()
        for key in schema.get("properties", {})
        for name in (key, f"{component}.{key}")
    }

    assert sorted(set(VALUES) - names) == []


@pytest.mark.django_db
def test_server_accepts_each_request(alice: Person) -> None:
    """Sent as they are, the examples may name nobody or nothing that is there, but are never wrong."""
    agent = make_agent(alice.tenant)
    ids = {"tenant_id": alice.tenant.id, "agent_id": agent.id, "key_id": make_key(agent).key.id}
    refused = {}

    for surface, client in ((PUBLIC, alice.client), (INTERNAL, SurfaceClient(INTERNAL))):
        for path, methods in document(surface)["paths"].items():
            for method, operation in methods.items():
                media = operation.get("requestBody", {}).get("content", {}).get(JSON)
                if media is not None and path not in KNOWS_SECRET:
                    query = "&".join(f"{name}={ids[name]}" for name in ids_in_query(operation))
                    response = getattr(client, method)(
                        f"{fill(path, **ids)}?{query}", media["example"], content_type=JSON
                    )
                    if response.status_code == 400:
                        refused[f"{method} {path}"] = response.content.decode()

    assert refused == {}


@pytest.mark.django_db
def test_authorize_button_gets_a_token(alice: Person) -> None:
    scheme = document(PUBLIC)["components"]["securitySchemes"]["signIn"]["flows"]["password"]
    form = {"grant_type": "password", "username": "alice", "password": PASSWORD}
    # Swagger UI sends the client's name, which is empty, as a basic header.
    client = SurfaceClient(PUBLIC)

    token = client.post(scheme["tokenUrl"], form, HTTP_AUTHORIZATION="Basic Og==").json()["access_token"]

    assert client.get("/api/v1/auth/me", HTTP_AUTHORIZATION=f"Bearer {token}").json()["username"] == "alice"
