"""Imported API keys: they keep working, and faults in the old data lock nobody in."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from apikeys import keyformat
from apikeys.models import ApiKey
from core.http.surfaces import INTERNAL
from legacy.tests.clients import verdict
from legacy.tests.import_command import import_from, verify
from legacy.tests.old_databases import AGENT_ID, KEY_ID, TENANT_ID, OldDatabase
from tests.support.client import SurfaceClient

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]


def test_imported_key_works_with_its_counts_and_permissions(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent(TENANT_ID)
    secret = old.key(
        TENANT_ID, AGENT_ID, usage_count=7, last_used_at="2026-04-01 12:00:00", permissions=["chat", "config_read"]
    )

    import_from(old, tmp_path)

    key = ApiKey.unscoped.get()
    assert (key.usage_count, key.last_used_at) == (7, datetime(2026, 4, 1, 12, tzinfo=UTC))
    assert key.permissions == ["chat", "config_read"]
    assert verdict(secret) == "VALID"
    assert secret not in str(list(key.secrets.values()))


def test_later_of_two_keys_with_the_same_name_is_renamed_and_both_work(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent(TENANT_ID)
    later = old.key(TENANT_ID, AGENT_ID, "key_1", "dup", created_at="2026-01-02 00:00:00")
    earlier = old.key(TENANT_ID, AGENT_ID, "key_2", "Dup", created_at="2026-01-01 00:00:00")

    run = import_from(old, tmp_path)

    assert set(ApiKey.unscoped.values_list("id", "name")) == {("key_1", "dup (key_1)"), ("key_2", "Dup")}
    assert run.reasons("keys") == ["renamed"]
    assert {verdict(later), verdict(earlier)} == {"VALID"}


@pytest.mark.parametrize(
    ("columns", "code", "reasons"),
    [
        ({"status": "disabled"}, "AUTH_004", []),
        ({"status": "expired"}, "AUTH_002", []),
        ({"status": "paused"}, "AUTH_004", ["bad status"]),
        ({"expires_at": "2020-01-01 00:00:00"}, "AUTH_002", []),
        ({"expires_at": "2099-01-01T00:00:00+08:00"}, "VALID", []),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "AUTH_002", []),
        ({"expires_at": "some day"}, "AUTH_004", ["bad time"]),
        ({"permissions": "oops"}, "VALID", ["bad JSON"]),
        ({"permissions": '"chat"'}, "VALID", ["bad permission"]),
        ({"permissions": ["chat", "", "a b"]}, "VALID", ["bad permission"]),
        ({"usage_count": -4}, "VALID", ["bad number"]),
        ({"last_used_at": "never"}, "VALID", ["bad time"]),
    ],
    ids=str,
)
def test_key_with_an_invalid_value_gets_the_old_verdict(
    columns: dict[str, Any], code: str, reasons: list[str], old: OldDatabase, tmp_path: Path
) -> None:
    old.tenant()
    old.agent(TENANT_ID)
    secret = old.key(TENANT_ID, AGENT_ID, **columns)

    run = import_from(old, tmp_path)

    assert verdict(secret) == code
    assert run.reasons("keys") == reasons


def test_expiry_with_an_offset_is_converted_to_utc(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent(TENANT_ID)
    old.key(TENANT_ID, AGENT_ID, expires_at="2099-01-01T00:00:00+08:00")

    import_from(old, tmp_path)

    assert ApiKey.unscoped.get().expires_at == datetime(2098, 12, 31, 16, tzinfo=UTC)


def test_key_of_a_suspended_tenant_is_refused(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant(status="suspended")
    old.agent(TENANT_ID)
    secret = old.key(TENANT_ID, AGENT_ID)

    import_from(old, tmp_path)

    assert verdict(secret) == "AUTH_007"


def test_malformed_and_orphaned_keys_are_not_imported_and_reported(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent(TENANT_ID)
    old.tenant("tenant_00000000000b", "Bob's")
    old.agent("tenant_00000000000b", "agent_00000000000b")
    old.key(TENANT_ID, AGENT_ID, "key_1", "malformed", api_key="mmc_nonsense")
    old.key(TENANT_ID, "agent_gone", "key_2", "of nobody")
    old.key(TENANT_ID, "agent_00000000000b", "key_3", "of another's agent")

    run = import_from(old, tmp_path)

    assert not ApiKey.unscoped.exists()
    assert run.counts("keys") == {"read": 3, "refused": 3}
    assert [run.reasons("keys", f"key_{number}") for number in (1, 2, 3)] == [
        ["malformed key"], ["refers to nothing"], ["refers to nothing"],
    ]  # fmt: skip


def test_imported_key_is_masked(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent(TENANT_ID)
    secret = old.key(TENANT_ID, AGENT_ID)

    import_from(old, tmp_path)

    shown = SurfaceClient(INTERNAL).send("GET", f"/api/v2/api-keys/{KEY_ID}").json()["data"]
    assert shown["api_key"] == keyformat.masked(keyformat.parse(secret).hint)


@pytest.mark.parametrize("status", ["ACTIVE", " active", "Active", "", "on"])
def test_key_whose_status_is_not_exactly_active_is_disabled(status: str, old: OldDatabase, tmp_path: Path) -> None:
    """The old service compared exactly, and refused such a key."""
    old.tenant()
    old.agent(TENANT_ID)
    secret = old.key(TENANT_ID, AGENT_ID, status=status)

    run = import_from(old, tmp_path)

    assert verdict(secret) == "AUTH_004"
    assert run.reasons("keys") == ["bad status"]


def test_key_of_the_first_revision_works(old: OldDatabase, tmp_path: Path) -> None:
    tenant_id, agent_id = "0b0e5d1c-54c5-4a43-9d3b-6a8f5d0f9f11", "7c9e6679-7425-40de-944b-e07fc1f90ae7"
    payload = f"{tenant_id}_{agent_id}_0123456789abcdef0123456789abcdef_v1"
    old.tenant(tenant_id)
    old.agent(tenant_id, agent_id)
    secret = old.key(tenant_id, agent_id, api_key=f"mmc_{base64.b64encode(payload.encode()).decode()}")

    run = import_from(old, tmp_path)

    assert run.report["findings"] == []
    assert verdict(secret) == "VALID"
    assert verify(old).status == 0
