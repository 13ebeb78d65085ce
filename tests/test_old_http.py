"""HTTP as the clients of the replaced services use it, which maim accepts like those services."""

from __future__ import annotations

import json
import socket
from http.client import HTTPResponse
from typing import Any

import pytest

from tests.support.instances import WAIT
from tests.support.old_clients import unique
from tests.support.server import MaimServer
from tests.support.wire import exchange

pytestmark = pytest.mark.embedded

OLD_READS = {
    "public": ("/", "/health", "/api/v1/agents", "/api/v1/system/models", "/api/v1/system/bot-defaults"),
    "internal": (
        "/",
        "/health",
        "/info",
        "/api/v2/tenants",
        "/api/v2/agents?tenant_id={tenant_id}",
        "/api/v2/api-keys?tenant_id={tenant_id}",
        "/api/v2/agent-activity",
        "/api/v2/system/models",
        "/api/v2/system/bot-defaults",
        "/api/v1/plugins/settings?tenant_id={tenant_id}",
    ),
}


def port_of(server: MaimServer, surface: str) -> int:
    return server.public_port if surface == "public" else server.internal_port


@pytest.fixture(scope="module")
def tenant_id(server: MaimServer) -> str:
    body = {"tenant_name": unique("http"), "tenant_type": "enterprise"}
    created: str = exchange(server.internal_port, "POST", "/api/v2/tenants", body=body).json["data"]["id"]
    return created


@pytest.fixture(scope="module")
def bearer(server: MaimServer) -> dict[str, str]:
    person = {"username": "speaker_of_http", "password": "a password of before"}
    exchange(server.public_port, "POST", "/api/v1/auth/register", body=person)
    tokens = exchange(server.public_port, "POST", "/api/v1/auth/login", body=person).json
    return {"Authorization": f"Bearer {tokens['access_token']}"}


def send(port: int, head: str, body: bytes = b"", *, wait_to_send: bool = False) -> tuple[int, Any]:
    """Send a request in bytes, and return the status and the JSON of the response.

    With `wait_to_send`, send the body after the interim response.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n")
        if wait_to_send:
            assert connection.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        response = HTTPResponse(connection)
        response.begin()
        return response.status, json.loads(response.read())


@pytest.mark.parametrize("surface", ["public", "internal"])
def test_old_path_is_served_with_and_without_a_slash_for_get_and_head(
    server: MaimServer, bearer: dict[str, str], tenant_id: str, surface: str
) -> None:
    port = port_of(server, surface)
    for target in OLD_READS[surface]:
        path, _, query = target.format(tenant_id=tenant_id).partition("?")
        plain = exchange(port, "GET", f"{path}?{query}", headers=bearer)
        slash = exchange(port, "GET", f"{path.rstrip('/')}/?{query}", headers=bearer)
        head = exchange(port, "HEAD", f"{path}?{query}", headers=bearer)

        assert (plain.status, slash.status, head.status) == (200, 200, 200), target
        assert plain.json.keys() == slash.json.keys() if isinstance(plain.json, dict) else plain.json == slash.json
        assert head.body == b"", target
        assert head.headers["Content-Type"] == plain.headers["Content-Type"], target


class TestMediaTypes:
    """FastAPI parsed a body as JSON without a Content-Type, as `application/json` and as `application/…+json`."""

    @pytest.fixture(params=["public v1", "public v2", "internal v2", "internal v1", "login", "fast path"])
    def target(
        self, request: pytest.FixtureRequest, server: MaimServer, bearer: dict[str, str], tenant_id: str
    ) -> tuple[int, str, dict[str, Any]]:
        person = {"username": "speaker_of_http", "password": "a password of before"}
        tenant = {"tenant_name": unique("http"), "tenant_type": "enterprise"}
        plugin = {"plugin_name": "dice", "enabled": True, "config": {}}
        public, internal = server.public_port, server.internal_port
        targets: dict[str, tuple[int, str, dict[str, Any]]] = {
            "public v1": (public, "/api/v1/agents", {"name": unique("http")}),
            "public v2": (public, "/api/v1/tenants", tenant),
            "internal v2": (internal, "/api/v2/tenants", tenant),
            "internal v1": (internal, f"/api/v1/plugins/settings?tenant_id={tenant_id}", plugin),
            "login": (public, "/api/v1/auth/login", person),
            "fast path": (internal, "/api/v2/auth/validate-api-key", {"api_key": "mmc_none"}),
        }
        return targets[request.param]

    @pytest.mark.parametrize(
        "header",
        [
            "",
            "Content-Type:\n",
            "Content-Type: application/json\n",
            "Content-Type: application/json; charset=utf-8\n",
            "content-type: Application/JSON;charset=UTF-8\n",
            "Content-Type: application/vnd.api+json\n",
            "Content-Type: application/merge-patch+json; charset=utf-8\n",
        ],
    )
    def test_json_is_accepted(
        self, target: tuple[int, str, dict[str, Any]], bearer: dict[str, str], header: str
    ) -> None:
        port, path, body = target
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\nHost: 127.0.0.1\nAccept: */*\nAuthorization: {bearer['Authorization']}\n"

        status, _response = send(port, f"{head}{header}Content-Length: {len(content)}", content)

        assert status == 200, _response

    @pytest.mark.parametrize("media_type", ["text/plain", "text/json", "application/jsonp", "image/svg+json", "json"])
    def test_other_types_are_refused(
        self, target: tuple[int, str, dict[str, Any]], bearer: dict[str, str], media_type: str
    ) -> None:
        port, path, body = target

        response = exchange(port, "POST", path, body=body, headers={**bearer, "Content-Type": media_type})

        assert (response.status, response.code) == (415, "UNSUPPORTED_MEDIA_TYPE")


class TestVersionsOfHTTP:
    BODY = json.dumps({"api_key": "mmc_none"}).encode()
    REQUEST = "POST /api/v2/auth/validate-api-key HTTP/{version}\nContent-Type: application/json\n{headers}"

    @pytest.mark.parametrize(
        ("version", "headers"),
        [
            ("1.0", "Host: 127.0.0.1\n"),
            ("1.0", "Host: 127.0.0.1\nConnection: keep-alive\n"),
            ("1.0", ""),
            ("1.1", "Host: 127.0.0.1\nConnection: close\n"),
            ("1.1", "Host: 127.0.0.1\nAccept: text/html\nAccept-Encoding: gzip, deflate, br\n"),
        ],
    )
    def test_key_is_verified_in_any_version(self, server: MaimServer, version: str, headers: str) -> None:
        head = self.REQUEST.format(version=version, headers=headers) + f"Content-Length: {len(self.BODY)}"

        status, response = send(server.internal_port, head, self.BODY)

        assert (status, response["data"]) == (200, {"valid": False, "code": "AUTH_001"})

    @pytest.mark.parametrize("path", ["/", "/health", "/info", "/api/v2/tenants"])
    def test_read_without_a_host_is_allowed(self, server: MaimServer, path: str) -> None:
        assert send(server.internal_port, f"GET {path} HTTP/1.0")[0] == 200

    @pytest.mark.parametrize("path", ["/", "/health", "/docs"])
    def test_public_read_without_a_host_is_answered(self, server: MaimServer, path: str) -> None:
        with socket.create_connection(("127.0.0.1", server.public_port), timeout=WAIT) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())

            assert connection.recv(4096).split(b" ")[1] == b"200"

    @pytest.mark.parametrize("header", ["Origin: https://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site"])
    def test_browser_without_a_host_is_refused(self, server: MaimServer, header: str) -> None:
        status, response = send(server.internal_port, f"GET /api/v2/tenants HTTP/1.0\n{header}")

        assert (status, response["error_code"]) == (403, "FORBIDDEN")

    @pytest.mark.parametrize(
        ("head", "status"),
        [("GET /api/v2/tenants HTTP/1.1", 400), ("GET /api/v2/tenants HTTP/1.0\nHost: evil.example", 403)],
    )
    def test_other_request_without_a_private_host_is_refused(self, server: MaimServer, head: str, status: int) -> None:
        assert send(server.internal_port, head)[0] == status

    @pytest.mark.parametrize("surface", ["public", "internal"])
    def test_body_is_read_after_100_continue(self, server: MaimServer, surface: str) -> None:
        body = json.dumps({"username": "nobody", "password": "x", "api_key": "mmc_none"}).encode()
        path = "/api/v1/auth/login" if surface == "public" else "/api/v2/auth/validate-api-key"
        head = f"POST {path} HTTP/1.1\nHost: localhost\nContent-Type: application/json\nExpect: 100-continue\n"

        status, _response = send(
            port_of(server, surface), f"{head}Content-Length: {len(body)}", body, wait_to_send=True
        )

        assert status == (400 if surface == "public" else 200)
