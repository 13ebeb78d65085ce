"""The OpenAPI documents, which are complete, correct, committed, and shown without other hosts.

After an intended change: run `make openapi` and read the difference.
"""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.validation import validate_schema

from core.http.docs import document
from core.http.surfaces import INTERNAL, PUBLIC, SURFACES, Surface
from tests.support.client import SurfaceClient
from tests.support.envelope import ENVELOPE
from tests.support.routes import routes
from tests.support.server import MaimServer

pytestmark = pytest.mark.embedded

SNAPSHOTS = Path(__file__).resolve().parent.parent / "docs/openapi"
THROTTLED = "auth/(register|login|(password|email)(/.+)?|oidc/.+|identities/.+/.+)$|PATCH .*auth/me$"
PAGES = {
    "/account/accept-invitation",
    "/account/join-tenant",
    "/account/reset-password",
    "/account/verify-email",
    "/favicon.ico",
    "/docs",
    "/redoc",
    "/openapi.json",
    "/api/v1/openapi.json",
}
# Errors with members of their own.
OWN_SHAPES = {
    ("GET /ready", "503"),
    ("POST /api/v1/auth/login", "403"),
    ("POST /api/v1/auth/oidc/{provider}/finish", "403"),
    ("POST /api/v1/auth/oidc/link", "403"),
    ("POST /api/v1/auth/me/close", "409"),
}

on_each_surface = pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)


def operations(surface: Surface) -> dict[str, dict[str, Any]]:
    """Return the document's operations by `METHOD /path`, with the shared responses in place of references."""
    shared = document(surface)["components"]["responses"]
    return {
        f"{method.upper()} {path}": {
            **operation,
            "responses": {
                status: shared[response["$ref"].rpartition("/")[2]] if "$ref" in response else response
                for status, response in operation["responses"].items()
            },
        }
        for path, methods in document(surface)["paths"].items()
        for method, operation in methods.items()
    }


@on_each_surface
class TestDocument:
    def test_document_matches_the_committed_one(self, surface: Surface, write_snapshots: bool) -> None:
        snapshot = SNAPSHOTS / f"{surface.name}.json"
        text = json.dumps(document(surface), indent=2, ensure_ascii=False) + "\n"
        if write_snapshots:
            snapshot.write_text(text, encoding="utf-8")
        assert snapshot.read_text(encoding="utf-8") == text, "if the change is meant, run: make openapi"

    def test_document_is_generated_without_warnings_and_is_valid(self, surface: Surface) -> None:
        document.cache_clear()
        generated = document(surface)
        assert not GENERATOR_STATS._warn_cache
        assert not GENERATOR_STATS._error_cache
        validate_schema(generated)  # type: ignore[no-untyped-call]  # untyped in the library

    def test_document_has_exactly_the_served_routes(self, surface: Surface) -> None:
        served = {f"{route.method} {route.path}" for route in routes(surface) if route.path not in PAGES}
        assert set(operations(surface)) == served

    def test_document_is_served(self, surface: Surface) -> None:
        path = "/api/v1/openapi.json" if surface == PUBLIC else "/openapi.json"
        response = SurfaceClient(surface).get(path)
        assert response.json() == document(surface)

    def test_document_has_titles_summaries_and_tags(self, surface: Surface) -> None:
        info = document(surface)["info"]
        assert surface.name in info["title"]
        assert info["description"].endswith(".")
        assert all(operation["summary"] and operation["tags"] for operation in operations(surface).values())

    def test_operation_ids_are_unique_names(self, surface: Surface) -> None:
        ids = [operation["operationId"] for operation in operations(surface).values()]
        assert len(set(ids)) == len(ids)
        assert all(re.fullmatch("(get|post|put|patch|delete)([A-Z][a-z0-9]+)+", id) for id in ids)

    def test_path_parameters_are_described(self, surface: Surface) -> None:
        for title, operation in operations(surface).items():
            described = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"}
            assert described == set(re.findall(r"{(\w+)}", title)), title

    def test_errors_have_the_shape_of_their_surface(self, surface: Surface) -> None:
        for title, operation in operations(surface).items():
            enveloped = re.search("/v2/|/usage/|/v1/tenants|/v1/api-keys", title)
            expected = "ErrorEnvelope" if enveloped else "ErrorResponse"
            for status, response in operation["responses"].items():
                if int(status) >= 400 and (title, status) not in OWN_SHAPES:
                    shape = response["content"]["application/json"]["schema"]["$ref"]
                    assert shape == f"#/components/schemas/{expected}", (title, status)

    def test_errors_are_declared_only_where_they_can_happen(self, surface: Surface) -> None:
        for title, operation in operations(surface).items():
            declared = {int(status) for status in operation["responses"]}
            has_body = "requestBody" in operation
            assert 422 not in declared
            assert 403 in declared, title
            assert {413, 415} <= declared if has_body else not {413, 415} & declared, title
            assert ("security" in operation) <= ({401, 503} <= declared), title
            throttled = (
                r"POST .*auth/(register|login|mfa|passkey|(password|email)(/.+)?|(factors|oidc)/.+|identities/.+/.+)$"
                r"|PATCH .*auth/me$|POST .*auth/(me/close|tokens)$|POST .*/invitations(/show|/accept)?$"
                r"|POST .*/v1/api-keys/report-leaked$"
            )
            assert (429 in declared) == bool(re.search(throttled, title)), title
            if "{" in title:
                assert 404 in declared, title
            for status in {429, 503} & declared:
                assert "Retry-After" in operation["responses"][str(status)]["headers"], title

    def test_envelopes_have_nine_required_keys_in_order(self, surface: Surface) -> None:
        schemas = document(surface)["components"]["schemas"]
        envelopes = {name: schema for name, schema in schemas.items() if name.endswith("Envelope")}
        assert len(envelopes) > 5
        for name, schema in envelopes.items():
            assert list(schema["properties"]) == ENVELOPE, name
            assert sorted(schema["required"]) == sorted(ENVELOPE), name

    def test_document_has_no_text_for_developers(self, surface: Surface) -> None:
        text = json.dumps(document(surface))
        assert not re.search(r"contract\.md|decisions/|clearable|x-spec|\bpk\b", text)


@on_each_surface
def test_errors_stand_in_the_document_once(surface: Surface) -> None:
    named = [
        reference
        for methods in document(surface)["paths"].values()
        for operation in methods.values()
        for status, response in operation["responses"].items()
        if int(status) >= 400 and (reference := response.get("$ref"))
    ]

    assert len(document(surface)["components"]["responses"]) < len(named) / 10
    assert len({json.dumps(each) for each in document(surface)["components"]["responses"].values()}) == len(set(named))


def test_only_public_operations_that_need_a_token_declare_one() -> None:
    assert "securitySchemes" not in document(INTERNAL)["components"]
    assert not [title for title, operation in operations(INTERNAL).items() if "security" in operation]
    open_to_all = {title for title, operation in operations(PUBLIC).items() if "security" not in operation}
    names = (
        "register",
        "login",
        "mfa",
        "passkey",
        "passkey/options",
        "refresh",
        "logout",
        "password/forgot",
        "password/reset",
        "email/verify",
    )
    by_provider = ("oidc/{provider}/start", "oidc/{provider}/finish", "oidc/link")
    signing_in = {f"POST /api/v1/auth/{name}" for name in (*names, *by_provider)}
    others = {"GET /", "GET /health", "GET /api/v1/auth/oidc", "POST /api/v1/invitations/show"}
    assert open_to_all == others | signing_in


class _References(HTMLParser):
    """A parser of the URLs that a page loads: scripts, styles, images, and the document that it shows."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline_scripts = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = [value for name, value in attrs if name in ("src", "href", "data-document") and value]
        self.found += values
        self.inline_scripts += tag == "script" and not values


@pytest.mark.parametrize(("surface", "path"), [("public", "/docs"), ("internal", "/docs"), ("internal", "/redoc")])
class TestPages:
    def test_page_loads_only_files_of_this_server(self, server: MaimServer, surface: str, path: str) -> None:
        with server.client(surface) as client:
            page = client.get(path)
            assert page.status_code == 200
            references = _References(page.text).found
            assert len(references) >= 4
            for reference in references:
                assert not urlsplit(reference).netloc
                loaded = client.get(urljoin(path, reference))
                assert loaded.status_code == 200, reference
                assert loaded.content
                kinds = {"js": "javascript", "css": "css", "svg": "image/svg+xml", "json": "application/json"}
                assert kinds[reference.rpartition(".")[2]] in loaded.headers["Content-Type"], reference
                if reference.endswith(".css"):
                    assert not re.search(r"url\(['\"]?(https?:)?//", loaded.text)

    def test_page_mentions_no_other_host(self, server: MaimServer, surface: str, path: str) -> None:
        with server.client(surface) as client:
            assert not re.findall(r"(?:https?:)?//[\w.]", client.get(path).text)

    def test_content_security_policy_forbids_other_hosts(self, server: MaimServer, surface: str, path: str) -> None:
        """The pages' code would load a logo from another host, which this policy prevents."""
        with server.client(surface) as client:
            page = client.get(path)
        directives = dict(
            directive.strip().split(" ", 1) for directive in page.headers["Content-Security-Policy"].split(";")
        )
        assert directives["default-src"] == "'none'"
        assert directives["script-src"] == directives["connect-src"] == "'self'"
        sources = {source for sources in directives.values() for source in sources.split()}
        assert sources <= {"'none'", "'self'", "'unsafe-inline'", "data:", "blob:"}
        assert not _References(page.text).inline_scripts
