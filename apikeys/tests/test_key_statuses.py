"""Disabling and enabling many keys with one request (docs/contract.md section 5)."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.models import Agent
from apikeys.models import ApiKey
from apikeys.tests.api import ENVELOPED, KeyApi
from core.models import AuditEntry, Invalidation
from tenants.models import Tenant
from tests.support.people import Person, make_agent, make_key

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]
UNKNOWN = "key_000000000000"
ITEM = ["api_key_id", "success", "status", "revision", "error", "error_code"]


class Keys:
    """An agent's keys, and requests that change the status of several."""

    def __init__(self, api: KeyApi) -> None:
        self._api = api

    def make(self, *names: str) -> list[str]:
        return [make_key(self._api.agent, name).key.id for name in names]

    def send(self, verb: str, key_ids: Any) -> Any:
        return self._api.send("POST", f"/api-keys/{verb}", {"api_key_ids": key_ids})

    def change(self, verb: str, *key_ids: str) -> list[dict[str, Any]]:
        """Return the items of the response."""
        data = self._api.data(self.send(verb, key_ids))
        assert list(data) == ["items"]
        items: list[dict[str, Any]] = data["items"]
        assert [list(item) for item in items] == [ITEM] * len(key_ids)
        assert [item["api_key_id"] for item in items] == list(key_ids)
        return items


@pytest.fixture(params=ENVELOPED)
def keys(request: pytest.FixtureRequest, agent: Agent, alice: Person) -> Keys:
    return Keys(KeyApi(request.param, agent, alice))


@pytest.fixture
def public_keys(agent: Agent, alice: Person) -> Keys:
    return Keys(KeyApi("v1 enveloped", agent, alice))


def statuses() -> dict[str, str]:
    return dict(ApiKey.unscoped.values_list("name", "status"))


def codes(items: list[dict[str, Any]]) -> list[str | None]:
    return [item["error_code"] for item in items]


def test_keys_are_disabled_and_enabled_again(keys: Keys) -> None:
    first, second, _other = keys.make("first", "second", "other")

    disabled = keys.change("disable", second, first)

    assert [(item["success"], item["status"], item["error"]) for item in disabled] == [(True, "disabled", None)] * 2
    assert statuses() == {"first": "disabled", "second": "disabled", "other": "active"}
    enabled = keys.change("enable", first)
    assert enabled[0]["status"] == "active"
    assert statuses() == {"first": "active", "second": "disabled", "other": "active"}
    assert [item["revision"] for item in enabled] == [ApiKey.unscoped.get(pk=first).revision]
    assert enabled[0]["revision"] == disabled[1]["revision"] + 1


def test_unknown_key_fails_alone(keys: Keys) -> None:
    (key,) = keys.make("key")

    unknown, changed = keys.change("disable", UNKNOWN, key)

    assert (unknown["success"], unknown["error_code"], unknown["status"], unknown["revision"]) == (
        False,
        "KEY_001",
        None,
        None,
    )
    assert unknown["error"]
    assert changed["success"]
    assert statuses() == {"key": "disabled"}


def test_unknown_key_is_not_answered_before_its_deletion_holds(keys: Keys, propagation_waits: list[float]) -> None:
    propagation_waits.clear()

    keys.change("disable", UNKNOWN)

    assert len(propagation_waits) == 1


def test_repeated_id_has_the_same_outcome_twice(keys: Keys) -> None:
    (key,) = keys.make("key")

    first, _unknown, second = keys.change("disable", key, UNKNOWN, key)

    assert first == second


def test_each_change_is_audited_and_what_does_not_change_is_not(keys: Keys) -> None:
    changed, other, unchanged = keys.make("changed", "other", "unchanged")
    keys.change("disable", unchanged)
    revision = ApiKey.unscoped.get(pk=unchanged).revision
    last = AuditEntry.objects.latest("pk").pk

    keys.change("disable", changed, unchanged, other)

    entries = AuditEntry.objects.filter(pk__gt=last)
    assert {(entry.action, entry.object_id) for entry in entries} == {("key.update", changed), ("key.update", other)}
    assert {(str(entry.before), str(entry.after)) for entry in entries} == {
        ("{'status': 'active'}", "{'status': 'disabled'}")
    }
    assert ApiKey.unscoped.get(pk=unchanged).revision == revision


def test_all_are_invalidated_in_one_epoch_also_those_that_stay(keys: Keys) -> None:
    """Another request may have made the same change a moment ago, and still be waiting."""
    key, unchanged = keys.make("key", "unchanged")
    keys.change("disable", unchanged)

    keys.change("disable", key, unchanged)

    newest = Invalidation.objects.latest("epoch").epoch
    assert set(Invalidation.objects.filter(epoch=newest).values_list("subject", flat=True)) == {key, unchanged}


def test_expired_key_is_enabled_and_shows_that_it_is_expired(keys: Keys) -> None:
    (key,) = keys.make("key")
    keys.change("disable", key)
    ApiKey.unscoped.filter(pk=key).update(expires_at="2020-01-31T12:00:00Z")

    assert keys.change("enable", key)[0]["status"] == "expired"


def test_thousand_keys_take_few_more_queries_than_ten(public_keys: Keys, agent: Agent) -> None:
    rows = [ApiKey(tenant_id=agent.tenant_id, agent=agent) for _ in range(1000)]
    for number, row in enumerate(rows):
        row.change_name(f"key {number}")
    ApiKey.unscoped.bulk_create(rows)
    ids = [row.id for row in rows]

    with CaptureQueriesContext(connection) as ten:
        public_keys.change("disable", *ids[:10])
    with CaptureQueriesContext(connection) as thousand:
        public_keys.change("disable", *ids)

    assert set(statuses().values()) == {"disabled"}
    assert AuditEntry.objects.filter(action="key.update").count() == 1000
    # SQLite takes fewer parameters a statement, so it gets more of them.
    assert len(thousand) < len(ten) + 20


@pytest.mark.parametrize("key_ids", [[], ["key"] * 1001, "key", [5], [None], [{}]], ids=lambda ids: str(ids)[:20])
def test_other_lists_are_refused(keys: Keys, key_ids: Any) -> None:
    assert keys.send("disable", key_ids).status_code == 400


class TestAccess:
    def test_anothers_key_fails_like_one_that_is_not_there(
        self, public_keys: Keys, agent: Agent, charlie: Person
    ) -> None:
        (key,) = public_keys.make("key")
        stranger = Keys(KeyApi("v1 enveloped", agent, charlie))

        items = stranger.change("disable", key, UNKNOWN)

        assert [{**item, "api_key_id": ""} for item in items] == [{**items[1], "api_key_id": ""}] * 2
        assert codes(items) == ["KEY_001", "KEY_001"]
        assert statuses() == {"key": "active"}

    def test_members_change_only_the_keys_of_their_own_tenants(
        self, public_keys: Keys, agent: Agent, bob: Person
    ) -> None:
        (alices,) = public_keys.make("Alice's")
        bobs = make_key(make_agent(bob.tenant), "Bob's").key.id

        items = Keys(KeyApi("v1 enveloped", agent, bob)).change("disable", alices, bobs)

        assert codes(items) == ["FORBIDDEN", None]
        assert statuses() == {"Alice's": "active", "Bob's": "disabled"}

    def test_keys_of_a_suspended_tenant_stay(self, public_keys: Keys, alice: Person) -> None:
        (key,) = public_keys.make("key")
        Tenant.objects.filter(pk=alice.tenant.id).update(status="suspended")

        assert codes(public_keys.change("disable", key)) == ["TENANT_003"]
        assert statuses() == {"key": "active"}
