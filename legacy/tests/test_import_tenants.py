"""Imported tenants: their owners, names and configs, and faults in the old data."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent_config import secrets
from legacy.tests.import_command import import_from, verify
from legacy.tests.old_databases import TENANT_ID, OldDatabase
from tenants.models import Membership, Tenant
from tests.support.client import SurfaceClient

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]


def test_owner_becomes_a_member(old: OldDatabase, tmp_path: Path) -> None:
    old.user("user_1")
    old.tenant(owner_id="user_1")

    import_from(old, tmp_path)

    assert list(Membership.objects.values_list("tenant_id", "user_id", "role")) == [(TENANT_ID, "user_1", "owner")]


def test_tenant_of_an_unknown_owner_keeps_the_id_without_an_owner(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant(owner_id="user_gone")

    run = import_from(old, tmp_path)

    tenant = Tenant.objects.get()
    assert (tenant.owner, tenant.named_owner_id) == (None, "user_gone")
    assert not Membership.objects.exists()
    assert run.reasons("tenants") == ["no such owner"]


def test_user_imported_later_becomes_the_owner(old: OldDatabase, internal: SurfaceClient, tmp_path: Path) -> None:
    old.tenant(owner_id="user_1")
    import_from(old, tmp_path)
    body = {"tenant_name": "By API", "tenant_type": "personal", "owner_id": "user_1"}
    by_api = internal.send("POST", "/api/v2/tenants", body).json()["data"]["id"]
    renamed = internal.send("PUT", f"/api/v2/tenants/{TENANT_ID}", {"tenant_name": "Renamed in maim"})
    web = OldDatabase("sqlite:///" + str(tmp_path / "web.sqlite3"), ["users", "tenants"])
    web.user("user_1")

    import_from(old, tmp_path, "--apply", web=web)

    assert renamed.status_code == 200
    assert {row.owner_id for row in Tenant.objects.all()} == {"user_1"}
    assert set(Membership.objects.values_list("tenant_id", "user_id", "role")) == {
        (TENANT_ID, "user_1", "owner"),
        (by_api, "user_1", "owner"),
    }
    assert Tenant.objects.get(pk=TENANT_ID).tenant_name == "Renamed in maim", "only its owner has changed"


def test_later_of_an_owners_tenants_with_the_same_name_is_renamed(old: OldDatabase, tmp_path: Path) -> None:
    old.user("user_1")
    old.tenant("tenant_1", "Shop", owner_id="user_1", created_at="2026-01-01 00:00:00")
    old.tenant("tenant_2", "SHOP", owner_id="user_1", created_at="2026-01-02 00:00:00")
    old.tenant("tenant_3", "shop")

    run = import_from(old, tmp_path)

    assert set(Tenant.objects.values_list("tenant_name", flat=True)) == {"Shop", "SHOP (tenant_2)", "shop"}
    assert run.reasons("tenants") == ["renamed"]


@pytest.mark.parametrize(
    ("columns", "reason", "shown"),
    [
        ({"tenant_config": "[1]"}, "bad JSON", {"tenant_config": None}),
        ({"tenant_config": "{oops"}, "bad JSON", {"tenant_config": None}),
        ({"tenant_config": '{"agent_defaults": 3, "n": 1}'}, "config partly left out", {"tenant_config": {"n": 1}}),
        ({"status": "frozen"}, "bad status", {"status": "inactive"}),
        ({"tenant_type": "club"}, "bad status", {"tenant_type": "enterprise"}),
        ({"contact_email": "x" * 300}, "text changed", {"contact_email": "x" * 255}),
        ({"tenant_name": "y" * 500}, "renamed", {"tenant_name": "y" * 200}),
        ({"created_at": "yesterday"}, "bad time", {"created_at": datetime(2000, 1, 1, tzinfo=UTC)}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_tenant_with_an_invalid_value_is_imported(
    columns: dict[str, Any], reason: str, shown: dict[str, Any], old: OldDatabase, tmp_path: Path
) -> None:
    old.tenant(TENANT_ID, columns.pop("tenant_name", "Shop"), **columns)

    run = import_from(old, tmp_path)

    tenant = Tenant.objects.get()
    assert {name: getattr(tenant, name) for name in shown} == shown
    assert run.reasons("tenants") == [reason]


def test_invalid_parts_of_a_tenants_config_are_left_out(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant(tenant_config={"plan": "gold", "api_key": "********", "agent_defaults": 5, "own": {"token": "sk-1"}})

    run = import_from(old, tmp_path)

    config = Tenant.objects.get().tenant_config
    assert secrets.opened(config) == {"plan": "gold", "own": {"token": "sk-1"}}
    assert "sk-1" not in str(config)
    assert run.reasons("tenants") == ["config partly left out"] * 2


def test_odd_agent_defaults_are_kept_and_convertible_values_converted(old: OldDatabase, tmp_path: Path) -> None:
    chat = {"talk_value": "0.5", "mentioned_bot_reply": 0, "own": None}
    odd = {"persona": {"states": [5]}}
    old.tenant(tenant_config={"agent_defaults": {**odd, "config_overrides": {"chat": chat}}})

    import_from(old, tmp_path)

    expected = {**odd, "config_overrides": {"chat": {"talk_value": 0.5, "mentioned_bot_reply": False}}}
    assert Tenant.objects.get().tenant_config == {"agent_defaults": expected}
    assert verify(old).status == 0


@pytest.mark.parametrize("user_id", ["u" * 60, "user_1 "])
def test_owner_with_an_invalid_id_is_left_out(user_id: str, old: OldDatabase, tmp_path: Path) -> None:
    old.user(user_id)
    old.tenant(owner_id=user_id)

    run = import_from(old, tmp_path)

    assert Tenant.objects.get().owner is None
    assert run.reasons("tenants") == ["no such owner"]


def test_differing_copies_are_reported_without_secrets(old: OldDatabase, tmp_path: Path) -> None:
    web = OldDatabase("sqlite:///" + str(tmp_path / "web.sqlite3"), ["users", "tenants"])
    old.tenant(tenant_config='{"api_key": "sk-secret"}')
    web.tenant(tenant_config='{"api_key": "sk-other"}')

    run = import_from(old, tmp_path, "--apply", web=web)

    assert run.report["findings"][0]["detail"] == "the config service's copy counts: tenant_config"


def test_field_missing_in_the_web_services_copy_is_no_difference(old: OldDatabase, tmp_path: Path) -> None:
    web = OldDatabase("sqlite:///" + str(tmp_path / "web.sqlite3"), ["users", "tenants"])
    old.tenant(description="sells shoes", contact_email="shop@example.com", tenant_config='{"n": 1}')
    web.tenant(description=None, contact_email="", tenant_config="null")

    run = import_from(old, tmp_path, "--apply", web=web)

    assert run.report["findings"] == []
