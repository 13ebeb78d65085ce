"""Rows of old databases that are refused, and values that SQLite allows in any column."""

from __future__ import annotations

from pathlib import Path

import pytest

from accounts.models import User
from agents.models import Agent
from apikeys.models import ApiKey
from legacy.tests.clients import can_sign_in, verdict
from legacy.tests.import_command import Run, import_from, verify
from legacy.tests.old_databases import AGENT_ID, KEY_ID, SCHEMA, TENANT_ID, OldDatabase, secret_of
from tenants import services as tenants
from tenants.models import Tenant, TenantType
from tests.support.people import OPERATOR, make_agent, make_key, register

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]


def test_new_name_that_is_taken_too_gets_a_number(old: OldDatabase, tmp_path: Path) -> None:
    earlier = {"created_at": "2026-01-01 00:00:00"}
    old.user("user_1", "x", **earlier)
    old.user("user_2", "X")
    old.user("user_3", "x (user_2)")
    for number, (name, columns) in enumerate((("x", earlier), ("X", {}), ("x (key_2)", {}))):
        object_id = f"_{number + 1}"
        old.tenant(f"tenant{object_id}", name.replace("key", "tenant"), **columns)
        old.agent("tenant_1", f"agent{object_id}", name.replace("key", "agent"), **columns)
    for number, (name, columns) in enumerate((("x", earlier), ("X", {}), ("x (key_2)", {}))):
        old.key(
            "tenant_1", "agent_1", f"key_{number + 1}", name, api_key=secret_of(TENANT_ID, AGENT_ID, number), **columns
        )

    import_from(old, tmp_path)

    assert User.objects.get(pk="user_2").username == "X (user_2, 2)"
    assert Tenant.objects.get(pk="tenant_2").tenant_name == "X (tenant_2, 2)"
    assert Agent.unscoped.get(pk="agent_2").name == "X (agent_2, 2)"
    assert ApiKey.unscoped.get(pk="key_2").name == "X (key_2, 2)"
    assert verify(old).status == 0


def test_new_name_that_is_taken_in_maim_gets_a_number(old: OldDatabase, tmp_path: Path) -> None:
    register("x")
    register("x (user_1)")
    old.user("user_1", "X")
    old.tenant()
    old.agent(TENANT_ID)
    import_from(old, tmp_path)
    tenant, agent = Tenant.objects.get(pk=TENANT_ID), Agent.unscoped.get()
    for name in ("x", "x ({}_1)"):
        tenants.create_tenant(actor=OPERATOR, tenant_name=name.format("tenant"), tenant_type=TenantType.PERSONAL)
        make_agent(tenant, name.format("agent"))
        make_key(agent, name.format("key"))
    old.tenant("tenant_1", "X")
    old.agent(TENANT_ID, "agent_1", "X")
    old.key(TENANT_ID, AGENT_ID, "key_1", "X")

    import_from(old, tmp_path)

    assert User.objects.get(pk="user_1").username == "X (user_1, 2)"
    assert Tenant.objects.get(pk="tenant_1").tenant_name == "X (tenant_1, 2)"
    assert Agent.unscoped.get(pk="agent_1").name == "X (agent_1, 2)"
    assert ApiKey.unscoped.get(pk="key_1").name == "X (key_1, 2)"


@pytest.mark.parametrize("name", ["\u202eeman", "eman\u3164", "e\u200bman", "em\x1ban"], ids=ascii)
def test_forbidden_characters_are_removed_from_names(name: str, old: OldDatabase, tmp_path: Path) -> None:
    old.tenant(TENANT_ID, name)
    old.agent(TENANT_ID, AGENT_ID, name)
    old.key(TENANT_ID, AGENT_ID, KEY_ID, name)

    run = import_from(old, tmp_path)

    assert Tenant.objects.get(pk=TENANT_ID).tenant_name == "eman"
    assert Agent.unscoped.get(pk=AGENT_ID).name == "eman"
    assert ApiKey.unscoped.get(pk=KEY_ID).name == "eman"
    for kind in ("tenants", "agents", "keys"):
        assert run.reasons(kind) == ["renamed"]


def test_objects_of_deleted_tenants_are_refused_and_reported(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent("tenant_gone", AGENT_ID)
    old.key("tenant_gone", AGENT_ID)
    old.plugin("tenant_gone", None)
    old.heartbeat("tenant_gone", AGENT_ID)
    old.section("tool_config_overrides", "agent_gone", enable_tool=True)

    run = import_from(old, tmp_path)

    assert not Agent.unscoped.exists()
    assert [(kind, run.counts(kind)) for kind in ("agents", "keys", "plugins", "activity")] == [
        (kind, {"read": 1, "refused": 1}) for kind in ("agents", "keys", "plugins", "activity")
    ]
    details = {finding["object_id"] for finding in run.report["findings"]}
    assert details == {AGENT_ID, KEY_ID, "ps_tenant_gone_global_weather", "tool_config_overrides"}


def test_objects_with_invalid_ids_are_refused(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.user("u" * 60)
    old.agent(TENANT_ID, "a" * 60)
    old.key(TENANT_ID, "a" * 60)
    old.tenant("t" * 60, "other")
    old.agent("t" * 60, "agent_1")

    run = import_from(old, tmp_path)

    assert [run.counts(kind) for kind in ("users", "tenants", "agents", "keys")] == [
        {"read": 1, "refused": 1}, {"read": 2, "written": 1, "refused": 1}, {"read": 2, "refused": 2},
        {"read": 1, "refused": 1},
    ]  # fmt: skip


@pytest.mark.parametrize("dots", [".", ".."])
def test_objects_with_an_id_that_names_another_in_a_url_are_refused(
    dots: str, old: OldDatabase, tmp_path: Path
) -> None:
    old.user(dots)
    old.tenant()
    old.agent(TENANT_ID, dots)
    old.agent(TENANT_ID)
    old.key(TENANT_ID, AGENT_ID, dots)

    run = import_from(old, tmp_path)

    assert [run.counts(kind)["refused"] for kind in ("users", "agents", "keys")] == [1, 1, 1]
    assert list(Agent.unscoped.values_list("pk", flat=True)) == [AGENT_ID]
    assert "no URL can have" in str(run.report["findings"])


def test_counts_of_the_report_add_up(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent(TENANT_ID)
    old.key(TENANT_ID, AGENT_ID, "key_1", "good")
    old.key(TENANT_ID, AGENT_ID, "key_2", "malformed", api_key="mmc_nonsense")
    old.key("tenant_gone", AGENT_ID, "key_3", "orphan")

    run: Run = import_from(old, tmp_path)

    assert run.counts("keys") == {"read": 3, "written": 1, "refused": 2}


def test_bytes_are_read_as_text(old: OldDatabase, tmp_path: Path) -> None:
    old.user("user_1", "alice")
    old.tenant(owner_id="user_1")
    old.agent(TENANT_ID, config={"persona": "calm", "config_overrides": {"model": {"models": [{"name": "m"}]}}})
    secret = old.key(TENANT_ID, AGENT_ID)
    old.plugin(TENANT_ID, AGENT_ID)
    for table in ("users", "tenants", "agents", "api_keys", "plugin_settings", "personality_configs"):
        texts = (name for name, kind in SCHEMA[table].items() if "CHAR" in kind or "TEXT" in kind)
        old.execute(f"UPDATE {table} SET {', '.join(f'{name} = CAST({name} AS BLOB)' for name in texts)}")

    run = import_from(old, tmp_path)

    assert run.report["findings"] == []
    assert can_sign_in("alice")
    assert verdict(secret) == "VALID"
    assert Agent.unscoped.get().config["persona"] == "calm"
    assert Tenant.objects.get().owner_id == "user_1"
    assert verify(old).status == 0


def test_column_values_that_json_cannot_hold_are_left_out(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent(TENANT_ID, config={"persona": {"personality": "calm"}, "config_overrides": {"chat": {"talk_value": 0.3}}})
    old.execute("UPDATE chat_config_overrides SET talk_value = 9e999")
    old.execute("UPDATE personality_configs SET personality = CAST(x'610062' AS TEXT)")

    run = import_from(old, tmp_path)

    assert Agent.unscoped.get().config == {
        "persona": {"personality": "ab"}, "config_overrides": {"chat": {"talk_value": 0.3}},
    }  # fmt: skip
    assert run.reasons("agents") == ["bad JSON"]
    assert verify(old).status == 0


def test_only_objects_without_an_id_are_refused(old: OldDatabase, tmp_path: Path) -> None:
    web = OldDatabase("sqlite:///" + str(tmp_path / "web.sqlite3"), ["users", "tenants"])
    web.tenant("tenant_1", "Shop")
    web.tenant("tenant_2", "SHOP")
    old.tenant()
    old.agent(TENANT_ID)
    old.plugin(TENANT_ID, None)
    for table, columns in {
        "agents": f"'{TENANT_ID}', NULL, 'active'",
        "tenants": "NULL, NULL, NULL",
        "plugin_settings": "NULL, NULL, NULL",
    }.items():
        names = {"agents": "tenant_id, name, status", "tenants": "tenant_name, status, owner_id"}
        given = names.get(table, "tenant_id, agent_id, plugin_name")
        old.execute(f"ALTER TABLE {table} RENAME TO former")
        old.execute(f"CREATE TABLE {table} AS SELECT * FROM former")
        old.execute(f"INSERT INTO {table} ({given}) VALUES ({columns})")
        old.execute("DROP TABLE former")

    run = import_from(old, tmp_path, "--apply", web=web)

    assert run.counts("agents") == {"read": 2, "written": 1, "refused": 1}
    assert run.counts("tenants") == {"read": 3, "written": 3}
    assert run.counts("plugins") == {"read": 2, "written": 1, "refused": 1}
    compared = verify(old, web=web)
    assert (compared.status, compared.out.count("refused")) == (4, 2)
