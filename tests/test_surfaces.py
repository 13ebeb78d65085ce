"""The two surfaces over real sockets: separation by port, limits on requests, and errors."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from core.http.surfaces import INTERNAL, PUBLIC, SURFACES
from tests.support.instances import wait_until
from tests.support.routes import fill, methods_of, routes
from tests.support.server import MaimServer
from tests.support.wire import Response, exchange

pytestmark = pytest.mark.embedded

MIB = 1024 * 1024
PUBLIC_PATHS, INTERNAL_PATHS = methods_of(PUBLIC), methods_of(INTERNAL)


@pytest.fixture(scope="module")
def bearer(server: MaimServer) -> dict[str, str]:
    """The Authorization header of a new user on the shared server."""
    account = {"username": "surfaces", "password": "password123"}
    exchange(server.public_port, "POST", "/api/v1/auth/register", body=account)
    tokens = exchange(server.public_port, "POST", "/api/v1/auth/login", body=account).json
    return {"Authorization": f"Bearer {tokens['access_token']}"}


# ---- the port decides


def test_internal_path_is_404_on_the_public_port(server: MaimServer, bearer: dict[str, str]) -> None:
    for path in INTERNAL_PATHS.keys() - PUBLIC_PATHS.keys():
        for headers in ({}, bearer):
            response = exchange(server.public_port, "GET", fill(path), headers=headers)
            assert (response.status, response.code, response.is_plain_error) == (404, "NOT_FOUND", True), path


def test_public_path_is_404_on_the_internal_port(server: MaimServer, bearer: dict[str, str]) -> None:
    for path in [*(PUBLIC_PATHS.keys() - INTERNAL_PATHS.keys()), "/admin/", "/admin/login/"]:
        for headers in ({}, bearer):
            response = exchange(server.internal_port, "GET", fill(path), headers=headers)
            assert (response.status, response.code, response.is_envelope) == (404, "NOT_FOUND", True), path


def test_shared_paths_are_exactly_these() -> None:
    assert PUBLIC_PATHS.keys() & INTERNAL_PATHS.keys() == {
        "/",
        "/favicon.ico",
        "/health",
        "/docs",
        "/api/v1/plugins/settings",
    }


def test_shared_path_is_served_by_both_surfaces(server: MaimServer) -> None:
    """The internal surface requires a tenant, the public one a token."""
    assert exchange(server.internal_port, "GET", "/api/v1/plugins/settings").status == 400
    assert exchange(server.public_port, "GET", "/api/v1/plugins/settings").status == 401


def test_only_the_admin_uses_cookies(server: MaimServer) -> None:
    """The API ignores the admin's cookies."""
    cookies = {"Cookie": f"csrftoken={'c' * 32}; sessionid={'s' * 32}"}

    assert "csrftoken=" in exchange(server.public_port, "GET", "/admin/login/").headers["set-cookie"]
    for path in ("/", "/docs", "/api/v1/agents", "/api/v1/nothing"):
        response = exchange(server.public_port, "GET", path, headers=cookies)
        assert "set-cookie" not in response.headers, path
        assert "cookie" not in response.headers.get("vary", "").lower(), path


@pytest.mark.parametrize(
    "claim",
    [
        {"X-Forwarded-Host": "x:{other}"},
        {"X-Forwarded-Port": "{other}"},
        {"X-Forwarded-Server": "internal"},
        {"Forwarded": 'host="x:{other}";proto=http'},
        {"X-Original-URL": "/api/v2/tenants", "X-Rewrite-URL": "/api/v2/tenants"},
        {"Server-Port": "{other}", "Server_Port": "{other}"},
    ],
    ids=lambda claim: next(iter(claim)),
)
def test_no_header_makes_the_public_port_internal(server: MaimServer, claim: dict[str, str]) -> None:
    other = server.internal_port
    headers = {name: value.format(other=other) for name, value in claim.items()}
    for host in ("x", f"x:{other}", f"127.0.0.1:{other}", "localhost:8000"):
        response = exchange(server.public_port, "GET", "/api/v2/tenants", host=host, headers=headers)
        assert (response.status, response.is_plain_error) == (404, True), host


@pytest.mark.parametrize("target", ["http://127.0.0.1:{other}/api/v2/tenants", "//127.0.0.1:{other}/api/v2/tenants"])
def test_no_request_line_makes_the_public_port_internal(server: MaimServer, target: str) -> None:
    other = server.internal_port
    response = exchange(server.public_port, "GET", target.format(other=other), host=f"127.0.0.1:{other}")

    assert response.status == 404


def test_no_header_makes_the_internal_port_public(server: MaimServer, bearer: dict[str, str]) -> None:
    other = server.public_port
    for host in (f"localhost:{other}", f"127.0.0.1:{other}"):
        headers = {**bearer, "X-Forwarded-Host": host, "X-Forwarded-Port": str(other)}
        response = exchange(server.internal_port, "GET", "/api/v1/agents", host=host, headers=headers)
        assert (response.status, response.is_envelope) == (404, True)


def test_other_port_serves_nothing() -> None:
    from maim.wsgi import application  # sets Django up, which pytest has already done

    responses: list[str] = []
    body = application(
        {"SERVER_PORT": "1", "REQUEST_METHOD": "GET", "PATH_INFO": "/health"},
        lambda status, headers: responses.append(status),
    )

    assert (responses, b"".join(body)) == (["404 Not Found"], b"")


@pytest.mark.parametrize("command", ["serve", "check"])
def test_two_surfaces_on_one_port_stop_the_start(server: MaimServer, command: str) -> None:
    port = server.public_port
    with pytest.raises(subprocess.CalledProcessError) as failure:
        server.manage(command, MAIM_PUBLIC_BIND=f"127.0.0.1:{port}", MAIM_INTERNAL_BIND=f"127.0.0.2:{port}")

    error = failure.value.stderr
    assert error.count("MAIM_PUBLIC_BIND and MAIM_INTERNAL_BIND: must differ in their port") == 1
    assert "Traceback" not in error


# ---- trailing slashes


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
def test_trailing_slash_is_optional(surface: Any, server: MaimServer, bearer: dict[str, str]) -> None:
    """Requests have unknown ids and invalid bodies, so that nothing changes."""
    port = server.public_port if surface == PUBLIC else server.internal_port
    nowhere = exchange(port, "GET", "/api/nowhere", headers=bearer)
    for route in routes(surface):
        if route.path == "/":
            continue
        content = None if route.method in ("GET", "DELETE") else b'{"plugin_name": 1, "persona": 1, "api_key": 1}'
        without, with_slash = (
            exchange(port, route.method, fill(route.path) + end, headers=bearer, content=content) for end in ("", "/")
        )
        assert with_slash.status == without.status, route
        assert not 300 <= with_slash.status < 400, route
        assert with_slash.headers["Content-Type"] == without.headers["Content-Type"], route
        if without.status >= 400:
            assert without.message != nowhere.message, f"{route} is not served at all"
            assert with_slash.code == without.code, route


def test_body_is_read_with_a_trailing_slash(server: MaimServer, bearer: dict[str, str]) -> None:
    generated = exchange(server.public_port, "POST", "/api/v1/agents/", headers=bearer, body={"name": "with a slash"})
    found = exchange(server.public_port, "GET", f"/api/v1/agents/{generated.json['id']}/", headers=bearer)

    assert (generated.status, found.json["name"]) == (200, "with a slash")


# ---- bodies


def test_chunked_body_is_read(server: MaimServer, bearer: dict[str, str]) -> None:
    agent = {"name": "chunked", "description": "x" * 2000}
    tenant = {"tenant_name": "Chunked", "tenant_type": "enterprise"}

    public = exchange(server.public_port, "POST", "/api/v1/agents", headers=bearer, chunked=True, body=agent)
    internal = exchange(server.internal_port, "POST", "/api/v2/tenants", chunked=True, body=tenant)

    assert (public.status, public.json["description"]) == (200, agent["description"])
    assert (internal.status, internal.json["data"]["tenant_name"]) == (200, "Chunked")


@pytest.mark.parametrize("chunked", [False, True], ids=["plain", "chunked"])
def test_body_of_more_than_one_mib_is_413(server: MaimServer, chunked: bool) -> None:
    body = json.dumps({"api_key": "x"}).encode()
    enough, too_much = (body + b" " * (size - len(body)) for size in (MIB, MIB + 1))
    for port, path, enveloped in (
        (server.internal_port, "/api/v2/auth/parse-api-key", True),
        (server.public_port, "/api/v1/auth/refresh", False),
        (server.public_port, "/api/v1/tenants", True),
    ):
        accepted = exchange(port, "POST", path, content=enough, chunked=chunked)
        refused = exchange(port, "POST", path, content=too_much, chunked=chunked)

        assert accepted.status in (200, 400, 401), path
        assert (refused.status, refused.code) == (413, "PAYLOAD_TOO_LARGE"), path
        assert refused.is_envelope if enveloped else refused.is_plain_error, path


# ---- errors in the surface's own shape


def send_request(server: MaimServer, request: str, **options: Any) -> Response:
    """Send `<surface> <method> <path>`."""
    surface, method, path = request.split(" ")
    return exchange(getattr(server, f"{surface}_port"), method, path, **options)


@pytest.mark.parametrize(
    ("request_line", "enveloped"),
    [
        ("public GET /nothing", False),
        ("public GET /api/v1/nothing", False),
        ("public GET /api/v2/tenants", False),
        ("public GET /api/v1/tenants/a/b", True),
        ("public GET /api/v1/api-keys/a/b/c", True),
        ("internal GET /nothing", True),
        ("internal GET /api/v2/nothing", True),
        ("internal GET /api/v1/agents", True),
        ("internal GET /admin/", True),
    ],
)
def test_unknown_path_is_404(server: MaimServer, request_line: str, enveloped: bool) -> None:
    response = send_request(server, request_line)

    assert (response.status, response.code) == (404, "NOT_FOUND")
    assert response.is_envelope if enveloped else response.is_plain_error


@pytest.mark.parametrize(
    ("request_line", "allowed", "enveloped"),
    [
        ("public DELETE /api/v1/agents", {"get", "head", "post"}, False),
        ("public GET /api/v1/auth/login", {"post"}, False),
        ("public OPTIONS /api/v1/auth/login", {"post"}, False),
        ("public PATCH /api/v1/tenants/x", {"get", "head", "put", "delete"}, True),
        ("public GET /api/v1/api-keys/x/disable", {"post"}, True),
        ("internal PATCH /api/v2/agents", {"get", "head", "post"}, True),
        ("internal GET /api/v1/usage/log", {"post"}, True),
        ("internal OPTIONS /api/v2/agents", {"get", "head", "post"}, True),
    ],
)
def test_unknown_method_is_405(
    server: MaimServer, bearer: dict[str, str], request_line: str, allowed: set[str], enveloped: bool
) -> None:
    response = send_request(server, request_line, headers=bearer)

    assert (response.status, response.code) == (405, "METHOD_NOT_ALLOWED")
    assert response.header_values("Allow") == allowed
    assert response.is_envelope if enveloped else response.is_plain_error


@pytest.mark.parametrize(
    ("request_line", "enveloped"),
    [
        ("public POST /api/v1/auth/register", False),
        ("public POST /api/v1/tenants", True),
        ("internal POST /api/v2/tenants", True),
        ("internal POST /api/v1/usage/log", True),
    ],
)
def test_other_media_type_is_415(
    server: MaimServer, bearer: dict[str, str], request_line: str, enveloped: bool
) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json"):
        headers = {**bearer, "Content-Type": content_type}
        response = send_request(server, request_line, headers=headers, content=b'{"action": "x"}')

        assert (response.status, response.code) == (415, "UNSUPPORTED_MEDIA_TYPE"), content_type
        assert response.is_envelope if enveloped else response.is_plain_error


# ---- the request id


@pytest.mark.parametrize("request_id", ["a", "Aa0._-" * 10, "x" * 64])
def test_valid_request_id_is_kept_everywhere(server: MaimServer, request_id: str) -> None:
    response = exchange(server.internal_port, "GET", "/api/v2/tenants", headers={"X-Request-ID": request_id})

    assert response.headers["X-Request-ID"] == response.json["request_id"] == request_id
    wait_until(lambda: f"[{request_id}] GET /api/v2/tenants 200" in server.log, "its log line")


@pytest.mark.parametrize(
    "request_id", [None, "", "x" * 65, "a b", "ключ".encode().decode("latin-1"), "a\tb", "<script>"]
)
def test_invalid_request_id_is_replaced_everywhere(server: MaimServer, request_id: str | None) -> None:
    headers = {} if request_id is None else {"X-Request-ID": request_id}
    response = exchange(server.internal_port, "GET", "/api/v2/tenants/nothing", headers=headers)

    generated = response.json["request_id"]
    assert generated.startswith("req_")
    assert response.headers["X-Request-ID"] == generated
    wait_until(lambda: f"[{generated}] GET /api/v2/tenants/nothing 404" in server.log, "its log line")


@pytest.mark.parametrize(("surface", "path"), [("public", "/health"), ("public", "/nothing"), ("internal", "/nothing")])
def test_every_response_has_its_request_id(server: MaimServer, surface: str, path: str) -> None:
    response = exchange(getattr(server, f"{surface}_port"), "GET", path, headers={"X-Request-ID": "mine"})

    assert response.headers["X-Request-ID"] == "mine"
