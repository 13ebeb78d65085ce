"""Access to keys, and their order in lists (docs/contract.md sections 7 and 10)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from time_machine import travel

from agents.models import Agent
from apikeys.access import keys_for, read_newest_keys
from apikeys.models import ApiKey, KeySecret
from apikeys.queries import KeyList
from apikeys.services import rotate_key
from apikeys.tests.api import KeyApi
from core.actor import Actor, ActorKind
from tests.support.people import OPERATOR, Person, make_agent, make_key

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def key_paths(agent: Agent, key_id: str) -> list[tuple[str, str]]:
    """Every public way to one key."""
    nested, flat = f"/api/v1/agents/{agent.id}/api_keys/{key_id}", f"/api/v1/api-keys/{key_id}"
    return [
        *((method, nested) for method in ("GET", "PUT", "PATCH", "DELETE")),
        *((method, flat) for method in ("GET", "PUT", "DELETE")),
        ("POST", f"{flat}/disable"),
        ("POST", f"{flat}/enable"),
        ("POST", f"{flat}/rotate"),
        ("POST", f"{nested}/rotate"),
    ]


def test_anothers_key_and_none_are_the_same_404(alice: Person, charlie: Person, agent: Agent) -> None:
    key = make_key(agent).key

    for key_id in (key.id, "key_000000000000"):
        for method, path in key_paths(agent, key_id):
            response = charlie.client.send(method, path, {"name": "Charlie's"})
            assert response.status_code == 404, (method, path)
            assert b"KEY_001" in response.content
    assert ApiKey.unscoped.get(pk=key.id).name == key.name


def test_nobody_who_is_not_signed_in_has_a_list_of_keys(alice: Person, agent: Agent) -> None:
    """Not by a mistake of a caller either, because the id of nobody stands for the trusted there."""
    make_key(agent)

    with pytest.raises(ValueError, match="anonymous"):
        read_newest_keys(Actor(kind=ActorKind.ANONYMOUS), slice(0, 10), tenant_id=alice.tenant.id)


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_a_key_of_another_agent_is_404(alice: Person, agent: Agent, method: str) -> None:
    """Also when both agents are one's own."""
    key = make_key(make_agent(alice.tenant), "key").key

    response = alice.client.send(method, f"/api/v1/agents/{agent.id}/api_keys/{key.id}", {"name": "new"})

    assert (response.status_code, response.json()["code"]) == (404, "KEY_001")
    assert ApiKey.unscoped.get().name == "key"


def test_list_has_the_keys_and_secrets_that_the_access_function_has(
    alice: Person, bob: Person, charlie: Person, agent: Agent
) -> None:
    """The list reads them by prepared SQL."""
    keys = [make_key(each).key for each in (agent, agent, make_agent(alice.tenant), make_agent(charlie.tenant))]
    rotate_key(actor=OPERATOR, key=keys[1], grace_seconds=60)

    for actor in (alice.actor, bob.actor, charlie.actor, OPERATOR):
        for scope in ({"tenant_id": alice.tenant.id}, {"tenant_id": alice.tenant.id, "agent_id": agent.id}):
            expected = list(keys_for(actor).filter(**scope))
            listed = KeyList(actor, **scope)
            assert [with_secrets(key) for key in listed[0:10]] == [with_secrets(key) for key in expected], scope
            assert listed[1:2] == expected[1:2]
            assert len(expected) == (0 if actor == charlie.actor else 4 - len(scope))


def with_secrets(key: ApiKey) -> tuple[ApiKey, KeySecret, list[KeySecret]]:
    return key, key.current_secret, key.previous_secrets


def test_a_member_reads_keys_and_does_not_write_them(alice: Person, bob: Person, agent: Agent) -> None:
    key = make_key(agent, "key").key

    for method, path in key_paths(agent, key.id):
        status = bob.client.send(method, path, {"name": "Bob's"}).status_code
        assert status == (200 if method == "GET" else 403), (method, path)
    assert bob.client.send("POST", f"/api/v1/agents/{agent.id}/api_keys", {"name": "Bob's"}).status_code == 403
    assert list(ApiKey.unscoped.values_list("name", "status")) == [("key", "active")]


class TestBareList:
    def path(self, agent: Agent, query: str = "") -> str:
        return f"/api/v1/agents/{agent.id}/api_keys{query}"

    def test_it_is_newest_first_and_in_slices(self, alice: Person, agent: Agent) -> None:
        make_key(make_agent(alice.tenant), "another agent's")
        for number in range(5):
            with travel(NOON + timedelta(hours=number), tick=False):
                make_key(agent, f"key {number}")

        response = alice.client.get(self.path(agent, "?skip=1&limit=2"))

        assert [key["name"] for key in response.json()] == ["key 3", "key 2"]
        assert response["X-Total-Count"] == "5"
        assert len(alice.client.get(self.path(agent)).json()) == 5

    def test_q_finds_a_part_of_the_name(self, alice: Person, agent: Agent) -> None:
        for name in ("Production", "product", "test"):
            make_key(agent, name)

        response = alice.client.get(self.path(agent, "?q=PROD"))

        assert {key["name"] for key in response.json()} == {"Production", "product"}
        assert response["X-Total-Count"] == "2"

    @pytest.mark.parametrize("query", ["?limit=0", "?limit=101", "?skip=-1", "?status=gone", "?q=%00"])
    def test_a_bad_query_is_400(self, alice: Person, agent: Agent, query: str) -> None:
        assert alice.client.get(self.path(agent, query)).status_code == 400

    def test_of_anothers_agent_it_is_404(self, alice: Person, charlie: Person, agent: Agent) -> None:
        for response in (
            charlie.client.get(self.path(agent)),
            charlie.client.send("POST", self.path(agent), {"name": "Charlie's"}),
        ):
            assert (response.status_code, response.json()["code"]) == (404, "AGENT_001")
        assert not ApiKey.unscoped.exists()


class TestEnvelopedPages:
    def test_pages(self, enveloped: KeyApi, agent: Agent, alice: Person, charlie: Person) -> None:
        make_key(make_agent(charlie.tenant))
        with travel(NOON, tick=False):
            ids = sorted((make_key(agent).key.id for _ in range(5)), reverse=True)
        path = f"{enveloped.path}?tenant_id={alice.tenant.id}"

        pages = [enveloped.data(enveloped.send("GET", f"{path}&page_size=2&page={page}")) for page in (1, 2, 3, 4)]

        assert [[row["api_key_id"] for row in page["items"]] for page in pages] == [ids[:2], ids[2:4], ids[4:], []]
        assert list(pages[0]) == ["items", "pagination"]
        assert [page["pagination"] for page in pages] == [
            {
                "page": number,
                "page_size": 2,
                "total": 5,
                "total_pages": 3,
                "has_next": number < 3,
                "has_prev": number > 1,
                "next_after": None,
            }
            for number in (1, 2, 3, 4)
        ]
        assert list(pages[0]["pagination"]) == [
            "page",
            "page_size",
            "total",
            "total_pages",
            "has_next",
            "has_prev",
            "next_after",
        ]
        assert enveloped.data(enveloped.send("GET", path))["pagination"]["page_size"] == 20

    def test_an_agent_narrows_it_down(self, enveloped: KeyApi, agent: Agent, alice: Person, charlie: Person) -> None:
        make_key(agent, "mine")
        make_key(make_agent(alice.tenant), "other")
        strangers = make_agent(charlie.tenant)
        make_key(strangers)

        assert [row["name"] for row in enveloped.listed()] == ["mine"]
        path = f"{enveloped.path}?tenant_id={alice.tenant.id}&agent_id={strangers.id}"
        assert enveloped.data(enveloped.send("GET", path))["items"] == []

    @pytest.mark.parametrize(
        ("query", "field"),
        [("page=0", "page"), ("page=2147483648", "page"), ("page_size=101", "page_size"), ("status=gone", "status")],
    )
    def test_a_bad_query_is_400(self, enveloped: KeyApi, alice: Person, query: str, field: str) -> None:
        response = enveloped.send("GET", f"{enveloped.path}?tenant_id={alice.tenant.id}&{query}")

        assert enveloped.error_fields(response, 400, "VALIDATION_ERROR") == [field]

    def test_a_tenant_must_be_named(self, enveloped: KeyApi) -> None:
        assert enveloped.error_fields(enveloped.send("GET", enveloped.path), 400, "VALIDATION_ERROR") == ["tenant_id"]

    def test_unknown_tenants_and_agents_are_404(self, enveloped: KeyApi, charlie: Person) -> None:
        enveloped.assert_error(
            enveloped.send("GET", f"{enveloped.path}?tenant_id=tenant_000000000000"), 404, "TENANT_001"
        )
        enveloped.assert_error(enveloped.try_create(tenant_id="tenant_000000000000"), 404, "TENANT_001")
        enveloped.assert_error(enveloped.try_create(agent_id="agent_000000000000"), 404, "AGENT_001")
        enveloped.assert_error(enveloped.try_create(agent_id=make_agent(charlie.tenant).id), 404, "AGENT_001")
        assert not ApiKey.unscoped.exists()

    def test_a_key_is_disabled_and_enabled(self, enveloped: KeyApi) -> None:
        key = enveloped.create(expires_at="2990-01-01T00:00:00Z")

        for verb, status in (("disable", "disabled"), ("disable", "disabled"), ("enable", "active")):
            answer = enveloped.data(enveloped.send("POST", f"{enveloped.key_path(key)}/{verb}"))
            assert (answer["api_key_id"], answer["status"]) == (key["api_key_id"], status)
            assert enveloped.get(key)["status"] == status
        with travel(datetime(2990, 6, 1, tzinfo=UTC), tick=False):
            assert enveloped.data(enveloped.send("POST", f"{enveloped.key_path(key)}/enable"))["status"] == "expired"

    def test_an_unknown_key_is_404(self, enveloped: KeyApi) -> None:
        path = f"{enveloped.path}/key_000000000000"

        for method, suffix in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/disable"), ("POST", "/enable")):
            enveloped.assert_error(enveloped.send(method, path + suffix, {}), 404, "KEY_001")


def test_the_envelope_of_the_public_surface_shows_only_ones_own(alice: Person, charlie: Person, agent: Agent) -> None:
    make_key(agent)

    response = charlie.client.get(f"/api/v1/api-keys?tenant_id={alice.tenant.id}")

    assert (response.status_code, response.json()["error_code"]) == (404, "TENANT_001")
