"""What is wrong in old data is handled in one way, and reported; nothing is guessed away."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from accounts.models import User
from agent_config import secrets
from agents.models import Agent, PluginSetting
from apikeys import keyformat
from apikeys.models import ApiKey
from core.http.surfaces import INTERNAL, PUBLIC
from legacy.tests.import_command import Run, import_from, verify
from legacy.tests.old_databases import HASHED, PASSWORD, SCHEMA, OldDatabase, secret_of
from tenants import services as tenants
from tenants.models import Membership, Tenant, TenantType
from tests.support.client import SurfaceClient
from tests.support.people import OPERATOR, make_agent, make_key, register

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]
T, A, K = "tenant_00000000000a", "agent_00000000000a", "key_00000000000a"


def verdict(secret: str) -> str:
    answer = SurfaceClient(INTERNAL).send("POST", "/api/v2/auth/validate-api-key", {"api_key": secret}).json()
    code: str = (answer["data"] or {}).get("code") or answer["error_code"]
    return code


def can_sign_in(username: str) -> bool:
    credentials = {"username": username, "password": PASSWORD}
    return bool(SurfaceClient(PUBLIC).send("POST", "/api/v1/auth/login", credentials).status_code == 200)


# ---- people


def test_of_users_who_differ_by_case_the_later_signs_in_under_a_new_name(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.user("user_2", "ALICE", created_at="2026-02-02 00:00:00")
    old.user("user_1", "alice", created_at="2026-01-01 00:00:00")

    run = import_from(old, tmp_path)

    assert set(User.objects.values_list("id", "username")) == {("user_1", "alice"), ("user_2", "ALICE (user_2)")}
    assert run.reasons("users") == ["renamed"]
    assert can_sign_in("ALICE (user_2)")


def test_a_user_whose_name_somebody_here_has_signs_in_under_a_new_one(old: OldDatabase, tmp_path: Path) -> None:
    here = register("alice").user
    old.tenant()
    old.user("user_1", "Alice", email="alice@example.com")
    User.objects.filter(pk=here.pk).update(email="ALICE@example.com", email_folded="alice@example.com")

    run = import_from(old, tmp_path)

    assert User.objects.get(pk="user_1").username == "Alice (user_1)"
    assert User.objects.get(pk="user_1").email is None
    assert run.reasons("users", "user_1") == ["renamed", "bad e-mail"]
    assert User.objects.get(pk=here.pk).username == "alice"


def test_a_name_with_an_id_that_somebody_has_gets_a_number(old: OldDatabase, tmp_path: Path) -> None:
    earlier = {"created_at": "2026-01-01 00:00:00"}
    old.user("user_1", "x", **earlier)
    old.user("user_2", "X")
    old.user("user_3", "x (user_2)")
    for number, (name, columns) in enumerate((("x", earlier), ("X", {}), ("x (key_2)", {}))):
        object_id = f"_{number + 1}"
        old.tenant(f"tenant{object_id}", name.replace("key", "tenant"), **columns)
        old.agent("tenant_1", f"agent{object_id}", name.replace("key", "agent"), **columns)
    for number, (name, columns) in enumerate((("x", earlier), ("X", {}), ("x (key_2)", {}))):
        old.key("tenant_1", "agent_1", f"key_{number + 1}", name, api_key=secret_of(T, A, number), **columns)

    import_from(old, tmp_path)

    assert User.objects.get(pk="user_2").username == "X (user_2, 2)"
    assert Tenant.objects.get(pk="tenant_2").tenant_name == "X (tenant_2, 2)"
    assert Agent.unscoped.get(pk="agent_2").name == "X (agent_2, 2)"
    assert ApiKey.unscoped.get(pk="key_2").name == "X (key_2, 2)"
    assert verify(old).status == 0


def test_a_name_with_an_id_that_somebody_here_has_gets_a_number(old: OldDatabase, tmp_path: Path) -> None:
    register("x")
    register("x (user_1)")
    old.user("user_1", "X")
    old.tenant()
    old.agent(T)
    import_from(old, tmp_path)
    tenant, agent = Tenant.objects.get(pk=T), Agent.unscoped.get()
    for name in ("x", "x ({}_1)"):
        tenants.create_tenant(actor=OPERATOR, tenant_name=name.format("tenant"), tenant_type=TenantType.PERSONAL)
        make_agent(tenant, name.format("agent"))
        make_key(agent, name.format("key"))
    old.tenant("tenant_1", "X")
    old.agent(T, "agent_1", "X")
    old.key(T, A, "key_1", "X")

    import_from(old, tmp_path)

    assert User.objects.get(pk="user_1").username == "X (user_1, 2)"
    assert Tenant.objects.get(pk="tenant_1").tenant_name == "X (tenant_1, 2)"
    assert Agent.unscoped.get(pk="agent_1").name == "X (agent_1, 2)"
    assert ApiKey.unscoped.get(pk="key_1").name == "X (key_1, 2)"


@pytest.mark.parametrize(
    ("name", "becomes"),
    [
        ("", "user_1"),
        ("  ", "user_1"),
        ("x" * 150, "x" * 100),
        ("a\x07b", "ab"),
        ("\u202eeman\u3164", "eman"),
        ("\u3164\u200b", "user_1"),
        ("a\u3000b", "user_1"),
        (" bob ", "bob"),
    ],
    ids=["empty", "blank", "long", "control", "direction", "invisible", "unprintable", "blanks around it"],
)
def test_names_that_cannot_be_kept_become_others(name: str, becomes: str, old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.user("user_1", name)

    run = import_from(old, tmp_path)

    assert User.objects.get().username == becomes
    assert run.reasons("users") == ([] if becomes == "bob" else ["renamed"])
    assert can_sign_in(becomes)


@pytest.mark.parametrize("name", ["\u202eeman", "eman\u3164", "e\u200bman", "em\x1ban"], ids=ascii)
def test_names_lose_what_a_name_may_not_hold(name: str, old: OldDatabase, tmp_path: Path) -> None:
    old.tenant(T, name)
    old.agent(T, A, name)
    old.key(T, A, K, name)

    run = import_from(old, tmp_path)

    assert Tenant.objects.get(pk=T).tenant_name == "eman"
    assert Agent.unscoped.get(pk=A).name == "eman"
    assert ApiKey.unscoped.get(pk=K).name == "eman"
    for kind in ("tenants", "agents", "keys"):
        assert run.reasons(kind) == ["renamed"]


def test_of_names_that_differ_by_width_or_invisibly_the_later_becomes_another(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    for number, name in enumerate(("客服Ａ", "客服A", "客服\u200bA", "\ufdfa" * 100, "\ufdfa" * 99), start=1):
        old.agent(T, f"agent_{number}", name, created_at=f"2026-01-0{number} 00:00:00")

    run = import_from(old, tmp_path)

    assert dict(Agent.unscoped.values_list("id", "name")) == {
        "agent_1": "客服Ａ",
        "agent_2": "客服A (agent_2)",
        "agent_3": "客服A (agent_3)",
        "agent_4": "\ufdfa" * 16,
        "agent_5": "\ufdfa" * 15 + " (agent_5)",
    }
    assert set(run.reasons("agents")) == {"renamed"}


def test_usernames_that_differ_by_width_stay_as_they_are(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.user("user_1", "ａlice")
    old.user("user_2", "alice")

    import_from(old, tmp_path)

    assert dict(User.objects.values_list("id", "username")) == {"user_1": "ａlice", "user_2": "alice"}


@pytest.mark.parametrize("email", ["not-an-email", "a@b", "x" * 300 + "@example.com", "a@exa\u3164mple.com"])
def test_a_bad_email_is_left_out(email: str, old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.user("user_1", email=email)

    run = import_from(old, tmp_path)

    assert User.objects.get().email is None
    assert run.reasons("users") == ["bad e-mail"]


def test_of_two_with_one_email_the_earlier_has_it(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.user("user_1", "bob", email="a@example.com", created_at="2026-02-02 00:00:00")
    old.user("user_2", "alice", email="A@example.com", created_at="2026-01-01 00:00:00")

    import_from(old, tmp_path)

    assert set(User.objects.values_list("id", "email")) == {("user_1", None), ("user_2", "A@example.com")}


@pytest.mark.parametrize("hashed", ["", "plain", "$2b$31$" + HASHED[7:], "$1$salt$md5"])
def test_what_is_no_bcrypt_hash_lets_nobody_in(hashed: str, old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.user("user_1", "alice", hashed_password=hashed)

    run = import_from(old, tmp_path)

    assert run.reasons("users") == ["bad password hash"]
    assert not can_sign_in("alice")


# ---- tenants


def test_who_owns_a_tenant_is_its_owner(old: OldDatabase, tmp_path: Path) -> None:
    old.user("user_1")
    old.tenant(owner_id="user_1")

    import_from(old, tmp_path)

    assert list(Membership.objects.values_list("tenant_id", "user_id", "role")) == [(T, "user_1", "owner")]


def test_a_tenant_of_an_unknown_owner_keeps_the_id_and_is_nobodys(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant(owner_id="user_gone")

    run = import_from(old, tmp_path)

    tenant = Tenant.objects.get()
    assert (tenant.owner, tenant.named_owner_id) == (None, "user_gone")
    assert not Membership.objects.exists()
    assert run.reasons("tenants") == ["no such owner"]


def test_a_user_who_comes_later_becomes_the_owner_of_what_has_their_id(
    old: OldDatabase, internal: SurfaceClient, tmp_path: Path
) -> None:
    old.tenant(owner_id="user_1")
    import_from(old, tmp_path)
    body = {"tenant_name": "By API", "tenant_type": "personal", "owner_id": "user_1"}
    by_api = internal.send("POST", "/api/v2/tenants", body).json()["data"]["id"]
    renamed = internal.send("PUT", f"/api/v2/tenants/{T}", {"tenant_name": "Renamed here"})
    web = OldDatabase("sqlite:///" + str(tmp_path / "web.sqlite3"), ["users", "tenants"])
    web.user("user_1")

    import_from(old, tmp_path, "--apply", web=web)

    assert renamed.status_code == 200
    assert {row.owner_id for row in Tenant.objects.all()} == {"user_1"}
    assert set(Membership.objects.values_list("tenant_id", "user_id", "role")) == {
        (T, "user_1", "owner"),
        (by_api, "user_1", "owner"),
    }
    assert Tenant.objects.get(pk=T).tenant_name == "Renamed here", "only its owner has changed there"


def test_of_an_owners_tenants_whose_names_differ_by_case_the_later_is_renamed(old: OldDatabase, tmp_path: Path) -> None:
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
def test_a_tenant_with_a_fault_is_taken_over(
    columns: dict[str, Any], reason: str, shown: dict[str, Any], old: OldDatabase, tmp_path: Path
) -> None:
    old.tenant(T, columns.pop("tenant_name", "Shop"), **columns)

    run = import_from(old, tmp_path)

    tenant = Tenant.objects.get()
    assert {name: getattr(tenant, name) for name in shown} == shown
    assert run.reasons("tenants") == [reason]


# ---- agents


def test_of_two_agents_of_one_name_the_later_is_renamed(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent(T, "agent_2", "bot", created_at="2026-01-02 00:00:00")
    old.agent(T, "agent_1", "BOT", created_at="2026-01-01 00:00:00")

    run = import_from(old, tmp_path)

    assert set(Agent.unscoped.values_list("id", "name")) == {("agent_1", "BOT"), ("agent_2", "bot (agent_2)")}
    assert run.reasons("agents") == ["renamed"]


def test_an_agent_whose_name_another_here_has_is_renamed(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    import_from(old, tmp_path)
    make_agent(Tenant.objects.get(), "bot")
    old.agent(T, "agent_1", "bot")

    run = import_from(old, tmp_path)

    assert Agent.unscoped.get(pk="agent_1").name == "bot (agent_1)"
    assert run.reasons("agents") == ["renamed"]


@pytest.mark.parametrize("raw", ["{oops", '{"a": NaN}', "[" * 60 + "]" * 60, '{"a": 1, "a": 2}'])
def test_a_config_that_does_not_parse_is_left_out_and_the_tables_count(
    raw: str, old: OldDatabase, tmp_path: Path
) -> None:
    old.tenant()
    old.agent(T, A, config=raw)
    old.section("tool_config_overrides", A, enable_tool=True)

    run = import_from(old, tmp_path)

    assert Agent.unscoped.get().config == {"config_overrides": {"tool": {"enable_tool": True}}}
    assert run.reasons("agents") == ["bad JSON"]


def test_a_wrong_value_is_kept_and_reported(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent(T, A, config=json.dumps({"config_overrides": {"chat": {"talk_value": "often"}}}))

    run = import_from(old, tmp_path)

    assert Agent.unscoped.get().config == {"config_overrides": {"chat": {"talk_value": "often"}}}
    assert run.reasons("agents") == ["config is odd"]


def test_what_is_in_the_way_is_left_out_and_reported(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent(
        T, A, config=json.dumps({"persona": 7, "config_overrides": {"model": {"models": [{"no": "name"}]}}, "a": 1})
    )

    run = import_from(old, tmp_path)

    assert Agent.unscoped.get().config == {"config_overrides": {"model": {"models": []}}, "a": 1}
    assert run.reasons("agents") == ["config partly left out"]


def test_providers_secrets_are_sealed(old: OldDatabase, tmp_path: Path) -> None:
    providers = [{"name": "own", "api_key": "sk-very-secret", "base_url": "https://own.example"}]
    old.tenant()
    old.agent(T, A, config={"config_overrides": {"model": {"api_providers": providers}}})

    import_from(old, tmp_path)

    stored = Agent.unscoped.get().config
    assert "sk-very-secret" not in json.dumps(stored)
    assert secrets.opened(stored)["config_overrides"]["model"]["api_providers"] == providers


def test_a_text_that_no_statement_carries_is_cut_or_left_out(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent(T, A, description="d" * 3_000_000, config=json.dumps({"own": "c" * 3_000_000}))

    run = import_from(old, tmp_path)

    agent = Agent.unscoped.get()
    assert (len(agent.description or ""), agent.config) == (1024 * 1024, {})
    assert sorted(run.reasons("agents")) == ["bad JSON", "text changed"]


def test_a_template_that_names_nothing_is_kept(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent(T, A, template_id="tmpl_x")

    import_from(old, tmp_path)

    assert Agent.unscoped.get().template_id == "tmpl_x"


def test_agents_of_deleted_tenants_are_left_out_and_listed(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent("tenant_gone", A)
    old.key("tenant_gone", A)
    old.plugin("tenant_gone", None)
    old.heartbeat("tenant_gone", A)
    old.section("tool_config_overrides", "agent_gone", enable_tool=True)

    run = import_from(old, tmp_path)

    assert not Agent.unscoped.exists()
    assert [(kind, run.counts(kind)) for kind in ("agents", "keys", "plugins", "activity")] == [
        (kind, {"read": 1, "refused": 1}) for kind in ("agents", "keys", "plugins", "activity")
    ]
    details = {finding["object_id"] for finding in run.report["findings"]}
    assert details == {A, K, "ps_tenant_gone_global_weather", "tool_config_overrides"}


# ---- keys


def test_a_key_works_as_before(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent(T)
    secret = old.key(T, A, usage_count=7, last_used_at="2026-04-01 12:00:00", permissions=["chat", "config_read"])

    import_from(old, tmp_path)

    key = ApiKey.unscoped.get()
    assert (key.usage_count, key.last_used_at) == (7, datetime(2026, 4, 1, 12, tzinfo=UTC))
    assert key.permissions == ["chat", "config_read"]
    assert verdict(secret) == "VALID"
    assert secret not in str(list(key.secrets.values()))


def test_of_two_keys_of_one_name_the_later_is_renamed_and_both_work(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent(T)
    later = old.key(T, A, "key_1", "dup", created_at="2026-01-02 00:00:00")
    earlier = old.key(T, A, "key_2", "Dup", created_at="2026-01-01 00:00:00")

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
def test_a_key_with_a_fault_lets_in_whom_it_should(
    columns: dict[str, Any], code: str, reasons: list[str], old: OldDatabase, tmp_path: Path
) -> None:
    old.tenant()
    old.agent(T)
    secret = old.key(T, A, **columns)

    run = import_from(old, tmp_path)

    assert verdict(secret) == code
    assert run.reasons("keys") == reasons


def test_an_end_with_an_offset_is_in_utc_here(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent(T)
    old.key(T, A, expires_at="2099-01-01T00:00:00+08:00")

    import_from(old, tmp_path)

    assert ApiKey.unscoped.get().expires_at == datetime(2098, 12, 31, 16, tzinfo=UTC)


def test_a_key_of_a_suspended_tenant_lets_nobody_in(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant(status="suspended")
    old.agent(T)
    secret = old.key(T, A)

    import_from(old, tmp_path)

    assert verdict(secret) == "AUTH_007"


def test_keys_that_cannot_work_are_refused_and_listed(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent(T)
    old.tenant("tenant_00000000000b", "Bob's")
    old.agent("tenant_00000000000b", "agent_00000000000b")
    old.key(T, A, "key_1", "malformed", api_key="mmc_nonsense")
    old.key(T, "agent_gone", "key_2", "of nobody")
    old.key(T, "agent_00000000000b", "key_3", "of another's agent")

    run = import_from(old, tmp_path)

    assert not ApiKey.unscoped.exists()
    assert run.counts("keys") == {"read": 3, "refused": 3}
    assert [run.reasons("keys", f"key_{number}") for number in (1, 2, 3)] == [
        ["malformed key"], ["refers to nothing"], ["refers to nothing"],
    ]  # fmt: skip


def test_a_key_is_shown_masked_as_it_was(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent(T)
    secret = old.key(T, A)

    import_from(old, tmp_path)

    shown = SurfaceClient(INTERNAL).send("GET", f"/api/v2/api-keys/{K}").json()["data"]
    assert shown["api_key"] == keyformat.masked(keyformat.parse(secret).hint)


def test_of_a_tenants_own_config_only_what_cannot_be_kept_is_left_out(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant(tenant_config={"plan": "gold", "api_key": "********", "agent_defaults": 5, "own": {"token": "sk-1"}})

    run = import_from(old, tmp_path)

    config = Tenant.objects.get().tenant_config
    assert secrets.opened(config) == {"plan": "gold", "own": {"token": "sk-1"}}
    assert "sk-1" not in str(config)
    assert run.reasons("tenants") == ["config partly left out"] * 2


def test_of_agents_defaults_what_looks_odd_is_kept_and_what_stands_for_a_value_is_that(
    old: OldDatabase, tmp_path: Path
) -> None:
    chat = {"talk_value": "0.5", "mentioned_bot_reply": 0, "own": None}
    odd = {"persona": {"states": [5]}}
    old.tenant(tenant_config={"agent_defaults": {**odd, "config_overrides": {"chat": chat}}})

    import_from(old, tmp_path)

    expected = {**odd, "config_overrides": {"chat": {"talk_value": 0.5, "mentioned_bot_reply": False}}}
    assert Tenant.objects.get().tenant_config == {"agent_defaults": expected}
    assert verify(old).status == 0


# ---- plugin settings


def test_what_looks_sealed_in_a_plugins_setting_is_left_out(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.plugin(T, None, config={"headers": {"x": {"$sealed": "gAAAAA"}}, "n": 1})

    run = import_from(old, tmp_path)

    assert PluginSetting.unscoped.get().config == {"headers": {"x": {}}, "n": 1}
    assert run.reasons("plugins") == ["config partly left out"]


def test_of_two_settings_in_one_place_the_later_counts(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.plugin(T, None, id="ps_1", config={"n": 1}, updated_at="2026-01-01 00:00:00")
    old.plugin(T, None, id="ps_2", config={"n": 2}, updated_at="2026-01-02 00:00:00")

    run = import_from(old, tmp_path)

    assert [setting.config for setting in PluginSetting.unscoped.all()] == [{"n": 2}]
    assert run.reasons("plugins") == ["repeated"]


def test_a_setting_whose_config_is_no_object_has_an_empty_one(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.plugin(T, None, config="[1]")

    run = import_from(old, tmp_path)

    assert PluginSetting.unscoped.get().config == {}
    assert run.reasons("plugins") == ["bad JSON"]


def test_ids_that_cannot_be_kept_are_refused(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.user("u" * 60)
    old.agent(T, "a" * 60)
    old.key(T, "a" * 60)
    old.tenant("t" * 60, "other")
    old.agent("t" * 60, "agent_1")

    run = import_from(old, tmp_path)

    assert [run.counts(kind) for kind in ("users", "tenants", "agents", "keys")] == [
        {"read": 1, "refused": 1}, {"read": 2, "written": 1, "refused": 1}, {"read": 2, "refused": 2},
        {"read": 1, "refused": 1},
    ]  # fmt: skip


def test_the_report_adds_up(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent(T)
    old.key(T, A, "key_1", "good")
    old.key(T, A, "key_2", "malformed", api_key="mmc_nonsense")
    old.key("tenant_gone", A, "key_3", "orphan")

    run: Run = import_from(old, tmp_path)

    assert run.counts("keys") == {"read": 3, "written": 1, "refused": 2}


# ---- what SQLite lets into any column


def test_bytes_are_the_text_that_they_are(old: OldDatabase, tmp_path: Path) -> None:
    old.user("user_1", "alice")
    old.tenant(owner_id="user_1")
    old.agent(T, config={"persona": "calm", "config_overrides": {"model": {"models": [{"name": "m"}]}}})
    secret = old.key(T, A)
    old.plugin(T, A)
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


def test_what_cannot_be_in_a_config_is_left_out_of_it(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent(T, config={"persona": {"personality": "calm"}, "config_overrides": {"chat": {"talk_value": 0.3}}})
    old.execute("UPDATE chat_config_overrides SET talk_value = 9e999")
    old.execute("UPDATE personality_configs SET personality = CAST(x'610062' AS TEXT)")

    run = import_from(old, tmp_path)

    assert Agent.unscoped.get().config == {
        "persona": {"personality": "ab"}, "config_overrides": {"chat": {"talk_value": 0.3}},
    }  # fmt: skip
    assert run.reasons("agents") == ["bad JSON"]
    assert verify(old).status == 0


def test_objects_without_an_id_are_refused_and_no_others(old: OldDatabase, tmp_path: Path) -> None:
    web = OldDatabase("sqlite:///" + str(tmp_path / "web.sqlite3"), ["users", "tenants"])
    web.tenant("tenant_1", "Shop")
    web.tenant("tenant_2", "SHOP")
    old.tenant()
    old.agent(T)
    old.plugin(T, None)
    for table, columns in {
        "agents": f"'{T}', NULL, 'active'",
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


@pytest.mark.parametrize("user_id", ["u" * 60, "user_1 "])
def test_a_tenant_of_an_owner_whose_id_cannot_be_kept_has_none(user_id: str, old: OldDatabase, tmp_path: Path) -> None:
    old.user(user_id)
    old.tenant(owner_id=user_id)

    run = import_from(old, tmp_path)

    assert Tenant.objects.get().owner is None
    assert run.reasons("tenants") == ["no such owner"]


def test_what_differs_between_copies_is_told_without_secrets(old: OldDatabase, tmp_path: Path) -> None:
    web = OldDatabase("sqlite:///" + str(tmp_path / "web.sqlite3"), ["users", "tenants"])
    old.tenant(tenant_config='{"api_key": "sk-secret"}')
    web.tenant(tenant_config='{"api_key": "sk-other"}')

    run = import_from(old, tmp_path, "--apply", web=web)

    assert run.report["findings"][0]["detail"] == "the config service's copy counts: tenant_config"


def test_what_the_web_services_copy_never_had_is_no_difference(old: OldDatabase, tmp_path: Path) -> None:
    web = OldDatabase("sqlite:///" + str(tmp_path / "web.sqlite3"), ["users", "tenants"])
    old.tenant(description="sells shoes", contact_email="shop@example.com", tenant_config='{"n": 1}')
    web.tenant(description=None, contact_email="", tenant_config="null")

    run = import_from(old, tmp_path, "--apply", web=web)

    assert run.report["findings"] == []


@pytest.mark.parametrize("status", ["ACTIVE", " active", "Active", "", "on"])
def test_a_status_that_was_not_taken_for_active_is_not_made_so(status: str, old: OldDatabase, tmp_path: Path) -> None:
    """The old service compared to the letter, and let such a key in nowhere."""
    old.tenant()
    old.agent(T)
    secret = old.key(T, A, status=status)

    run = import_from(old, tmp_path)

    assert verdict(secret) == "AUTH_004"
    assert run.reasons("keys") == ["bad status"]


def test_keys_of_the_first_revision_go_on_working(old: OldDatabase, tmp_path: Path) -> None:
    tenant_id, agent_id = "0b0e5d1c-54c5-4a43-9d3b-6a8f5d0f9f11", "7c9e6679-7425-40de-944b-e07fc1f90ae7"
    payload = f"{tenant_id}_{agent_id}_0123456789abcdef0123456789abcdef_v1"
    old.tenant(tenant_id)
    old.agent(tenant_id, agent_id)
    secret = old.key(tenant_id, agent_id, api_key=f"mmc_{base64.b64encode(payload.encode()).decode()}")

    run = import_from(old, tmp_path)

    assert run.report["findings"] == []
    assert verdict(secret) == "VALID"
    assert verify(old).status == 0
