"""GET /tenants/{tenant_id}/audit: the list of what changed in a tenant, and who changed it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db.models import QuerySet
from time_machine import travel

from core.http.surfaces import INTERNAL
from core.listing import CLOCK_SKEW
from core.models import AuditEntry
from tests.support.client import SurfaceClient
from tests.support.operators import sign_in
from tests.support.people import Person, join, make_agent

pytestmark = [pytest.mark.django_db, pytest.mark.embedded]


def path(person: Person, **query: Any) -> str:
    return f"/api/v1/tenants/{person.tenant.id}/audit?{urlencode(query)}"


def entries(person: Person, **query: Any) -> list[dict[str, Any]]:
    response = person.client.get(path(person, **query))
    assert response.status_code == 200, response.content
    items: list[dict[str, Any]] = response.json()["data"]["items"]
    return items


def actions(person: Person, **query: Any) -> list[str]:
    return [entry["action"] for entry in entries(person, **query)]


def create(person: Person, name: str) -> str:
    """Let a person create an agent in their tenant."""
    response = person.client.send("POST", "/api/v1/agents", {"name": name}, HTTP_X_REQUEST_ID=f"request-{name}")
    assert response.status_code == 200, response.content
    agent_id: str = response.json()["id"]
    return agent_id


class TestContent:
    def test_change_of_a_person_is_shown_whole(self, alice: Person) -> None:
        agent_id = create(alice, "bot")
        alice.client.send("PUT", f"/api/v1/agents/{agent_id}", {"name": "other"}, HTTP_X_REQUEST_ID="request-2")

        newest = entries(alice)[0]

        assert newest.pop("id") == AuditEntry.objects.latest("id").pk
        assert newest.pop("at").endswith("Z")
        assert newest == {
            "actor_kind": "user",
            "actor_id": alice.user.id,
            "actor_name": "alice",
            "address": "127.0.0.1",
            "token_id": None,
            "action": "agent.update",
            "object_id": agent_id,
            "before": {"name": "bot"},
            "after": {"name": "other"},
            "request_id": "request-2",
        }

    @pytest.mark.parametrize("kind", ["internal", "operator", "command"])
    def test_others_than_people_are_shown_by_their_kind(self, alice: Person, kind: str) -> None:
        create(alice, "bot")
        newest = AuditEntry.objects.latest("id")
        QuerySet(AuditEntry).filter(pk=newest.pk).update(
            actor_kind=kind, actor_id="user_olivia", actor_label="olivia", address="192.0.2.9"
        )

        response = alice.client.get(path(alice))

        assert response.json()["data"]["items"][0]["actor_kind"] == kind
        assert "olivia" not in response.content.decode()
        assert "192.0.2.9" not in response.content.decode()

    def test_entries_of_other_tenants_are_not_shown(self, alice: Person, charlie: Person) -> None:
        create(charlie, "bot")
        create(alice, "bot")

        shown = {entry["id"] for entry in entries(alice)}

        assert shown == set(AuditEntry.objects.filter(tenant_id=alice.tenant.id).values_list("id", flat=True))

    def test_stored_texts_are_shown_as_they_are(self, alice: Person) -> None:
        create(alice, "客服 🤖 <b>")

        assert entries(alice)[0]["after"]["name"] == "客服 🤖 <b>"


class TestAccess:
    def test_member_is_refused(self, alice: Person, bob: Person) -> None:
        join(bob, alice.tenant)

        assert bob.client.get(path(alice)).status_code == 403

    def test_stranger_gets_404(self, alice: Person, charlie: Person) -> None:
        assert charlie.client.get(path(alice)).status_code == 404

    def test_bots_have_no_such_list(self, alice: Person) -> None:
        assert SurfaceClient(INTERNAL).get(f"/api/v2/tenants/{alice.tenant.id}/audit").status_code == 404


class TestFilters:
    def test_by_action_and_object(self, alice: Person) -> None:
        first, second = create(alice, "one"), create(alice, "two")
        alice.client.send("PUT", f"/api/v1/agents/{first}", {"name": "three"})

        assert [entry["object_id"] for entry in entries(alice, action="agent.create")] == [second, first]
        assert actions(alice, object_id=first) == ["agent.update", "agent.create"]
        assert actions(alice, object_id=first, action="agent.create") == ["agent.create"]
        assert actions(alice, action="agent.delete") == []

    def test_by_person(self, alice: Person, bob: Person) -> None:
        join(bob, alice.tenant)
        bob.client.send("POST", "/api/v1/agents", {"name": "bot", "tenant_id": alice.tenant.id})
        create(alice, "other")

        assert [entry["actor_name"] for entry in entries(alice, actor_id=bob.user.id)] == ["bob"]

    def test_operator_cannot_be_looked_for(self, alice: Person) -> None:
        olivia = sign_in("olivia")
        olivia.change(alice.tenant, tenant_name="Other")

        assert entries(alice)[0]["actor_kind"] == "operator"
        assert entries(alice, actor_id=olivia.user.pk) == []

    def test_by_time(self, alice: Person) -> None:
        for hour in range(3):
            with travel(datetime(2040, 1, 1, hour, tzinfo=UTC), tick=False):
                make_agent(alice.tenant, f"bot {hour}")

        def names(**times: str) -> list[str]:
            found = entries(alice, action="agent.create", **times)
            return [entry["after"]["name"] for entry in found]

        assert names(**{"from": "2040-01-01T01:00:00Z"}) == ["bot 2", "bot 1"]
        assert names(to="2040-01-01T01:00:00Z") == ["bot 0"]
        assert names(to="9999-12-31T23:59:59Z") == names()
        assert names(**{"from": "2040-01-01T01:00:00Z", "to": "2040-01-01T01:00:01+00:00"}) == ["bot 1"]

    def test_by_time_where_clocks_differ(self, alice: Person) -> None:
        """A machine whose clock is late writes greater ids with earlier times."""
        noon = datetime(2040, 1, 1, 12, tzinfo=UTC)
        for name, moment in (("ahead", noon + CLOCK_SKEW / 2), ("exact", noon), ("late", noon - CLOCK_SKEW / 2)):
            with travel(moment, tick=False):
                make_agent(alice.tenant, name)

        found = entries(alice, **{"action": "agent.create", "from": "2040-01-01T12:00:00Z"})
        assert {entry["after"]["name"] for entry in found} == {"ahead", "exact"}
        found = entries(alice, action="agent.create", to="2040-01-01T12:00:00Z")
        assert "late" in {entry["after"]["name"] for entry in found}

    @pytest.mark.parametrize(
        ("query", "wrong"),
        [
            ({"from": "yesterday"}, "from"),
            ({"limit": "1001"}, "limit"),
            ({"before": "x"}, "before"),
            ({"after": "3", "before": "9"}, "before"),
            ({"format": "csv"}, "format"),
        ],
    )
    def test_wrong_filter_is_rejected(self, alice: Person, query: dict[str, str], wrong: str) -> None:
        response = alice.client.get(path(alice, **query))

        assert (response.status_code, list(response.json()["data"]["errors"])) == (400, [wrong])


class TestPages:
    def test_newest_first_and_on_by_before(self, alice: Person) -> None:
        for number in range(4):
            create(alice, f"bot {number}")
        everything = [entry["id"] for entry in entries(alice)]

        first = [entry["id"] for entry in entries(alice, limit=3)]
        second = [entry["id"] for entry in entries(alice, limit=100, before=first[-1])]

        assert first + second == everything == sorted(everything, reverse=True)

    def test_lines_come_in_the_order_of_ids_and_lead_to_the_next(self, alice: Person) -> None:
        for number in range(4):
            create(alice, f"bot {number}")
        lines: list[dict[str, Any]] = []
        cursor: str | None = ""

        while cursor is not None:
            response = alice.client.get(path(alice, format="jsonl", limit=2, after=cursor))
            assert response["Content-Type"] == "application/jsonl"
            lines += map(json.loads, response.content.decode().splitlines())
            cursor = response.get("X-Next-Cursor")

        assert lines == entries(alice, after="")
        assert len(lines) >= 5

    def test_lines_of_nothing_are_empty(self, alice: Person) -> None:
        response = alice.client.get(path(alice, format="jsonl", action="agent.create"))

        assert (response.status_code, response.content) == (200, b"")
