"""Concurrent requests over real sockets, which leave unique names, no lost updates and no orphans."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any

import httpx
import jwt
import pytest

from tests.support.instances import wait_until
from tests.support.server import MaimServer

PASSWORD = "password123"
_numbers = itertools.count(1)
SendRequest = Callable[[], httpx.Response]


@pytest.fixture
def v1(server: MaimServer) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture
def v2(server: MaimServer) -> Iterator[httpx.Client]:
    with server.client("internal") as client:
        yield client


@pytest.fixture
def tenant_id(v2: httpx.Client) -> str:
    return create_tenant(v2)


@pytest.fixture
def agent_id(v2: httpx.Client, tenant_id: str) -> str:
    return create_agent(v2, tenant_id)


def unique(name: str) -> str:
    """Return a name that no other test on the shared server uses."""
    return f"{name} {next(_numbers)}"


def create_tenant(v2: httpx.Client, name: str | None = None) -> str:
    body = {"tenant_name": name or unique("tenant"), "tenant_type": "enterprise"}
    created: str = v2.post("/api/v2/tenants", json=body).json()["data"]["id"]
    return created


def create_agent(v2: httpx.Client, tenant_id: str) -> str:
    body = {"tenant_id": tenant_id, "name": unique("agent")}
    created: str = v2.post("/api/v2/agents", json=body).json()["data"]["id"]
    return created


def newest_tenants(v2: httpx.Client, suffix: str) -> list[dict[str, Any]]:
    """Return the tenants with this suffix among the hundred newest ones."""
    items = v2.get("/api/v2/tenants", params={"size": 100}).json()["data"]["items"]
    return [item for item in items if item["tenant_name"].endswith(suffix)]


def send_at_once(requests: Sequence[SendRequest]) -> list[httpx.Response]:
    """Send all requests at once, and return their responses in order."""
    start = Barrier(len(requests))

    def run(send: SendRequest) -> httpx.Response:
        start.wait()
        return send()

    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(run, requests))


def post_requests(client: httpx.Client, path: str, bodies: Sequence[Any]) -> list[SendRequest]:
    return [partial(client.post, path, json=body) for body in bodies]


def statuses(responses: Sequence[httpx.Response]) -> Counter[int]:
    return Counter(response.status_code for response in responses)


def assert_one_won(responses: Sequence[httpx.Response], status: int, code: str) -> httpx.Response:
    """Return the one successful response. Assert that all others are errors about a taken name."""
    assert statuses(responses) == {200: 1, status: len(responses) - 1}
    for rejected in (response for response in responses if response.status_code != 200):
        assert rejected.json().get("error_code", rejected.json().get("code")) == code
    return next(response for response in responses if response.status_code == 200)


# These are one name (docs/contract.md section 7): case is folded, and accents are normalized.
SPELLINGS = ("Caf\u00e9 Straße", "Cafe\u0301 Straße", "CAF\u00c9 STRASSE", "cafe\u0301 strasse")


class TestUniqueNames:
    def test_one_of_several_tenants_gets_the_name(self, v2: httpx.Client) -> None:
        suffix = unique("")
        bodies = [{"tenant_name": name + suffix, "tenant_type": "personal"} for name in SPELLINGS * 5]

        responses = send_at_once(post_requests(v2, "/api/v2/tenants", bodies))

        winner = assert_one_won(responses, 409, "TENANT_002")
        assert [tenant["id"] for tenant in newest_tenants(v2, suffix)] == [winner.json()["data"]["id"]]

    def test_one_of_several_agents_gets_the_name(self, v2: httpx.Client, tenant_id: str) -> None:
        bodies = [{"tenant_id": tenant_id, "name": name} for name in SPELLINGS * 5]

        responses = send_at_once(post_requests(v2, "/api/v2/agents", bodies))

        winner = assert_one_won(responses, 409, "AGENT_002")
        agents = v2.get("/api/v2/agents", params={"tenant_id": tenant_id}).json()["data"]
        assert agents["items"] == [winner.json()["data"]]
        alive = v2.get("/api/v2/agent-activity", params={"tenant_id": tenant_id}).json()["data"]
        assert alive["count"] == 1

    def test_one_of_several_keys_in_a_tenant_gets_the_name(self, v2: httpx.Client, tenant_id: str) -> None:
        agents = itertools.cycle([create_agent(v2, tenant_id) for _ in range(3)])
        bodies = [{"tenant_id": tenant_id, "agent_id": next(agents), "name": name} for name in SPELLINGS * 5]

        responses = send_at_once(post_requests(v2, "/api/v2/api-keys", bodies))

        winner = assert_one_won(responses, 409, "KEY_002")
        items = v2.get("/api/v2/api-keys", params={"tenant_id": tenant_id}).json()["data"]["items"]
        assert [item["api_key_id"] for item in items] == [winner.json()["data"]["api_key_id"]]

    def test_one_of_several_users_gets_the_name(self, v1: httpx.Client, v2: httpx.Client) -> None:
        suffix = unique("")
        bodies = [{"username": name + suffix, "password": PASSWORD} for name in SPELLINGS * 5]

        responses = send_at_once(post_requests(v1, "/api/v1/auth/register", bodies))

        winner = assert_one_won(responses, 400, "VALIDATION_ERROR")
        assert all(list(response.json()["errors"]) == ["username"] for response in responses if response is not winner)
        personal = newest_tenants(v2, f"{suffix}'s Personal Tenant")
        assert [tenant["owner_id"] for tenant in personal] == [winner.json()["id"]]

    def test_one_of_several_users_gets_the_email(self, v1: httpx.Client) -> None:
        suffix = next(_numbers)
        bodies = [
            {"username": f"reader {suffix}-{n}", "password": PASSWORD, "email": f"{name}{suffix}@example.com"}
            for n, name in enumerate(["reader", "Reader"] * 4)
        ]

        responses = send_at_once(post_requests(v1, "/api/v1/auth/register", bodies))

        assert_one_won(responses, 400, "VALIDATION_ERROR")

    def test_names_equal_only_in_a_collation_are_different(self, v2: httpx.Client, tenant_id: str) -> None:
        bodies = [{"tenant_id": tenant_id, "name": name} for name in ("bot 🤖", "bot 😀") * 10]

        responses = send_at_once(post_requests(v2, "/api/v2/agents", bodies))

        assert statuses(responses) == {200: 2, 409: 18}
        items = v2.get("/api/v2/agents", params={"tenant_id": tenant_id}).json()["data"]["items"]
        assert {item["name"] for item in items} == {"bot 🤖", "bot 😀"}

    def test_one_of_two_renamed_agents_gets_the_name(self, v2: httpx.Client, tenant_id: str) -> None:
        agents = [create_agent(v2, tenant_id) for _ in range(10)]

        renames = [lambda a=agent: v2.put(f"/api/v2/agents/{a}", json={"name": "bot"}) for agent in agents]
        responses = send_at_once(renames)

        assert_one_won(responses, 409, "AGENT_002")


class TestSingleRows:
    @pytest.mark.parametrize("of_agent", [False, True], ids=["of a tenant", "of an agent"])
    def test_concurrent_plugin_settings_make_one_row(
        self, v2: httpx.Client, tenant_id: str, agent_id: str, of_agent: bool
    ) -> None:
        url = f"/api/v1/plugins/settings?tenant_id={tenant_id}" + (f"&agent_id={agent_id}" if of_agent else "")
        bodies = [{"plugin_name": "weather", "enabled": True, "config": {"n": n}} for n in range(20)]

        responses = send_at_once(post_requests(v2, url, bodies))

        assert statuses(responses) == {200: 20}
        (kept,) = v2.get(url).json()
        assert kept in [response.json() for response in responses]

    def test_concurrent_heartbeats_make_one_row(self, v2: httpx.Client, tenant_id: str, agent_id: str) -> None:
        beats = [{"tenant_id": tenant_id, "agent_id": agent_id, "ttl_seconds": 60 + n} for n in range(20)]

        responses = send_at_once([partial(v2.put, "/api/v2/agent-activity", json=beat) for beat in beats])

        assert statuses(responses) == {200: 20}
        alive = v2.get("/api/v2/agent-activity", params={"tenant_id": tenant_id}).json()["data"]
        assert alive["count"] == 1
        assert alive["items"][0] in [response.json()["data"] for response in responses]


class TestLostUpdates:
    def test_every_use_of_a_key_is_counted(self, v2: httpx.Client, tenant_id: str, agent_id: str) -> None:
        body = {"tenant_id": tenant_id, "agent_id": agent_id, "name": "key"}
        key = v2.post("/api/v2/api-keys", json=body).json()["data"]

        responses = send_at_once(post_requests(v2, "/api/v2/auth/validate-api-key", [{"api_key": key["api_key"]}] * 50))

        assert all(response.json()["success"] for response in responses)
        url = f"/api/v2/api-keys/{key['api_key_id']}"
        wait_until(lambda: v2.get(url).json()["data"]["usage_count"] == 50, "all 50 uses are counted")

    def test_concurrent_changes_of_different_fields_are_kept(self, v2: httpx.Client, agent_id: str) -> None:
        url = f"/api/v2/agents/{agent_id}"
        fields: dict[str, Any] = {
            "name": unique("renamed"),
            "description": "described",
            "tags": ["a", "b"],
            "template_id": "template_1",
            "status": "inactive",
        }
        config = {f"setting {n}": n for n in range(10)}
        requests: list[SendRequest] = [partial(v2.put, url, json=dict([field])) for field in fields.items()]
        requests += [partial(v2.put, f"{url}/config", json=dict([setting])) for setting in config.items()]

        responses = send_at_once(requests)

        assert statuses(responses) == {200: 15}
        agent = v2.get(url).json()["data"]
        assert agent == {**agent, **fields, "config": config}


class TestSessions:
    def test_requests_that_race_with_one_refresh_token_get_one_successor(self, v1: httpx.Client) -> None:
        """Windows of one browser that refresh together all stay signed in."""
        person = {"username": unique("reader"), "password": PASSWORD}
        v1.post("/api/v1/auth/register", json=person)
        spent = v1.post("/api/v1/auth/login", json=person).json()["refresh_token"]

        responses = send_at_once(post_requests(v1, "/api/v1/auth/refresh", [{"refresh_token": spent}] * 10))

        assert statuses(responses) == {200: 10}
        successors = [response.json()["refresh_token"] for response in responses]
        assert len({jwt.decode(token, options={"verify_signature": False})["jti"] for token in successors}) == 1
        again = send_at_once(post_requests(v1, "/api/v1/auth/refresh", [{"refresh_token": successors[-1]}] * 2))
        assert statuses(again) == {200: 2}
        assert v1.post("/api/v1/auth/refresh", json={"refresh_token": spent}).status_code == 401, "two are spent since"


class TestOrphans:
    ROUNDS = range(3)

    @pytest.mark.parametrize("_round", ROUNDS)
    def test_tenant_deleted_while_agents_are_created_leaves_no_rows(self, v2: httpx.Client, _round: int) -> None:
        tenant_id = create_tenant(v2)
        create_agent(v2, tenant_id)
        bodies = [{"tenant_id": tenant_id, "name": f"agent {n}"} for n in range(5)]
        requests = post_requests(v2, "/api/v2/agents", bodies)
        requests.insert(_round, lambda: v2.delete(f"/api/v2/tenants/{tenant_id}"))

        responses = send_at_once(requests)

        assert set(statuses(responses)) <= {200, 404}
        assert responses[_round].status_code == 200
        for agent in (a.json()["data"]["id"] for a in responses if a.status_code == 200):
            assert v2.get(f"/api/v2/agents/{agent}").status_code == 404
        assert v2.get("/api/v2/agent-activity", params={"tenant_id": tenant_id}).json()["data"]["count"] == 0

    @pytest.mark.parametrize("_round", ROUNDS)
    def test_agent_deleted_while_it_is_used_leaves_no_rows(
        self, v2: httpx.Client, tenant_id: str, agent_id: str, _round: int
    ) -> None:
        owner = {"tenant_id": tenant_id, "agent_id": agent_id}
        requests: list[SendRequest] = [
            *post_requests(v2, "/api/v2/api-keys", [{**owner, "name": f"key {n}"} for n in range(2)]),
            lambda: v2.put("/api/v2/agent-activity", json={**owner, "ttl_seconds": 60}),
            lambda: v2.put(f"/api/v2/agents/{agent_id}", json={"description": "late"}),
            lambda: v2.post("/api/v1/plugins/settings", params=owner, json={"plugin_name": "weather", "enabled": True}),
        ]
        requests.insert(_round, lambda: v2.delete(f"/api/v2/agents/{agent_id}"))

        responses = send_at_once(requests)

        assert set(statuses(responses)) <= {200, 404}
        assert v2.get(f"/api/v2/agents/{agent_id}").status_code == 404
        assert v2.get("/api/v2/api-keys", params={"tenant_id": tenant_id}).json()["data"]["items"] == []
        assert v2.get("/api/v2/agent-activity", params={"tenant_id": tenant_id}).json()["data"]["count"] == 0

    def test_failed_registration_leaves_no_rows(self, server: MaimServer, v1: httpx.Client) -> None:
        person = {"username": "mallory", "password": PASSWORD, "email": "mallory@example.com"}
        before = rows(server)
        in_database(server, REFUSE_MALLORYS_TENANT)

        try:
            failed = v1.post("/api/v1/auth/register", json=person)
        finally:
            in_database(server, "cursor.execute('DROP TRIGGER refuse_tenant')")

        assert failed.status_code in (500, 503)  # SQLite and MariaDB raise different errors for a trigger
        assert failed.json()["code"] in ("SYS_001", "SYS_002")
        assert "mallory" not in failed.text
        assert rows(server) == before
        assert v1.post("/api/v1/auth/register", json=person).status_code == 200


REFUSE_MALLORYS_TENANT = """
name = "NEW.tenant_name = 'mallory''s Personal Tenant'"
cursor.execute("CREATE TRIGGER refuse_tenant BEFORE INSERT ON tenants_tenant " + (
    f"WHEN {name} BEGIN SELECT RAISE(ABORT, 'refused'); END"
    if connection.vendor == "sqlite"
    else f"FOR EACH ROW IF {name} THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'refused'; END IF"
))
"""


def in_database(server: MaimServer, code: str) -> str:
    """Run Python with a cursor on the server's database, and return its output."""
    prelude = "from django.db import connection\ncursor = connection.cursor()\n"
    return server.manage("shell", "--no-imports", "-c", prelude + code)


def rows(server: MaimServer) -> dict[str, int]:
    """Return the number of rows of every table."""
    count = """
import json
from django.apps import apps
print(json.dumps({m._meta.label: m._base_manager.count() for m in apps.get_models()}))
"""
    counted: dict[str, int] = json.loads(in_database(server, count))
    return counted
