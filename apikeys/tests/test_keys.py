"""Keys: issued, named, changed, judged by their time, deleted, at every door (docs/contract.md section 5).

What a key is worth: internal_api/tests/test_verification.py.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from time_machine import travel

from agents.models import Agent
from apikeys import keyformat
from apikeys.models import ApiKey, KeySecret
from apikeys.tests.doors import KeyDoor
from core.models import AuditEntry
from tests.support.people import Person, make_agent, make_key

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


class TestIssuing:
    def test_the_answer_is_the_key_with_its_secret(self, door: KeyDoor) -> None:
        with travel(NOON, tick=False):
            response = door.try_create(
                "key", description="for the bot", permissions=["chat", "read"], expires_at="2026-12-31T00:00:00+08:00"
            )

        key = door.data(response)
        assert response["Cache-Control"] == "no-store"
        assert list(key) == door.fields
        assert keyformat.parse(key["api_key"]).agent_id == door.agent.id
        rest = {
            "tenant_id": door.agent.tenant_id,
            "agent_id": door.agent.id,
            "name": "key",
            "description": "for the bot",
            "permissions": ["chat", "read"],
            "status": "active",
            "created_at": "2026-01-31T12:00:00Z",
            "last_used_at": None,
            "expires_at": "2026-12-30T16:00:00Z",
            "usage_count": 0,
        }
        assert {field: key[field] for field in rest} == rest

    def test_the_secret_is_shown_once(self, door: KeyDoor) -> None:
        key = door.create()
        mask = keyformat.masked(keyformat.parse(key["api_key"]).hint)

        assert mask.startswith("mmc_…")
        assert len(mask) == 9
        later = [door.get(key), door.listed()[0], door.put(key, description="new")]
        assert {answer["api_key"] for answer in later} == {mask}
        assert all(list(answer) == door.fields for answer in later)

    def test_a_name_is_all_it_takes(self, door: KeyDoor) -> None:
        key = door.create()

        assert (key["description"], key["permissions"], key["expires_at"]) == (None, [], None)

    def test_null_means_absent(self, door: KeyDoor) -> None:
        key = door.create(description=None, permissions=None, expires_at=None)

        assert (key["description"], key["permissions"], key["expires_at"]) == (None, [], None)

    @pytest.mark.embedded
    def test_unknown_keys_are_ignored(self, door: KeyDoor) -> None:
        key = door.create(status="disabled", api_key="mmc_mine", usage_count=5, limits={"per_minute": 1})

        assert (key["status"], key["usage_count"]) == ("active", 0)
        assert key["api_key"] != "mmc_mine"

    @pytest.mark.embedded
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("name", ""),
            ("name", "  "),
            ("name", "x" * 101),
            ("name", 5),
            ("name", None),
            ("description", "x" * 2001),
            ("description", []),
            ("permissions", "chat"),
            ("permissions", {"chat": True}),
            ("expires_at", "tomorrow"),
            ("expires_at", "2026-12-31"),
            ("expires_at", "2026-13-01T00:00:00Z"),
            ("expires_at", "1969-12-31T23:59:59Z"),
            ("expires_at", "9999-12-31T23:59:59-01:00"),
            ("expires_at", 1767225600),
            ("expires_at", ""),
        ],
    )
    def test_bad_input_is_named(self, door: KeyDoor, field: str, value: Any) -> None:
        response = door.try_create(**{"name": "key", field: value})

        assert door.refused(response, 400, "VALIDATION_ERROR") == [field]
        assert not ApiKey.unscoped.exists()
        assert not KeySecret.objects.exists()

    def test_a_naive_time_is_utc(self, door: KeyDoor) -> None:
        assert door.create(expires_at="2990-01-01T00:00:00")["expires_at"] == "2990-01-01T00:00:00Z"

    def test_an_archived_agent_gets_no_new_key(self, door: KeyDoor) -> None:
        key = door.create()
        Agent.unscoped.update(status="archived")

        door.refused(door.try_create("another"), 409, "AGENT_005")
        assert door.get(key)["status"] == "active", "and keeps those it has"
        assert ApiKey.unscoped.count() == 1

    def test_an_inactive_agent_may_get_one(self, door: KeyDoor) -> None:
        Agent.unscoped.update(status="inactive")

        assert door.create()["status"] == "active"


class TestNames:
    @pytest.mark.parametrize("second", ["Key", " key "])
    def test_a_name_is_unique_in_its_tenant(self, door: KeyDoor, alice: Person, charlie: Person, second: str) -> None:
        door.create("key")
        make_key(make_agent(charlie.tenant), "key")

        door.refused(door.try_create(second), 409, "KEY_002")
        assert ApiKey.objects.in_tenants([alice.tenant.id]).count() == 1

    def test_also_for_another_agent_of_the_tenant(self, door: KeyDoor, alice: Person) -> None:
        make_key(make_agent(alice.tenant), "key")

        door.refused(door.try_create("KEY"), 409, "KEY_002")

    def test_emoji_are_different_names(self, door: KeyDoor) -> None:
        door.create("key 🔑")
        door.create("key 🗝")

    def test_a_rename_to_a_taken_name_changes_nothing(self, door: KeyDoor) -> None:
        door.create("key")
        other = door.create("other")
        before = door.get(other)

        response = door.client.send("PUT", door.key_path(other), {"name": "KEY", "permissions": ["chat"]})

        door.refused(response, 409, "KEY_002")
        assert door.get(other) == before


@pytest.mark.embedded
class TestPermissions:
    @pytest.mark.parametrize(
        "permissions",
        [["chat"], ["chat:read", "a.b-c_d", "*", "小明", "🤖"], ["x" * 64], [f"p{n}" for n in range(100)]],
    )
    def test_a_permission_is_a_word(self, door: KeyDoor, permissions: list[str]) -> None:
        assert door.create(permissions=permissions)["permissions"] == permissions

    @pytest.mark.parametrize(
        "permissions",
        [[""], [" "], ["a b"], ["chat "], ["a\nb"], ["a\x7fb"], ["x" * 65], [f"p{n}" for n in range(101)]],
    )
    def test_anything_else_is_key_005(self, door: KeyDoor, permissions: list[str]) -> None:
        assert door.refused(door.try_create(permissions=permissions), 400, "KEY_005") == ["permissions"]
        assert not ApiKey.unscoped.exists()

        key = door.create("key")
        response = door.client.send("PUT", door.key_path(key), {"name": "new", "permissions": permissions})
        assert door.refused(response, 400, "KEY_005") == ["permissions"]
        assert door.get(key)["name"] == "key"

    @pytest.mark.parametrize("item", [5, None, True, ["chat"], {}])
    def test_another_type_is_named_with_its_place(self, door: KeyDoor, item: Any) -> None:
        response = door.try_create(permissions=["chat", item])

        assert door.refused(response, 400, "VALIDATION_ERROR") == ["permissions.1"]

    def test_one_that_is_named_twice_counts_once(self, door: KeyDoor) -> None:
        assert door.create(permissions=["b", "a", "b"])["permissions"] == ["b", "a"]


class TestChanging:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("name", "new"),
            ("description", "new"),
            ("permissions", ["new"]),
            ("permissions", []),
            ("expires_at", "2991-01-01T00:00:00Z"),
            ("status", "disabled"),
        ],
    )
    def test_only_what_is_sent_changes(self, door: KeyDoor, field: str, value: Any) -> None:
        key = door.create(description="old", permissions=["old"], expires_at="2990-01-01T00:00:00Z")
        before = door.get(key)

        after = door.put(key, **{field: value})

        assert {name for name in door.fields if after[name] != before[name]} - {"updated_at"} == {field, "revision"}
        assert after[field] == value
        assert door.get(key) == after

    def test_null_clears_description_and_expiry_and_nothing_else(self, door: KeyDoor) -> None:
        key = door.create(description="old", permissions=["old"], expires_at="2990-01-01T00:00:00Z")
        before = door.get(key)

        after = door.put(key, name=None, description=None, permissions=None, expires_at=None, status=None)

        changed = {name for name in door.fields if after[name] != before[name]} - {"updated_at"}
        assert changed == {"description", "expires_at", "revision"}
        assert (after["description"], after["expires_at"]) == (None, None)

    def test_what_changes_nothing_leaves_no_audit_row(self, door: KeyDoor) -> None:
        key = door.create()
        written = AuditEntry.objects.count()

        door.put(key, name="key", permissions=[])

        assert AuditEntry.objects.count() == written

    @pytest.mark.embedded
    @pytest.mark.parametrize("status", ["revoked", "", 5])
    def test_another_status_is_400(self, door: KeyDoor, status: Any) -> None:
        key = door.create()

        response = door.client.send("PUT", door.key_path(key), {"status": status})

        assert door.refused(response, 400, "VALIDATION_ERROR") == ["status"]

    def test_no_secret_is_in_the_audit_log(self, door: KeyDoor) -> None:
        key = door.create()
        door.put(key, description="new")

        rows = str(list(AuditEntry.objects.values()))
        assert key["name"] in rows
        assert key["api_key"][4:40] not in rows


class TestStatus:
    def test_expired_is_what_an_active_key_becomes(self, door: KeyDoor) -> None:
        key = door.create("expires", expires_at="2990-01-01T00:00:00Z")
        door.create("stays")

        def named(status: str) -> set[str]:
            return {row["name"] for row in door.listed(f"status={status}")}

        for moment, status, active, expired in (
            (-1, "active", {"expires", "stays"}, set()),
            (0, "expired", {"stays"}, {"expires"}),
            (1, "expired", {"stays"}, {"expires"}),
        ):
            with travel(datetime(2990, 1, 1, tzinfo=UTC) + timedelta(seconds=moment), tick=False):
                assert door.get(key)["status"] == status
                assert (named("active"), named("expired"), named("disabled")) == (active, expired, set())

    def test_a_later_expiry_makes_it_active_again(self, door: KeyDoor) -> None:
        key = door.create(expires_at="2990-01-01T00:00:00Z")

        with travel(datetime(2990, 6, 1, tzinfo=UTC), tick=False):
            assert door.get(key)["status"] == "expired"
            assert door.put(key, expires_at="2991-01-01T00:00:00Z")["status"] == "active"
            assert door.put(key, expires_at="2989-01-01T00:00:00Z")["status"] == "expired"
            assert door.put(key, expires_at=None)["status"] == "active"

    def test_expired_key_sent_back_with_a_later_expiry_is_active_again(self, door: KeyDoor) -> None:
        key = door.create(expires_at="2990-01-01T00:00:00Z")

        with travel(datetime(2990, 6, 1, tzinfo=UTC), tick=False):
            seen = door.get(key)
            assert door.put(key, **seen)["status"] == "expired"
            assert door.put(key, **{**seen, "expires_at": "2991-01-01T00:00:00Z"})["status"] == "active"

    def test_a_disabled_key_stays_disabled_when_its_time_is_over(self, door: KeyDoor) -> None:
        key = door.create(expires_at="2990-01-01T00:00:00Z")
        door.put(key, status="disabled")

        with travel(datetime(2990, 6, 1, tzinfo=UTC), tick=False):
            assert door.get(key)["status"] == "disabled"
            assert len(door.listed("status=disabled")) == 1
            assert door.listed("status=expired") == []

    def test_a_status_can_be_set_and_found(self, door: KeyDoor) -> None:
        key = door.create("key")
        door.create("other")

        for status in ("disabled", "expired", "active"):
            assert door.put(key, status=status)["status"] == status
            assert "key" in [row["name"] for row in door.listed(f"status={status}")]
        assert door.listed("status=disabled") == []


class TestDeleting:
    def test_a_deleted_key_is_gone_with_its_secrets(self, door: KeyDoor) -> None:
        key, kept = door.create("key"), door.create("kept")

        response = door.client.delete(door.key_path(key))

        if door.is_bare:
            assert (response.status_code, response.content) == (204, b"")
        else:
            assert door.data(response) == {"api_key_id": key["api_key_id"]}
        door.refused(door.client.get(door.key_path(key)), 404, "KEY_001")
        door.refused(door.client.delete(door.key_path(key)), 404, "KEY_001")
        assert [row["name"] for row in door.listed()] == ["kept"]
        assert KeySecret.objects.count() == 1
        assert door.get(kept)["name"] == "kept"
