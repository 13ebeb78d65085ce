"""A later import: it imports what the old system has changed, and removes what it has deleted."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from agents.models import Agent, ConfigVersion, PluginSetting
from apikeys.models import ApiKey
from apikeys.tests.worker import Worker
from apikeys.verification import EXPIRED, UNKNOWN, VALID
from legacy.tests.clients import can_sign_in, verdict
from legacy.tests.import_command import Run, import_from, verify
from legacy.tests.old_databases import AGENT_ID, KEY_ID, TENANT_ID, USER_ID, OldDatabase, secret_of
from tenants.models import Tenant
from tests.support.tables import changed_tables, tables

pytestmark = pytest.mark.django_db


def dry_run_and_import(old: OldDatabase, directory: Path) -> Run:
    """Import after a dry run. Check that both report the same, and that a second import writes nothing."""
    dry_run = import_from(old, directory, "--report", str(directory / "report.json"))
    run = import_from(old, directory)
    assert (dry_run.report["kinds"], dry_run.report["findings"]) == (run.report["kinds"], run.report["findings"])
    before = tables()
    import_from(old, directory)
    assert changed_tables(before, tables()) == set()
    return run


def test_second_run_writes_nothing(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    import_from(old, tmp_path)
    before = tables()

    with CaptureQueriesContext(connection) as queries:
        again = import_from(old, tmp_path)

    writes = [query["sql"] for query in queries if query["sql"].startswith(("INSERT", "UPDATE", "DELETE"))]
    assert [sql for sql in writes if "common_lock" not in sql] == []
    assert changed_tables(before, tables()) == set()
    assert again.counts("keys") == {"read": 1, "unchanged": 1}


def test_new_secret_of_a_key_is_good_when_the_import_has_ended(
    old: OldDatabase, secret: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_from(old, tmp_path)
    worker, new = Worker(monkeypatch), secret_of(TENANT_ID, AGENT_ID, 4711)
    worker.renew()
    assert (worker.code(secret), worker.code(new)) == (VALID, UNKNOWN), "the bot has it before the import"
    old.update("api_keys", KEY_ID, api_key=new)

    import_from(old, tmp_path)
    worker.renew()

    assert (worker.code(secret), worker.code(new)) == (EXPIRED, VALID)


def test_later_run_imports_changes_of_the_old_system(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    import_from(old, tmp_path)
    old.update("users", USER_ID, email="alice@example.com")
    old.update("tenants", TENANT_ID, tenant_name="Alice & Co", status="suspended")
    old.update("agents", AGENT_ID, config='{"persona": "wild"}')
    old.execute("UPDATE personality_configs SET personality = 'wild'")
    old.update("api_keys", KEY_ID, status="disabled", usage_count=9)
    old.update("plugin_settings", f"ps_{TENANT_ID}_{AGENT_ID}_weather", enabled=False)
    more = old.key(TENANT_ID, AGENT_ID, "key_00000000000b", "second")

    run = import_from(old, tmp_path)

    assert [run.counts(kind) for kind in ("users", "tenants", "agents", "plugins")] == [{"read": 1, "changed": 1}] * 4
    assert run.counts("keys") == {"read": 2, "written": 1, "changed": 1}
    assert User.objects.get().email == "alice@example.com"
    assert (Tenant.objects.get().tenant_name, Tenant.objects.get().status) == ("Alice & Co", "suspended")
    agent = Agent.unscoped.get()
    assert (agent.config, agent.config_version) == ({"persona": "wild"}, 2)
    assert ConfigVersion.unscoped.get(number=2).patch == [{"op": "replace", "path": "/persona", "value": "wild"}]
    assert ApiKey.unscoped.get(pk=KEY_ID).usage_count == 9
    assert not PluginSetting.unscoped.get().enabled
    assert [verdict(secret), verdict(more)] == ["AUTH_004", "AUTH_007"]
    assert verify(old).status == 0


def test_names_swapped_in_the_old_system_are_swapped(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    old.agent(TENANT_ID, "agent_2", "second")
    import_from(old, tmp_path)
    old.update("agents", AGENT_ID, name="second")
    old.update("agents", "agent_2", name="bot")

    import_from(old, tmp_path)

    assert dict(Agent.unscoped.values_list("id", "name")) == {AGENT_ID: "second", "agent_2": "bot"}


def test_name_that_was_freed_goes_to_another_object(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    old.update("users", USER_ID, email="alice@example.com")
    import_from(old, tmp_path)
    old.update("users", USER_ID, username="alicia", email=None)
    old.user("user_2", "alice", email="alice@example.com")
    old.update("tenants", TENANT_ID, tenant_name="Former")
    old.tenant("tenant_2", "Alice's", owner_id=USER_ID)
    old.update("agents", AGENT_ID, name="former")
    old.agent(TENANT_ID, "agent_2", "bot")
    old.update("api_keys", KEY_ID, name="former")
    old.key(TENANT_ID, AGENT_ID, "key_2", "key")

    run = import_from(old, tmp_path)

    assert run.report["findings"] == []
    assert verify(old).status == 0


def test_objects_deleted_in_the_old_system_are_removed(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    old.tenant("tenant_2", "Second")
    old.agent("tenant_2", "agent_2")
    old.user("user_2", "bob")
    import_from(old, tmp_path)
    old.delete("api_keys", KEY_ID)
    old.delete("plugin_settings", f"ps_{TENANT_ID}_{AGENT_ID}_weather")
    old.delete("users", "user_2")
    old.delete("tenants", "tenant_2")
    old.delete("agents", "agent_2")

    dry_run = import_from(old, tmp_path, "--report", str(tmp_path / "dry_run.json"))
    run = import_from(old, tmp_path)

    for each in (dry_run, run):
        removed = {kind: counts["removed"] for kind, counts in each.report["kinds"].items() if counts["removed"]}
        assert removed == {"users": 1, "tenants": 1, "agents": 1, "keys": 1, "plugins": 1}
    assert verdict(secret) == "AUTH_005"
    assert not can_sign_in("bob")
    assert set(Tenant.objects.values_list("id", flat=True)) == {TENANT_ID}
    assert set(Agent.unscoped.values_list("id", flat=True)) == {AGENT_ID}
    assert import_from(old, tmp_path).report["findings"] == []


def test_name_of_a_deleted_object_goes_to_a_new_one(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    old.tenant("tenant_9", "Shop", owner_id=USER_ID)
    old.agent(TENANT_ID, "agent_9", "helper")
    import_from(old, tmp_path)
    old.delete("tenants", "tenant_9")
    old.tenant("tenant_2", "Shop", owner_id=USER_ID)
    old.delete("agents", "agent_9")
    old.agent(TENANT_ID, "agent_2", "helper")

    run = dry_run_and_import(old, tmp_path)

    assert run.report["findings"] == []
    assert verify(old).status == 0


def test_object_that_was_deleted_and_restored_is_imported_again(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    import_from(old, tmp_path)
    old.delete("agents", AGENT_ID)
    gone = dry_run_and_import(old, tmp_path)
    old.agent(TENANT_ID)

    back = dry_run_and_import(old, tmp_path)

    assert [gone.counts(kind)["removed"] for kind in ("agents", "keys", "plugins")] == [1, 1, 1]
    assert [back.counts(kind)["written"] for kind in ("agents", "keys", "plugins", "activity")] == [1, 1, 1, 1]
    assert verdict(secret) == "VALID"
    assert verify(old).status == 0


@pytest.mark.parametrize(("other_tenant_id", "is_left"), [("tenant_2", True), ("tenant_2", False), ("tenant_z", True)])
def test_object_moved_to_another_tenant_is_moved(
    other_tenant_id: str, is_left: bool, old: OldDatabase, secret: str, tmp_path: Path
) -> None:
    old.tenant(other_tenant_id, "Other")
    import_from(old, tmp_path)
    old.update("agents", AGENT_ID, tenant_id=other_tenant_id)
    old.update("api_keys", KEY_ID, tenant_id=other_tenant_id)
    old.update("plugin_settings", f"ps_{TENANT_ID}_{AGENT_ID}_weather", tenant_id=other_tenant_id)
    old.execute(f"UPDATE agent_active_states SET tenant_id = '{other_tenant_id}'")
    if not is_left:
        old.delete("tenants", TENANT_ID)

    run = dry_run_and_import(old, tmp_path)

    assert [run.counts(kind)["written"] for kind in ("agents", "keys", "plugins", "activity")] == [1, 1, 1, 1]
    assert ApiKey.unscoped.get().tenant_id == other_tenant_id
    assert verify(old).status == 0


def test_key_moved_to_another_agent_is_moved(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    old.agent(TENANT_ID, "agent_2", "second")
    import_from(old, tmp_path)
    old.update("api_keys", KEY_ID, agent_id="agent_2")

    dry_run_and_import(old, tmp_path)

    assert ApiKey.unscoped.get().agent_id == "agent_2"
    assert verify(old).status == 0


@pytest.mark.parametrize("columns", [{"api_key": "revoked"}, {"agent_id": "agent_gone"}], ids=str)
def test_key_made_unusable_in_the_old_system_is_removed(
    columns: dict[str, str], old: OldDatabase, secret: str, tmp_path: Path
) -> None:
    import_from(old, tmp_path)
    old.update("api_keys", KEY_ID, **columns)

    run = dry_run_and_import(old, tmp_path)

    assert run.counts("keys") == {"read": 1, "refused": 1, "removed": 1}
    assert verdict(secret) == "AUTH_005"


def test_restored_user_signs_in_again(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    old.user("user_2", "bob")
    import_from(old, tmp_path)
    old.delete("users", "user_2")
    import_from(old, tmp_path)
    gone = can_sign_in("bob")
    old.user("user_2", "bob")

    import_from(old, tmp_path)

    assert (gone, can_sign_in("bob")) == (False, True)
