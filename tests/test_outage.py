"""The answers of `manage.py serve` while its database or Redis is away, and when it comes back."""

from __future__ import annotations

import select
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from typing import NamedTuple

import httpx
import pytest

from apikeys.keyformat import generate
from core.http.surfaces import INTERNAL, PUBLIC
from tests.support.deployment import own_dependencies
from tests.support.http import get, http_client
from tests.support.instances import WAIT, MariaDB, Redis, frozen, wait_until
from tests.support.server import MaimServer

pytestmark = pytest.mark.heavy

CREDENTIALS = {"username": "alice", "password": "password123"}
JSON = {"Content-Type": "application/json"}


def probe(url: str) -> httpx.Response:
    """Send a request as an orchestrator does, which gives up long before the time-outs of the database."""
    with http_client() as client:
        return client.get(url, timeout=4)


class Deployment(NamedTuple):
    """A server with a database and a Redis of its own, which tests stop."""

    maim: MaimServer
    mariadb: MariaDB
    redis: Redis

    def ready(self) -> tuple[int, dict[str, str]]:
        response = probe(f"{self.maim.internal}/ready")
        return response.status_code, response.json()["services"]

    def health(self) -> list[tuple[int, str]]:
        """Return the status and the state of the database from each surface."""
        found = [probe(f"{url}/health") for url in (self.maim.public, self.maim.internal)]
        return [(response.status_code, response.json()["services"]["database"]) for response in found]


@pytest.fixture(scope="module")
def deployment() -> Iterator[Deployment]:
    with (
        own_dependencies() as dependencies,
        MaimServer(dependencies.directory, "maim_outage", **dependencies.environment()) as maim,
    ):
        yield Deployment(maim, dependencies.mariadb, dependencies.redis)


ALL_HEALTHY = (200, {"api": "healthy", "database": "healthy", "cache": "healthy"})


class TestOutage:
    def test_server_recovers_when_the_database_comes_back(self, deployment: Deployment) -> None:
        maim = deployment.maim
        with maim.client() as public, maim.client("internal") as internal:
            public.post("/api/v1/auth/register", json=CREDENTIALS)
            tokens = public.post("/api/v1/auth/login", json=CREDENTIALS).json()
            public.headers["Authorization"] = f"Bearer {tokens['access_token']}"
            requests = [
                (public, "GET", "/api/v1/agents", None),
                (public, "POST", "/api/v1/agents", {"name": "bot"}),
                (public, "POST", "/api/v1/auth/login", CREDENTIALS),
                (public, "POST", "/api/v1/auth/register", {"username": "bob", "password": "password123"}),
                (public, "GET", "/api/v1/tenants", None),
                (internal, "GET", "/api/v2/tenants", None),
                (internal, "POST", "/api/v2/tenants", {"tenant_name": "x", "tenant_type": "personal"}),
                (
                    internal,
                    "POST",
                    "/api/v2/auth/validate-api-key",
                    {"api_key": generate("tenant_" + "0" * 12, "agent_" + "0" * 12)},
                ),
                (internal, "POST", "/api/v1/usage/log", {"action": "chat"}),
                (internal, "GET", "/api/v1/plugins/settings?tenant_id=x", None),
            ]
            assert deployment.ready() == ALL_HEALTHY

            deployment.mariadb.kill()

            for client, method, path, body in requests:
                response = client.request(method, path, json=body)
                assert response.status_code == 503, (path, response.text)
                assert int(response.headers["Retry-After"]) > 0
                assert response.json().get("error_code", response.json().get("code")) == "SYS_002"
                speaks_v2 = "v2" in path or "usage" in path or "tenants" in path
                assert ("execution_time" in response.json()) == speaks_v2, path
                assert "MySQL" not in response.text
                assert "127.0.0.1" not in response.text
            assert deployment.ready() == (503, {**ALL_HEALTHY[1], "database": "unhealthy"})
            wait_until(lambda: deployment.health() == [(200, "unhealthy")] * 2, "health tells of the database")

            deployment.mariadb.start()

            assert deployment.ready() == ALL_HEALTHY
            wait_until(lambda: deployment.health() == [(200, "healthy")] * 2, "health recovers")
            for client, method, path, body in requests:
                assert client.request(method, path, json=body).status_code in (200, 404), path

    def test_probes_answer_while_requests_wait_for_the_database_in_every_thread(self, deployment: Deployment) -> None:
        maim = deployment.maim
        with maim.client() as public:
            public.post("/api/v1/auth/register", json={**CREDENTIALS, "username": "patient"})
            tokens = public.post("/api/v1/auth/login", json={**CREDENTIALS, "username": "patient"}).json()
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        requests = {
            PUBLIC: (maim.public_port, "/api/v1/agents"),
            INTERNAL: (maim.internal_port, "/api/v2/tenants"),
        }
        with ExitStack() as stack, frozen(deployment.mariadb):
            waiting = []
            for surface, (port, path) in requests.items():
                for _ in range(surface.threads):
                    connection = stack.enter_context(closing(HTTPConnection("127.0.0.1", port, timeout=WAIT)))
                    connection.request("GET", path, headers=headers)
                    waiting.append(connection.sock)

            wait_until(lambda: deployment.health() == [(200, "unhealthy")] * 2, "health tells of the database")
            assert select.select(waiting, [], [], 0)[0] == [], "every request is still waiting"
            for _ in range(3):
                assert deployment.ready() == (503, {**ALL_HEALTHY[1], "database": "unhealthy"})
                assert deployment.health() == [(200, "unhealthy")] * 2

        wait_until(lambda: deployment.health() == [(200, "healthy")] * 2, "health recovers")
        wait_until(lambda: deployment.ready() == ALL_HEALTHY, "the server is ready again")

    def test_probes_that_wait_for_the_database_share_its_answer(self, deployment: Deployment) -> None:
        with frozen(deployment.mariadb), ThreadPoolExecutor(100) as threads:
            found = list(threads.map(lambda _: deployment.ready(), range(100)))

        assert found == [(503, {**ALL_HEALTHY[1], "database": "unhealthy"})] * 100
        wait_until(lambda: deployment.ready() == ALL_HEALTHY, "the server is ready again")

    def test_admin_answers_503_while_the_database_is_away(self, deployment: Deployment) -> None:
        with deployment.maim.client() as client:
            assert client.get("/admin/login/").status_code == 200
            credentials = {**CREDENTIALS, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
            deployment.mariadb.kill()
            try:
                signing_in = client.post("/admin/login/", data=credentials)
                client.cookies.set("sessionid", "x" * 32)
                signed_in = client.get("/admin/")
            finally:
                deployment.mariadb.start()

        for answer in (signing_in, signed_in):
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
            assert "The service is temporarily unavailable, try again shortly" in answer.text

    def test_server_recovers_when_redis_comes_back(self, deployment: Deployment) -> None:
        deployment.redis.kill()

        assert deployment.ready() == (503, {**ALL_HEALTHY[1], "cache": "unhealthy"})
        assert deployment.health() == [(200, "healthy")] * 2
        assert get(f"{deployment.maim.internal}/api/v2/tenants").status_code == 200

        deployment.redis.start()

        assert deployment.ready() == ALL_HEALTHY
