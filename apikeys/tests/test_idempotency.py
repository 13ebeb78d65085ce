"""Idempotency-Key: a request that is sent twice issues, or rotates, once (at every api)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import httpx
import pytest
from time_machine import travel

from agents.models import Agent
from apikeys.models import ApiKey, KeySecret
from apikeys.tests.api import KeyApi
from apikeys.tests.asking import code_of
from core.models import AuditEntry, IdempotentResponse
from tenants.models import Role
from tests.support.people import Person, join, make_agent, register
from tests.support.server import MaimServer
from tests.support.tables import changed_tables, tables

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def create(api: KeyApi, key: str, name: str = "key", **fields: Any) -> Any:
    ids = {"tenant_id": api.agent.tenant_id, "agent_id": api.agent.id} if api.is_enveloped else {}
    return api.send("POST", api.path, {**ids, "name": name, **fields}, HTTP_IDEMPOTENCY_KEY=key)


def rotate(api: KeyApi, of: dict[str, Any], key: str, **body: Any) -> Any:
    return api.try_rotate(of, body, HTTP_IDEMPOTENCY_KEY=key)


@pytest.mark.embedded
@pytest.mark.django_db
class TestIssuing:
    def test_a_repeat_gets_the_same_answer_and_issues_nothing(self, api: KeyApi) -> None:
        first = create(api, "a")
        before = tables()

        second = create(api, "a")

        assert api.data(second) == api.data(first)
        assert list(api.data(second)) == api.fields
        assert second["Cache-Control"] == "no-store"
        assert changed_tables(before, tables()) == set()
        assert code_of(api.data(second)["api_key"]) == "VALID"

    def test_without_the_header_a_repeat_is_another_request(self, api: KeyApi) -> None:
        api.create("key")

        api.assert_error(api.try_create("key"), 409, "KEY_002")

    def test_another_key_is_another_request(self, api: KeyApi) -> None:
        create(api, "a", "one")
        create(api, "b", "two")

        assert ApiKey.unscoped.count() == 2

    def test_another_body_under_the_key_is_409(self, api: KeyApi) -> None:
        api.data(create(api, "a", "one"))

        api.assert_error(create(api, "a", "two"), 409, "CONFLICT")
        api.assert_error(create(api, "a", "one", description="other"), 409, "CONFLICT")

        assert [key.name for key in ApiKey.unscoped.all()] == ["one"]

    def test_a_refused_request_may_be_sent_again_under_its_key(self, api: KeyApi) -> None:
        """Nothing was done, so there is nothing to repeat."""
        api.create("taken")
        api.assert_error(create(api, "a", "taken"), 409, "KEY_002")
        ApiKey.unscoped.all().delete()

        assert api.data(create(api, "a", "taken"))["name"] == "taken"

    def test_after_ten_minutes_it_is_a_new_request(self, api: KeyApi) -> None:
        with travel(NOON, tick=False):
            first = api.data(create(api, "a"))
        with travel(NOON + timedelta(minutes=10), tick=False):
            assert api.data(create(api, "a")) == first
        with travel(NOON + timedelta(minutes=10, seconds=1), tick=False):
            api.assert_error(create(api, "a"), 409, "KEY_002")

    @pytest.mark.parametrize("key", ["", "x" * 256, "schl\u00fcssel", "a\tb"])
    def test_what_is_no_key_is_400(self, api: KeyApi, key: str) -> None:
        assert api.error_fields(create(api, key), 400, "VALIDATION_ERROR") == ["Idempotency-Key"]
        assert not ApiKey.unscoped.exists()

    def test_a_trailing_slash_makes_no_other_request(self, api: KeyApi) -> None:
        first = api.data(create(api, "a"))
        api.path += "/"

        assert api.data(create(api, "a")) == first


@pytest.mark.embedded
@pytest.mark.django_db
class TestRotating:
    def test_a_repeat_gets_the_same_secret(self, api: KeyApi) -> None:
        key = api.create()
        first = api.data(rotate(api, key, "a", grace_seconds=60))

        second = api.data(rotate(api, key, "a", grace_seconds=60))

        assert second == first
        assert code_of(second["api_key"]) == "VALID"
        assert KeySecret.objects.count() == 2
        assert AuditEntry.objects.filter(action="key.rotate").count() == 1

    def test_another_grace_is_409(self, api: KeyApi) -> None:
        key = api.create()
        api.data(rotate(api, key, "a", grace_seconds=60))

        api.assert_error(rotate(api, key, "a", grace_seconds=0), 409, "CONFLICT")
        assert code_of(key["api_key"]) == "VALID"

    def test_another_path_is_409(self, api: KeyApi) -> None:
        key, other = api.create("key"), api.create("other")
        api.data(rotate(api, key, "a"))

        api.assert_error(rotate(api, other, "a"), 409, "CONFLICT")
        assert code_of(other["api_key"]) == "VALID"


@pytest.mark.embedded
@pytest.mark.django_db
class TestWhoseKey:
    def test_it_is_ones_own(self, alice: Person, charlie: Person, agent: Agent) -> None:
        """Nobody gets another's answer, whatever header they send."""
        path = f"/api/v1/agents/{agent.id}/api_keys"
        hers = alice.client.send("POST", path, {"name": "key"}, HTTP_IDEMPOTENCY_KEY="a").json()
        own = make_agent(charlie.tenant)

        stolen = charlie.client.send("POST", path, {"name": "key"}, HTTP_IDEMPOTENCY_KEY="a")
        his = charlie.client.send(
            "POST", f"/api/v1/agents/{own.id}/api_keys", {"name": "key"}, HTTP_IDEMPOTENCY_KEY="a"
        ).json()

        assert stolen.status_code == 404
        assert his["agent_id"] == own.id
        assert his["api_key"] != hers["api_key"]

    def test_two_admins_of_a_tenant_do_not_share_one(self, alice: Person, agent: Agent) -> None:
        dora = register("dora")
        join(dora, alice.tenant, Role.ADMIN)
        path = f"/api/v1/agents/{agent.id}/api_keys"
        alice.client.send("POST", path, {"name": "key"}, HTTP_IDEMPOTENCY_KEY="a")

        hers = dora.client.send("POST", path, {"name": "key"}, HTTP_IDEMPOTENCY_KEY="a")

        assert (hers.status_code, hers.json()["code"]) == (409, "KEY_002")

    def test_who_may_no_longer_manage_gets_no_repeat(self, alice: Person, agent: Agent) -> None:
        dora = register("dora")
        path = f"/api/v1/agents/{agent.id}/api_keys"

        def status_as(role: Role) -> int:
            join(dora, alice.tenant, role)
            return int(dora.client.send("POST", path, {"name": "key"}, HTTP_IDEMPOTENCY_KEY="a").status_code)

        assert (status_as(Role.ADMIN), status_as(Role.MEMBER)) == (200, 403)


@pytest.mark.django_db
def test_what_is_kept_is_sealed(api: KeyApi) -> None:
    secret = api.data(create(api, "my own header"))["api_key"]

    kept = str(list(IdempotentResponse.objects.values()))
    assert IdempotentResponse.objects.count() == 1
    for text in (secret, secret[4:], "my own header", api.agent.id):
        assert text not in kept


# ---- at the same moment


@pytest.fixture
def v2(server: MaimServer) -> Iterator[httpx.Client]:
    with server.client("internal") as client:
        yield client


def test_requests_sent_at_once_issue_one_key(v2: httpx.Client) -> None:
    tenant = v2.post("/api/v2/tenants", json={"tenant_name": "sent at once", "tenant_type": "enterprise"})
    tenant_id = tenant.json()["data"]["id"]
    agent = v2.post("/api/v2/agents", json={"tenant_id": tenant_id, "name": "agent"}).json()["data"]
    body = {"tenant_id": tenant_id, "agent_id": agent["id"], "name": "key"}
    start = Barrier(8)

    def send(path: str, body: dict[str, Any]) -> httpx.Response:
        start.wait()
        return v2.post(path, json=body, headers={"Idempotency-Key": f"at once {path}"})

    def all_at_once(path: str, body: dict[str, Any]) -> dict[str, Any]:
        with ThreadPoolExecutor(8) as pool:
            answers = [each.result() for each in [pool.submit(send, path, body) for _ in range(8)]]
        assert [answer.status_code for answer in answers] == [200] * 8, [answer.text for answer in answers]
        first: dict[str, Any] = answers[0].json()["data"]
        assert all(answer.json()["data"] == first for answer in answers)
        return first

    key = all_at_once("/api/v2/api-keys", body)
    assert len(v2.get("/api/v2/api-keys", params={"tenant_id": tenant_id}).json()["data"]["items"]) == 1

    rotated = all_at_once(f"/api/v2/api-keys/{key['api_key_id']}/rotate", {})
    verdicts = [
        v2.post("/api/v2/auth/validate-api-key", json={"api_key": shown["api_key"]}).json()["data"]["valid"]
        for shown in (key, rotated)
    ]
    assert verdicts == [False, True]
