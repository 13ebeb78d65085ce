"""Keys: issued, named, changed, judged by their time, deleted, at every api (docs/contract.md section 5).

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
from apikeys.tests.api import KeyApi
from core.models import AuditEntry
from tests.support.people import Person, make_agent, make_key

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


BAD_INPUT: list[tuple[str, Any]] = [
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
]


@pytest.mark.embedded
class TestIssuing:
    def test_the_answer_is_the_key_with_its_secret(self, api: KeyApi) -> None:
        with travel(NOON, tick=False):
            response = api.try_create(
                "key", description="for the bot", permissions=["chat", "read"], expires_at="2026-12-31T00:00:00+08:00"
            )

        key = api.data(response)
        assert response["Cache-Control"] == "no-store"
        assert list(key) == api.fields
        assert keyformat.parse(key["api_key"]).agent_id == api.agent.id
        rest = {
            "tenant_id": api.agent.tenant_id,
            "agent_id": api.agent.id,
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

    def test_the_secret_is_shown_once(self, api: KeyApi) -> None:
        key = api.create()
        mask = keyformat.masked(keyformat.parse(key["api_key"]).hint)

        assert mask.startswith("mmc_…")
        assert len(mask) == 9
        later = [api.get(key), api.listed()[0], api.put(key, description="new")]
        assert {answer["api_key"] for answer in later} == {mask}
        assert all(list(answer) == api.fields for answer in later)

    def test_a_name_is_all_it_takes(self, api: KeyApi) -> None:
        key = api.create()

        assert (key["description"], key["permissions"], key["expires_at"]) == (None, [], None)

    def test_null_means_absent(self, api: KeyApi) -> None:
        key = api.create(description=None, permissions=None, expires_at=None)

        assert (key["description"], key["permissions"], key["expires_at"]) == (None, [], None)

    def test_unknown_keys_are_ignored(self, api: KeyApi) -> None:
        key = api.create(status="disabled", api_key="mmc_mine", usage_count=5, limits={"per_minute": 1})

        assert (key["status"], key["usage_count"]) == ("active", 0)
        assert key["api_key"] != "mmc_mine"

    def test_bad_input_is_named(self, api: KeyApi) -> None:
        for field, value in BAD_INPUT:
            response = api.try_create(**{"name": "key", field: value})

            assert api.error_fields(response, 400, "VALIDATION_ERROR") == [field], value
        assert not ApiKey.unscoped.exists()
        assert not KeySecret.objects.exists()

    def test_a_naive_time_is_utc(self, api: KeyApi) -> None:
        assert api.create(expires_at="2990-01-01T00:00:00")["expires_at"] == "2990-01-01T00:00:00Z"

    def test_an_archived_agent_gets_no_new_key(self, api: KeyApi) -> None:
        key = api.create()
        Agent.unscoped.update(status="archived")

        api.assert_error(api.try_create("another"), 409, "AGENT_005")
        assert api.get(key)["status"] == "active", "and keeps those it has"
        assert ApiKey.unscoped.count() == 1

    def test_an_inactive_agent_may_get_one(self, api: KeyApi) -> None:
        Agent.unscoped.update(status="inactive")

        assert api.create()["status"] == "active"


class TestNames:
    @pytest.mark.parametrize("second", ["Key", " key "])
    def test_a_name_is_unique_in_its_tenant(self, api: KeyApi, alice: Person, charlie: Person, second: str) -> None:
        api.create("key")
        make_key(make_agent(charlie.tenant), "key")

        api.assert_error(api.try_create(second), 409, "KEY_002")
        assert ApiKey.objects.in_tenants([alice.tenant.id]).count() == 1

    def test_also_for_another_agent_of_the_tenant(self, api: KeyApi, alice: Person) -> None:
        make_key(make_agent(alice.tenant), "key")

        api.assert_error(api.try_create("KEY"), 409, "KEY_002")

    def test_emoji_are_different_names(self, api: KeyApi) -> None:
        api.create("key 🔑")
        api.create("key 🗝")

    def test_a_rename_to_a_taken_name_changes_nothing(self, api: KeyApi) -> None:
        api.create("key")
        other = api.create("other")
        before = api.get(other)

        response = api.send("PUT", api.key_path(other), {"name": "KEY", "permissions": ["chat"]})

        api.assert_error(response, 409, "KEY_002")
        assert api.get(other) == before


@pytest.mark.embedded
class TestPermissions:
    @pytest.mark.parametrize(
        "permissions",
        [["chat"], ["chat:read", "a.b-c_d", "*", "小明", "🤖"], ["x" * 64], [f"p{n}" for n in range(100)]],
    )
    def test_a_permission_is_a_word(self, api: KeyApi, permissions: list[str]) -> None:
        assert api.create(permissions=permissions)["permissions"] == permissions

    def test_anything_else_is_key_005(self, api: KeyApi) -> None:
        others = [[""], [" "], ["a b"], ["chat "], ["a\nb"], ["a\x7fb"], ["x" * 65], [f"p{n}" for n in range(101)]]
        for permissions in others:
            assert api.error_fields(api.try_create(permissions=permissions), 400, "KEY_005") == ["permissions"]
        assert not ApiKey.unscoped.exists()

        key = api.create("key")
        for permissions in others:
            response = api.send("PUT", api.key_path(key), {"name": "new", "permissions": permissions})
            assert api.error_fields(response, 400, "KEY_005") == ["permissions"]
        assert api.get(key)["name"] == "key"

    @pytest.mark.parametrize("item", [5, None, True, ["chat"], {}])
    def test_another_type_is_named_with_its_place(self, api: KeyApi, item: Any) -> None:
        response = api.try_create(permissions=["chat", item])

        assert api.error_fields(response, 400, "VALIDATION_ERROR") == ["permissions.1"]

    def test_one_that_is_named_twice_counts_once(self, api: KeyApi) -> None:
        assert api.create(permissions=["b", "a", "b"])["permissions"] == ["b", "a"]


@pytest.mark.embedded
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
    def test_only_what_is_sent_changes(self, api: KeyApi, field: str, value: Any) -> None:
        key = api.create(description="old", permissions=["old"], expires_at="2990-01-01T00:00:00Z")
        before = api.get(key)

        after = api.put(key, **{field: value})

        assert {name for name in api.fields if after[name] != before[name]} - {"updated_at"} == {field, "revision"}
        assert after[field] == value
        assert api.get(key) == after

    def test_null_clears_description_and_expiry_and_nothing_else(self, api: KeyApi) -> None:
        key = api.create(description="old", permissions=["old"], expires_at="2990-01-01T00:00:00Z")
        before = api.get(key)

        after = api.put(key, name=None, description=None, permissions=None, expires_at=None, status=None)

        changed = {name for name in api.fields if after[name] != before[name]} - {"updated_at"}
        assert changed == {"description", "expires_at", "revision"}
        assert (after["description"], after["expires_at"]) == (None, None)

    def test_what_changes_nothing_leaves_no_audit_row(self, api: KeyApi) -> None:
        key = api.create()
        written = AuditEntry.objects.count()

        api.put(key, name="key", permissions=[])

        assert AuditEntry.objects.count() == written

    @pytest.mark.parametrize("status", ["revoked", "", 5])
    def test_another_status_is_400(self, api: KeyApi, status: Any) -> None:
        key = api.create()

        response = api.send("PUT", api.key_path(key), {"status": status})

        assert api.error_fields(response, 400, "VALIDATION_ERROR") == ["status"]

    def test_no_secret_is_in_the_audit_log(self, api: KeyApi) -> None:
        key = api.create()
        api.put(key, description="new")

        rows = str(list(AuditEntry.objects.values()))
        assert key["name"] in rows
        assert key["api_key"][4:40] not in rows


@pytest.mark.embedded
class TestStatus:
    def test_expired_is_what_an_active_key_becomes(self, api: KeyApi) -> None:
        key = api.create("expires", expires_at="2990-01-01T00:00:00Z")
        api.create("stays")

        def named(status: str) -> set[str]:
            return {row["name"] for row in api.listed(f"status={status}")}

        for moment, status, active, expired in (
            (-1, "active", {"expires", "stays"}, set()),
            (0, "expired", {"stays"}, {"expires"}),
            (1, "expired", {"stays"}, {"expires"}),
        ):
            with travel(datetime(2990, 1, 1, tzinfo=UTC) + timedelta(seconds=moment), tick=False):
                assert api.get(key)["status"] == status
                assert (named("active"), named("expired"), named("disabled")) == (active, expired, set())

    def test_a_later_expiry_makes_it_active_again(self, api: KeyApi) -> None:
        key = api.create(expires_at="2990-01-01T00:00:00Z")

        with travel(datetime(2990, 6, 1, tzinfo=UTC), tick=False):
            assert api.get(key)["status"] == "expired"
            assert api.put(key, expires_at="2991-01-01T00:00:00Z")["status"] == "active"
            assert api.put(key, expires_at="2989-01-01T00:00:00Z")["status"] == "expired"
            assert api.put(key, expires_at=None)["status"] == "active"

    def test_expired_key_sent_back_with_a_later_expiry_is_active_again(self, api: KeyApi) -> None:
        key = api.create(expires_at="2990-01-01T00:00:00Z")

        with travel(datetime(2990, 6, 1, tzinfo=UTC), tick=False):
            seen = api.get(key)
            assert api.put(key, **seen)["status"] == "expired"
            assert api.put(key, **{**seen, "expires_at": "2991-01-01T00:00:00Z"})["status"] == "active"

    def test_a_disabled_key_stays_disabled_when_its_time_is_over(self, api: KeyApi) -> None:
        key = api.create(expires_at="2990-01-01T00:00:00Z")
        api.put(key, status="disabled")

        with travel(datetime(2990, 6, 1, tzinfo=UTC), tick=False):
            assert api.get(key)["status"] == "disabled"
            assert len(api.listed("status=disabled")) == 1
            assert api.listed("status=expired") == []

    def test_a_status_can_be_set_and_found(self, api: KeyApi) -> None:
        key = api.create("key")
        api.create("other")

        for status in ("disabled", "expired", "active"):
            assert api.put(key, status=status)["status"] == status
            assert "key" in [row["name"] for row in api.listed(f"status={status}")]
        assert api.listed("status=disabled") == []


class TestDeleting:
    def test_a_deleted_key_is_gone_with_its_secrets(self, api: KeyApi) -> None:
        key, kept = api.create("key"), api.create("kept")

        response = api.send("DELETE", api.key_path(key))

        if not api.is_enveloped:
            assert (response.status_code, response.content) == (204, b"")
        else:
            assert api.data(response) == {"api_key_id": key["api_key_id"]}
        api.assert_error(api.send("GET", api.key_path(key)), 404, "KEY_001")
        api.assert_error(api.send("DELETE", api.key_path(key)), 404, "KEY_001")
        assert [row["name"] for row in api.listed()] == ["kept"]
        assert KeySecret.objects.count() == 1
        assert api.get(kept)["name"] == "kept"
