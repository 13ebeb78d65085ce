"""Differences between the old system and maim are found and reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from accounts.models import User
from agents.models import Agent, AgentActivity, PluginSetting
from apikeys.models import ApiKey, KeySecret
from legacy.tests.import_command import import_from, verify
from legacy.tests.old_databases import AGENT_ID, KEY_ID, TENANT_ID, USER_ID, OldDatabase, secret_of
from tenants.models import Tenant
from tenants.services import create_tenant
from tests.support.people import OPERATOR, register
from tests.support.tables import tables

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]


@pytest.fixture
def secret(old: OldDatabase, tmp_path: Path) -> str:
    """The secret of an imported key. One object of each kind is imported."""
    old.user()
    old.tenant(owner_id=USER_ID, tenant_config={"crm": {"apiToken": "sk-3"}})
    provider = {"name": "own", "api_key": "sk-1", "default_headers": {"X": "sk-4"}}
    old.agent(TENANT_ID, config={"config_overrides": {"model": {"api_providers": [provider]}}})
    old.plugin(TENANT_ID, None, config={"city": "上海", "tokens": ["sk-5"]})
    old.heartbeat(TENANT_ID, AGENT_ID)
    secret = old.key(TENANT_ID, AGENT_ID, usage_count=5)
    import_from(old, tmp_path)
    return secret


def test_nothing_differs_after_an_import(old: OldDatabase, secret: str) -> None:
    outcome = verify(old)

    assert outcome.status == 0
    assert outcome.rows == [
        [kind, "1", "1", "0"] for kind in ("users", "tenants", "agents", "keys", "plugins", "activity")
    ]
    assert not any(f"sk-{number}" in str(rows) for rows in tables().values() for number in (1, 3, 4, 5))


def test_every_difference_is_reported(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    User.objects.update(is_active=False)
    Tenant.objects.update(status="suspended", tenant_config={"n": 1})
    Agent.unscoped.update(
        config={"config_overrides": {"model": {"api_providers": [{"name": "own", "api_key": "sk-2"}]}}}
    )
    ApiKey.unscoped.update(permissions=[], usage_count=4)
    KeySecret.objects.update(digest="0" * 64)
    PluginSetting.unscoped.update(config={})
    AgentActivity.unscoped.all().delete()
    report = tmp_path / "differences.json"

    outcome = verify(old, "--verify", "--report", str(report))

    assert outcome.status == 4
    fields = {found["kind"]: found["fields"] for found in json.loads(report.read_text())["differences"]}
    assert fields == {
        "users": ["is_active"],
        "tenants": ["status", "tenant_config"],
        "agents": ["config"],
        "keys": ["permissions", "usage_count", "secret"],
        "plugins": ["config"],
        "activity": ["missing"],
    }
    assert f"keys {KEY_ID}: permissions, usage_count, secret" in outcome.out
    assert "sk-" not in outcome.out


def test_each_key_is_verified_on_both_systems(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    disabled = old.key(TENANT_ID, AGENT_ID, "key_2", "disabled", status="disabled")
    ended = old.key(TENANT_ID, AGENT_ID, "key_3", "ended", expires_at="2020-01-01 00:00:00")
    import_from(old, tmp_path)
    unknown = secret_of(TENANT_ID, AGENT_ID, 12345)
    keys = tmp_path / "keys.txt"
    keys.write_text("\n".join([secret, "", disabled, ended, unknown, "mmc_nonsense"]))

    outcome = verify(old, "--verify-keys", str(keys))

    assert outcome.status == 0
    assert [row[1:] for row in outcome.rows] == [
        [KEY_ID, "VALID", "VALID", "same"],
        ["key_2", "AUTH_004", "AUTH_004", "same"],
        ["key_3", "AUTH_002", "AUTH_002", "same"],
        ["-", "AUTH_005", "AUTH_005", "same"],
        ["-", "AUTH_001", "AUTH_001", "same"],
    ]
    for key in (secret, disabled, ended, unknown):
        assert key not in outcome.out


def test_key_with_different_verdicts_is_reported(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    ApiKey.unscoped.update(status="disabled")
    keys = tmp_path / "keys.txt"
    keys.write_text(secret)

    outcome = verify(old, "--verify-keys", str(keys))

    assert outcome.status == 4
    assert outcome.rows[0][1:] == [KEY_ID, "VALID", "AUTH_004", "DIFFERENT"]


def test_key_of_a_suspended_tenant_is_no_difference(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    old.update("tenants", TENANT_ID, status="suspended")
    import_from(old, tmp_path)
    keys = tmp_path / "keys.txt"
    keys.write_text(secret)

    outcome = verify(old, "--verify-keys", str(keys))

    assert outcome.status == 0
    assert outcome.rows[0][1:] == [KEY_ID, "VALID", "AUTH_007", "same"]


def test_verification_counts_no_use(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text(secret)

    verify(old, "--verify-keys", str(keys))

    assert ApiKey.unscoped.get().usage_count == 5


def test_missing_file_is_named(old: OldDatabase, secret: str) -> None:
    outcome = verify(old, "--verify-keys", "/nowhere/keys.txt")

    assert (outcome.status, outcome.err) == (1, "/nowhere/keys.txt: No such file or directory")


def test_name_changed_because_it_was_taken_is_no_difference(old: OldDatabase, tmp_path: Path) -> None:
    existing_user = register("alice").user
    User.objects.filter(pk=existing_user.pk).update(email="alice@example.com", email_folded="alice@example.com")
    create_tenant(actor=OPERATOR, tenant_name="Shop", tenant_type="enterprise")
    old.user(username="alice", email="alice@example.com")
    old.tenant(name="Shop")
    run = import_from(old, tmp_path)
    assert sorted(finding["reason"] for finding in run.report["findings"]) == ["bad e-mail", "renamed", "renamed"]

    same = verify(old)
    User.objects.filter(pk=existing_user.pk).update(email_folded="other@example.com")

    assert same.status == 0
    assert verify(old).rows[0] == ["users", "1", "0", "1"], "nobody else has the address any more"


def test_refused_objects_are_differences(old: OldDatabase, secret: str) -> None:
    old.key("tenant_gone", "agent_gone", "key_2", "orphan")
    old.key(TENANT_ID, AGENT_ID, "key_3", "malformed", api_key="mmc_nonsense")

    outcome = verify(old)

    assert outcome.status == 4
    assert "keys key_2: refused" in outcome.out
    assert "keys key_3: refused" in outcome.out
