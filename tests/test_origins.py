"""Browsers' origins (CORS), HTTPS, rules about Host, and client addresses behind proxies."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.instances import WAIT
from tests.support.routes import METHODS
from tests.support.server import MaimServer
from tests.support.wire import Response, exchange

pytestmark = pytest.mark.single

CONSOLE = "https://console.example.com"
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MaimServer]:
    """A server behind a proxy, with a console on another origin."""
    environment = {
        "MAIM_CORS_ORIGINS": CONSOLE,
        "MAIM_PUBLIC_URL": "https://maim.example.com",
        "MAIM_INTERNAL_HOSTS": "bots.example.org",
        "MAIM_TRUSTED_PROXIES": "127.0.0.1/32",
    }
    with MaimServer(tmp_path_factory.mktemp("configured"), "maim_configured", **environment) as running:
        yield running


# ---- HTTPS


def test_browser_that_came_by_https_comes_by_nothing_else(configured: MaimServer) -> None:
    for path in ("/", "/api/v1/auth/me", "/admin/login/"):
        response = exchange(configured.public_port, "GET", path, headers={"X-Forwarded-Proto": "https"})
        assert response.headers["Strict-Transport-Security"] == f"max-age={30 * 24 * 3600}", path
        assert "Strict-Transport-Security" not in exchange(configured.public_port, "GET", path).headers


# ---- CORS

ALLOWED_HEADERS = {
    "authorization",
    "content-type",
    "if-match",
    "if-none-match",
    "idempotency-key",
    "prefer",
    "x-request-id",
}
EXPOSED_HEADERS = {
    "x-total-count",
    "x-next-cursor",
    "x-config-warnings",
    "x-ignored-fields",
    "preference-applied",
    "etag",
    "x-request-id",
    "retry-after",
}


def cors_headers(response: Response) -> set[str]:
    return {name.lower() for name in response.headers if name.lower().startswith("access-control-")}


def preflight(port: int, origin: str, path: str = "/api/v1/agents") -> Response:
    preflight_response = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,x-evil",
    }
    return exchange(port, "OPTIONS", path, headers={"Origin": origin, **preflight_response})


def test_configured_origin_may_send_exactly_the_listed_headers(configured: MaimServer) -> None:
    response = preflight(configured.public_port, CONSOLE)

    assert response.status == 200
    assert response.headers["Access-Control-Allow-Origin"] == CONSOLE
    assert response.header_values("Access-Control-Allow-Headers") == ALLOWED_HEADERS
    assert response.header_values("Access-Control-Allow-Methods") == {
        method.lower() for method in (*METHODS, "OPTIONS")
    }
    assert "access-control-allow-credentials" not in cors_headers(response)
    assert "origin" in response.header_values("Vary")


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "/health", None, 200),
        ("GET", "/api/v1/agents", None, 401),
        ("GET", "/api/v1/nothing", None, 404),
        ("GET", "/api/v1/auth/login", None, 405),
        ("POST", "/api/v1/auth/login", b" " * (MIB + 1), 413),
    ],
)
def test_configured_origin_may_read_every_response(
    configured: MaimServer, method: str, path: str, content: bytes | None, status: int
) -> None:
    response = exchange(configured.public_port, method, path, content=content, headers={"Origin": CONSOLE})

    assert response.status == status
    assert response.headers["Access-Control-Allow-Origin"] == CONSOLE
    assert response.header_values("Access-Control-Expose-Headers") == EXPOSED_HEADERS


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example.com", "http://console.example.com", f"{CONSOLE}:8443", f"{CONSOLE}.evil.com", "null"],
)
def test_other_origin_may_read_nothing(configured: MaimServer, origin: str) -> None:
    actual = exchange(configured.public_port, "GET", "/health", headers={"Origin": origin})

    assert cors_headers(preflight(configured.public_port, origin)) == set()
    assert cors_headers(actual) == set()


def test_no_origin_is_allowed_by_default(server: MaimServer) -> None:
    assert cors_headers(preflight(server.public_port, CONSOLE)) == set()


def test_admin_allows_no_other_origin(configured: MaimServer) -> None:
    response = exchange(configured.public_port, "GET", "/admin/login/", headers={"Origin": CONSOLE})

    assert (response.status, cors_headers(response)) == (200, set())


def test_internal_surface_sends_no_cors_headers(configured: MaimServer) -> None:
    for path in ("/api/v2/tenants", "/health"):
        preflight_response = preflight(configured.internal_port, CONSOLE, path)
        actual = exchange(configured.internal_port, "GET", path, headers={"Origin": CONSOLE})
        for response in (preflight_response, actual):
            assert (response.status, response.code, cors_headers(response)) == (403, "FORBIDDEN", set())


# ---- the internal surface's host and origin


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:8000",
        "10.1.2.3:8000",
        "[::1]:8000",
        "[fd00::1]",
        "localhost",
        "LOCALHOST:8000",
        "maim",
        "maim:8000",
        "maim_internal",
        "bots.example.org",
        "Bots.Example.org:8000",
    ],
)
def test_private_host_is_allowed(configured: MaimServer, host: str) -> None:
    assert exchange(configured.internal_port, "GET", "/api/v2/tenants", host=host).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example.com",
        "evil.example.com:8000",
        "127.0.0.1.evil.example.com",
        "127.0.0.1.nip.io",
        "localhost.evil.example.com",
        "other.bots.example.org",
        "bots.example.org.evil.example.com",
        "maim.example.com",  # the host of the public surface
        "evil.example.com@localhost",
        "localhost#.evil.example.com",
        "evil.example.com.",
        "",
    ],
)
def test_public_host_is_refused(configured: MaimServer, host: str) -> None:
    """DNS rebinding makes a browser's request same-origin, so only Host reveals it."""
    headers = {"Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"} if host else {}
    response = exchange(configured.internal_port, "GET", "/api/v2/tenants", host=host, headers=headers)

    assert (response.status, response.code, response.is_envelope) == (403, "FORBIDDEN", True)
    assert response.json["data"] is None


def test_host_that_is_not_configured_is_refused(server: MaimServer) -> None:
    assert exchange(server.internal_port, "GET", "/api/v2/tenants", host="bots.example.org").status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example.com"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "http://localhost:{port}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
def test_request_from_another_origin_is_refused(server: MaimServer, headers: dict[str, str]) -> None:
    port = server.internal_port
    formatted_headers = {name: value.format(port=port) for name, value in headers.items()}
    body = {"tenant_name": "From a foreign page", "tenant_type": "enterprise"}
    # A form or script can send this as a simple request, without a preflight.
    response = exchange(port, "POST", "/api/v2/tenants", host=f"127.0.0.1:{port}", headers=formatted_headers, body=body)

    assert (response.status, response.code, response.is_envelope) == (403, "FORBIDDEN", True)
    listed = exchange(port, "GET", "/api/v2/tenants?size=100").json["data"]["items"]
    assert body["tenant_name"] not in {tenant["tenant_name"] for tenant in listed}


@pytest.mark.parametrize("fetch_site", [None, "same-origin", "none"])
def test_request_from_the_surfaces_own_pages_is_allowed(server: MaimServer, fetch_site: str | None) -> None:
    """The API pages at /docs send requests to the endpoints."""
    host = f"127.0.0.1:{server.internal_port}"
    headers = {"Origin": f"http://{host}"} | ({"Sec-Fetch-Site": fetch_site} if fetch_site else {})

    assert exchange(server.internal_port, "GET", "/api/v2/tenants", host=host, headers=headers).status == 200


# ---- the public surface's host


@pytest.mark.parametrize("host", ["maim.example.com", "MAIM.example.com:443", "localhost:8880", "127.0.0.1", "[::1]"])
def test_public_url_and_localhost_are_allowed(configured: MaimServer, host: str) -> None:
    assert exchange(configured.public_port, "GET", "/", host=host).status == 200


@pytest.mark.parametrize("host", ["other.example.com", "maim.example.com.evil.com", "10.1.2.3", "maim", ""])
def test_other_host_is_refused_with_a_public_url(configured: MaimServer, host: str) -> None:
    response = exchange(configured.public_port, "GET", "/", host=host)

    assert (response.status, response.code, response.is_plain_error) == (403, "FORBIDDEN", True)


@pytest.mark.parametrize("host", ["any.example.com", "10.1.2.3:8880"])
def test_any_host_is_allowed_without_a_public_url(server: MaimServer, host: str) -> None:
    assert exchange(server.public_port, "GET", "/", host=host).status == 200


# ---- no host, two hosts, and the probes, which look at none

UNREADABLE_HOSTS: dict[str, dict[str, Any]] = {
    "none": {"host": None},
    "two": {"headers": {"Host": "127.0.0.2"}},
    "the same twice": {"headers": {"Host": "127.0.0.1"}},
}


@pytest.mark.parametrize("hosts", UNREADABLE_HOSTS)
@pytest.mark.parametrize("path", ["/", "/api/v1/plugins/settings", "/api/v1/nothing", "/api/v2/agents"])
def test_request_must_name_one_host(server: MaimServer, hosts: str, path: str) -> None:
    for port in (server.public_port, server.internal_port):
        answer = exchange(port, "GET", path, **UNREADABLE_HOSTS[hosts])

        assert (answer.status, answer.code) == (400, "VALIDATION_ERROR")


def test_verification_must_name_one_host(server: MaimServer) -> None:
    for sent in UNREADABLE_HOSTS.values():
        answer = exchange(server.internal_port, "POST", "/api/v2/auth/validate-api-key", body={"api_key": "x"}, **sent)

        assert (answer.status, answer.code, answer.is_envelope) == (400, "VALIDATION_ERROR", True)


@pytest.mark.parametrize(
    "sent", [*UNREADABLE_HOSTS.values(), {"host": "10.1.2.3:8880"}, {"host": "evil.example.com"}, {"host": ""}], ids=str
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_probe_is_answered_whatever_its_host(configured: MaimServer, method: str, sent: dict[str, Any]) -> None:
    """A kubelet sends the address of the pod, and knows nothing of MAIM_PUBLIC_URL."""
    ports = [
        (configured.public_port, "/health"),
        (configured.internal_port, "/health"),
        (configured.internal_port, "/ready"),
    ]
    for port, path in ports:
        for end in ("", "/", "?verbose=1"):
            assert exchange(port, method, path + end, **sent).status == 200, path


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_plain_check_of_a_load_balancer_is_answered(configured: MaimServer, version: str) -> None:
    """HAProxy's `option httpchk` sends this and takes any 2xx or 3xx for up."""
    for port in (configured.public_port, configured.internal_port):
        with socket.create_connection(("127.0.0.1", port), timeout=WAIT) as connection:
            connection.sendall(f"OPTIONS / HTTP/{version}\r\n\r\n".encode())

            assert connection.recv(4096).split(b" ")[1] == b"204"


def test_page_of_another_site_is_refused_at_the_internal_probes(server: MaimServer) -> None:
    for path in ("/health", "/ready"):
        answer = exchange(server.internal_port, "GET", path, headers={"Origin": "https://evil.example.com"})

        assert (answer.status, answer.code) == (403, "FORBIDDEN")


# ---- the client's address

FORWARDED = {
    "one-hop": ("203.0.113.9", "203.0.113.9"),
    "spoofed-left-end": ("6.6.6.6, 203.0.113.9", "203.0.113.9"),
    "two-trusted-hops": ("203.0.113.9, 127.0.0.1", "203.0.113.9"),
    "ipv6": ("2001:db8::1", "2001:db8::1"),
    "with-a-port": ("203.0.113.9:4711", "203.0.113.9"),
    "ipv6-with-a-port": ("[2001:db8::5]:99", "2001:db8::5"),
    "ipv6-in-brackets": ("[2001:DB8::5]", "2001:db8::5"),
    "trusted-hop-with-a-port": ("203.0.113.9, 127.0.0.1:8080", "203.0.113.9"),
    "ipv4-as-ipv6": ("::ffff:203.0.113.9", "203.0.113.9"),
    "trusted-hop-as-ipv6": ("203.0.113.9, ::ffff:127.0.0.1", "203.0.113.9"),
    "scope-id": (f"fe80::1%{'x' * 3000}", "fe80::1"),
    "scope-id-and-port": ("[fe80::1%eth0]:99", "fe80::1"),
    "spoofed-left-end-that-is-not-ascii": ("\xff, 203.0.113.9", "203.0.113.9"),
    "port-of-nothing": (":4711", "127.0.0.1"),
    "nonsense": ("nonsense", "127.0.0.1"),
    "none": ("", "127.0.0.1"),
}


def audited_addresses(server: MaimServer) -> dict[str, str]:
    """Send one request with each forwarding header, and return the audited addresses by request id."""
    for name, (forwarded, _expected) in FORWARDED.items():
        created = exchange(
            server.internal_port,
            "POST",
            "/api/v2/tenants",
            headers={"X-Forwarded-For": forwarded, "X-Request-ID": f"forwarded-{name}"},
            body={"tenant_name": f"forwarded {name}", "tenant_type": "enterprise"},
        )
        assert created.status == 200
    query = "AuditEntry.objects.filter(request_id__startswith='forwarded-').values_list('request_id', 'address')"
    script = f"import json; from core.models import AuditEntry; print(json.dumps(dict({query})))"
    found: dict[str, str] = json.loads(server.manage("shell", "-v0", "-c", script))
    return {name.removeprefix("forwarded-"): address for name, address in found.items()}


def test_forwarded_address_of_a_trusted_proxy_is_used(configured: MaimServer) -> None:
    expected = {name: address for name, (_forwarded, address) in FORWARDED.items()}

    assert audited_addresses(configured) == expected


def test_forwarded_address_of_another_peer_is_ignored(server: MaimServer) -> None:
    assert audited_addresses(server) == dict.fromkeys(FORWARDED, "127.0.0.1")


@pytest.mark.parametrize("name", ["X_Forwarded_For", "x_forwarded-for"])
def test_forwarded_address_with_underscores_is_ignored(configured: MaimServer, name: str) -> None:
    """CGI has one variable for both spellings; a proxy sets or removes only the one with hyphens."""
    account = {"username": name.lower(), "password": "password123"}
    request_id = f"underscores-{name}"
    made = exchange(
        configured.public_port,
        "POST",
        "/api/v1/auth/register",
        headers={"X-Forwarded-For": "203.0.113.9", name: "6.6.6.6", "X-Request-ID": request_id},
        body=account,
    )

    assert made.status == 200
    query = f"AuditEntry.objects.filter(request_id='{request_id}').values_list('address', flat=True)"
    script = f"import json; from core.models import AuditEntry; print(json.dumps(list(set({query}))))"
    assert json.loads(configured.manage("shell", "-v0", "-c", script)) == ["203.0.113.9"]
