"""A later import beside changes in maim: they stay until the old system changes the same object."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from accounts import services as accounts
from accounts.models import TokenSession, User
from accounts.operator_roles import OperatorRole
from agents.models import Agent, AgentActivity, PluginSetting
from apikeys import services as apikeys
from apikeys.models import ApiKey, KeySecret
from core.http.surfaces import INTERNAL, PUBLIC
from core.models import AuditEntry
from legacy.models import Imported
from legacy.tests.clients import can_sign_in, verdict
from legacy.tests.import_command import import_from, verify
from legacy.tests.old_databases import AGENT_ID, KEY_ID, TENANT_ID, USER_ID, OldDatabase, secret_of
from tenants.models import Membership, Tenant
from tests.support.client import SurfaceClient
from tests.support.people import OPERATOR, make_agent, make_key, register

pytestmark = pytest.mark.django_db


def test_change_in_maim_stays_until_the_old_system_changes_the_object(
    old: OldDatabase, secret: str, tmp_path: Path
) -> None:
    import_from(old, tmp_path)
    answer = SurfaceClient(INTERNAL).send(
        "PUT", f"/api/v2/agents/{AGENT_ID}", {"description": "ours", "config": {"mine": 1}}
    )
    assert answer.status_code == 200

    import_from(old, tmp_path)
    unchanged = Agent.unscoped.get()
    old.update("agents", AGENT_ID, description="theirs")
    import_from(old, tmp_path)

    assert (unchanged.description, unchanged.config) == ("ours", {"persona": "calm", "mine": 1})
    assert (Agent.unscoped.get().description, Agent.unscoped.get().config) == ("theirs", {"persona": "calm"})


def test_key_disabled_in_maim_stays_disabled_while_it_is_used_in_the_old_system(
    old: OldDatabase, secret: str, tmp_path: Path
) -> None:
    import_from(old, tmp_path)
    apikeys.disable_key(actor=OPERATOR, key=ApiKey.unscoped.get())
    before = AuditEntry.objects.count()

    old.update("api_keys", KEY_ID, usage_count=60, last_used_at="2026-11-30 12:00:00")
    assert import_from(old, tmp_path, "--apply").outcome.status == 0

    key = ApiKey.unscoped.get()
    assert (key.status, verdict(secret)) == ("disabled", "AUTH_004")
    assert (key.usage_count, key.last_used_at) == (60, datetime(2026, 11, 30, 12, tzinfo=UTC))
    assert AuditEntry.objects.count() == before, "uses are no change"
    old.update("api_keys", KEY_ID, usage_count=5, description="theirs")
    import_from(old, tmp_path)
    key = ApiKey.unscoped.get()
    assert (key.status, key.description, key.usage_count) == ("active", "theirs", 60)


def test_last_active_admin_stays_active(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    import_from(old, tmp_path)
    accounts.set_operator_role(actor=OPERATOR, user_id=USER_ID, role=OperatorRole.ADMIN)
    User.objects.exclude(pk=USER_ID).update(is_active=False)
    old.update("users", USER_ID, is_active=0)

    refused = verify(old, "--apply")

    assert (refused.status, User.objects.get(pk=USER_ID).is_active) == (1, True)
    assert "No admin would be active without alice" in refused.err


def test_password_rehashed_at_sign_in_is_kept(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    import_from(old, tmp_path)
    assert can_sign_in("alice")
    upgraded = User.objects.get().password

    old.update("users", USER_ID, email="alice@example.com")
    import_from(old, tmp_path)

    assert not upgraded.startswith("bcrypt")
    assert verify(old).status == 0
    assert can_sign_in("alice")


def test_password_changed_in_maim_is_kept_when_another_field_changes(
    old: OldDatabase, secret: str, tmp_path: Path
) -> None:
    import_from(old, tmp_path)
    accounts.set_password(actor=OPERATOR, user=User.objects.get(), password="chosen-here")
    old.update("users", USER_ID, email="alice@example.com")

    import_from(old, tmp_path)

    assert User.objects.get().email == "alice@example.com"
    assert User.objects.get().check_password("chosen-here")
    assert not can_sign_in("alice")


def test_password_changed_in_the_old_system_ends_sessions(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    import_from(old, tmp_path)
    assert can_sign_in("alice")
    assert TokenSession.objects.exists()
    import bcrypt

    old.update("users", USER_ID, hashed_password=bcrypt.hashpw(b"another-password", bcrypt.gensalt(4)).decode())
    import_from(old, tmp_path)

    assert not TokenSession.objects.exists()
    assert not can_sign_in("alice")


def test_uses_counted_in_maim_are_kept(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    import_from(old, tmp_path)
    ApiKey.unscoped.update(usage_count=50)
    old.update("api_keys", KEY_ID, usage_count=6)

    import_from(old, tmp_path)

    assert ApiKey.unscoped.get().usage_count == 50
    assert verify(old).status == 0


def test_key_rotated_in_maim_keeps_its_new_secret(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    import_from(old, tmp_path)
    key = ApiKey.unscoped.get()
    rotated = apikeys.rotate_key(actor=OPERATOR, key=key, grace_seconds=3600)
    old.update("api_keys", KEY_ID, usage_count=6)

    import_from(old, tmp_path)

    assert KeySecret.objects.count() == 2
    assert (verdict(secret), verdict(rotated.secret)) == ("VALID", "VALID")


def test_key_with_a_new_secret_in_the_old_system_loses_the_previous_one(
    old: OldDatabase, secret: str, tmp_path: Path
) -> None:
    import_from(old, tmp_path)
    another = secret_of(TENANT_ID, AGENT_ID, 999)
    old.update("api_keys", KEY_ID, api_key=another)

    run = import_from(old, tmp_path)

    assert run.counts("keys") == {"read": 1, "changed": 1}
    assert (verdict(secret), verdict(another)) == ("AUTH_002", "VALID")
    assert AuditEntry.objects.filter(action="key.rotate", object_id=KEY_ID).exists()


def test_object_deleted_in_maim_stays_deleted(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    import_from(old, tmp_path)
    SurfaceClient(INTERNAL).send("DELETE", f"/api/v2/api-keys/{KEY_ID}")

    unchanged = import_from(old, tmp_path)
    old.update("api_keys", KEY_ID, description="theirs")
    changed = import_from(old, tmp_path)

    assert unchanged.counts("keys") == {"read": 1, "unchanged": 1}
    assert changed.reasons("keys") == ["deleted in maim since it was imported"]
    assert verdict(secret) == "AUTH_005"


def test_new_object_of_a_deleted_owner_is_refused(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    old.tenant("tenant_2", "Second")
    import_from(old, tmp_path)
    SurfaceClient(INTERNAL).send("DELETE", f"/api/v2/agents/{AGENT_ID}")
    SurfaceClient(INTERNAL).send("DELETE", "/api/v2/tenants/tenant_2")
    later = old.key(TENANT_ID, AGENT_ID, "key_2", "later")
    old.plugin(TENANT_ID, AGENT_ID, "later")
    old.agent("tenant_2", "agent_2")

    run = import_from(old, tmp_path)

    for kind, object_id in (("keys", "key_2"), ("plugins", f"{AGENT_ID}/later"), ("agents", "agent_2")):
        assert run.reasons(kind, object_id) == ["refers to nothing"]
    assert verdict(later) == "AUTH_005"


def test_tenant_of_an_owner_deleted_in_maim_has_no_owner(old: OldDatabase, tmp_path: Path) -> None:
    old.user()
    old.tenant()
    import_from(old, tmp_path)
    accounts.delete_user(actor=OPERATOR, user_id=USER_ID)
    old.tenant("tenant_2", "Second", owner_id=USER_ID)

    run = import_from(old, tmp_path)

    assert Tenant.objects.get(pk="tenant_2").owner is None
    assert run.reasons("tenants") == ["no such owner"]


def test_tenant_is_not_given_to_another_user_with_the_owners_id(old: OldDatabase, tmp_path: Path) -> None:
    mallory = register("mallory").user
    old.user(mallory.id, "alice")
    old.tenant(owner_id=mallory.id)

    run = import_from(old, tmp_path)

    assert run.reasons("users") == ["exists in maim, and was not imported"]
    assert Tenant.objects.get(pk=TENANT_ID).owner is None
    assert not Membership.objects.filter(tenant=TENANT_ID).exists()


def test_swept_heartbeat_is_replaced_by_a_later_one(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    import_from(old, tmp_path)
    AgentActivity.unscoped.all().delete()
    old.execute("UPDATE agent_active_states SET last_seen_at = '2026-05-02 00:00:00'")

    run = import_from(old, tmp_path)

    assert run.counts("activity") == {"read": 1, "written": 1}
    assert AgentActivity.unscoped.exists()


def test_other_tenants_of_maim_are_not_changed(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    charlie = register("charlie")
    theirs = make_key(make_agent(charlie.tenant))
    before = list(Tenant.objects.filter(pk=charlie.tenant.id).values())

    import_from(old, tmp_path)

    assert verdict(theirs.secret) == "VALID"
    assert list(Tenant.objects.filter(pk=charlie.tenant.id).values()) == before
    assert not Membership.objects.filter(user=charlie.user).exclude(tenant=charlie.tenant).exists()
    listed = SurfaceClient(PUBLIC, charlie.token).send("GET", "/api/v1/agents/").json()
    assert [agent["id"] for agent in listed] == [theirs.key.agent_id]


def test_heartbeat_and_plugin_setting_on_both_sides_are_updated(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent(TENANT_ID)
    secret = old.key(TENANT_ID, AGENT_ID)
    import_from(old, tmp_path)
    internal = SurfaceClient(INTERNAL)
    beat = {"tenant_id": TENANT_ID, "agent_id": AGENT_ID, "ttl_seconds": 60}
    assert internal.send("PUT", "/api/v2/agent-activity", beat).status_code == 200
    setting = {"plugin_name": "weather", "enabled": False, "config": {}}
    assert internal.send("POST", f"/api/v1/plugins/settings?tenant_id={TENANT_ID}", setting).status_code == 200
    old.heartbeat(TENANT_ID, AGENT_ID)
    old.plugin(TENANT_ID, None)
    old.update("api_keys", KEY_ID, status="disabled")

    run = import_from(old, tmp_path)

    assert run.report["findings"] == []
    assert [run.counts(kind) for kind in ("keys", "plugins", "activity")] == [{"read": 1, "changed": 1}] * 3
    assert verdict(secret) == "AUTH_004"
    assert PluginSetting.unscoped.get().enabled
    assert verify(old).status == 0


def test_tenant_with_an_object_that_exists_in_maim_is_not_imported(
    old: OldDatabase, secret: str, tmp_path: Path
) -> None:
    """Another tenant of maim has an agent of the same id, so that one of both would be lost."""
    charlie = register("charlie")
    ours = make_agent(charlie.tenant)
    old.tenant("tenant_2", "Second")
    old.agent("tenant_2", "agent_2")
    old.agent("tenant_2", ours.id, "other")
    old.key("tenant_2", "agent_2", "key_2")

    run = import_from(old, tmp_path)

    assert set(Tenant.objects.values_list("id", flat=True)) == {TENANT_ID, charlie.tenant.id}
    assert run.reasons("tenants") == ["exists in maim, and was not imported"]
    assert (run.counts("tenants"), run.counts("agents"), run.counts("keys")) == (
        {"read": 2, "written": 1, "refused": 1},
        {"read": 3, "written": 1, "refused": 2},
        {"read": 2, "written": 1, "refused": 1},
    )
    assert not Imported.objects.filter(tenant_id="tenant_2").exists()
    assert verdict(secret) == "VALID"
