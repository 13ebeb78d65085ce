"""An import can be tried, repeated, and run again after the old system has gone on."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.hashers import make_password
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts import services as accounts
from accounts.models import TokenSession, User
from agents.models import Agent, AgentActivity, ConfigVersion, PluginSetting
from apikeys import services as apikeys
from apikeys.models import ApiKey, KeySecret
from core.http.surfaces import INTERNAL, PUBLIC
from core.models import AuditEntry, Change
from legacy.models import Imported
from legacy.tests.import_command import Run, import_from, verify
from legacy.tests.old_databases import PASSWORD, OldDatabase, secret_of
from legacy.tests.test_old_faults import A, K, T, can_sign_in, verdict
from tenants.models import Membership, Tenant
from tests.support.client import SurfaceClient
from tests.support.people import OPERATOR, make_agent, make_key, register
from tests.support.tables import changed_tables, tables

pytestmark = pytest.mark.django_db
U = "user_00000000000a"


@pytest.fixture
def secret(old: OldDatabase) -> str:
    """Of everything one, in the old database; the key's secret."""
    old.user()
    old.tenant(owner_id=U)
    old.agent(T, config={"persona": "calm"})
    old.plugin(T, A)
    old.heartbeat(T, A)
    return old.key(T, A, usage_count=5)


# ---- trying


def test_without_apply_nothing_is_written_and_all_is_told(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    before = tables()

    tried = import_from(old, tmp_path, "--report", str(tmp_path / "report.json"))
    unchanged = changed_tables(before, tables())
    done = import_from(old, tmp_path)

    assert unchanged == set()
    assert tried.outcome.out.endswith("Nothing was written; --apply writes it.\n")
    assert tried.report["kinds"] == done.report["kinds"]
    assert (tried.report["applied"], done.report["applied"]) == (False, True)


def test_everything_is_there_afterwards(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    run = import_from(old, tmp_path)

    assert [(kind, run.counts(kind)) for kind in run.report["kinds"]] == [
        (kind, {"read": 1, "written": 1}) for kind in ("users", "tenants", "agents", "keys", "plugins", "activity")
    ]
    assert can_sign_in("alice")
    assert verdict(secret) == "VALID"
    assert Agent.unscoped.get().config == {"persona": "calm"}
    assert ConfigVersion.unscoped.get().author == "manage.py import_maim_db"
    assert PluginSetting.unscoped.get().config == {"city": "上海"}
    assert AgentActivity.unscoped.get().agent_id == A
    assert Change.objects.filter(kind=Change.Kind.AGENT, subject=A).exists(), "bots that follow the feed are told"


def test_every_object_has_its_audit_row(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    import_from(old, tmp_path)

    told = set(AuditEntry.objects.values_list("action", "object_id", "actor_label"))
    by = "manage.py import_maim_db"
    assert told == {
        ("user.import", U, by), ("tenant.import", T, by), ("agent.import", A, by), ("key.import", K, by),
        ("plugin.import", A, by),
    }  # fmt: skip


# ---- repeating


def test_a_second_run_finds_nothing_to_do(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    import_from(old, tmp_path)
    before = tables()

    with CaptureQueriesContext(connection) as queries:
        again = import_from(old, tmp_path)

    writes = [query["sql"] for query in queries if query["sql"].startswith(("INSERT", "UPDATE", "DELETE"))]
    assert [sql for sql in writes if "common_lock" not in sql] == []
    assert changed_tables(before, tables()) == set()
    assert again.counts("keys") == {"read": 1, "unchanged": 1}


def test_a_later_run_brings_what_has_changed_there(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    import_from(old, tmp_path)
    old.update("users", U, email="alice@example.com")
    old.update("tenants", T, tenant_name="Alice & Co", status="suspended")
    old.update("agents", A, config='{"persona": "wild"}')
    old.execute("UPDATE personality_configs SET personality = 'wild'")
    old.update("api_keys", K, status="disabled", usage_count=9)
    old.update("plugin_settings", f"ps_{T}_{A}_weather", enabled=False)
    more = old.key(T, A, "key_00000000000b", "second")

    run = import_from(old, tmp_path)

    assert [run.counts(kind) for kind in ("users", "tenants", "agents", "plugins")] == [{"read": 1, "changed": 1}] * 4
    assert run.counts("keys") == {"read": 2, "written": 1, "changed": 1}
    assert User.objects.get().email == "alice@example.com"
    assert (Tenant.objects.get().tenant_name, Tenant.objects.get().status) == ("Alice & Co", "suspended")
    agent = Agent.unscoped.get()
    assert (agent.config, agent.config_version) == ({"persona": "wild"}, 2)
    assert ConfigVersion.unscoped.get(number=2).patch == [{"op": "replace", "path": "/persona", "value": "wild"}]
    assert ApiKey.unscoped.get(pk=K).usage_count == 9
    assert not PluginSetting.unscoped.get().enabled
    assert [verdict(secret), verdict(more)] == ["AUTH_004", "AUTH_007"]
    assert verify(old).status == 0


def test_names_may_be_swapped_there(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    old.agent(T, "agent_2", "second")
    import_from(old, tmp_path)
    old.update("agents", A, name="second")
    old.update("agents", "agent_2", name="bot")

    import_from(old, tmp_path)

    assert dict(Agent.unscoped.values_list("id", "name")) == {A: "second", "agent_2": "bot"}


def test_a_name_that_is_given_up_there_may_be_anothers_there(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    old.update("users", U, email="alice@example.com")
    import_from(old, tmp_path)
    old.update("users", U, username="alicia", email=None)
    old.user("user_2", "alice", email="alice@example.com")
    old.update("tenants", T, tenant_name="Former")
    old.tenant("tenant_2", "Alice's", owner_id=U)
    old.update("agents", A, name="former")
    old.agent(T, "agent_2", "bot")
    old.update("api_keys", K, name="former")
    old.key(T, A, "key_2", "key")

    run = import_from(old, tmp_path)

    assert run.report["findings"] == []
    assert verify(old).status == 0


def test_what_is_deleted_there_is_removed_here(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    old.tenant("tenant_2", "Second")
    old.agent("tenant_2", "agent_2")
    old.user("user_2", "bob")
    import_from(old, tmp_path)
    old.delete("api_keys", K)
    old.delete("plugin_settings", f"ps_{T}_{A}_weather")
    old.delete("users", "user_2")
    old.delete("tenants", "tenant_2")
    old.delete("agents", "agent_2")

    tried = import_from(old, tmp_path, "--report", str(tmp_path / "tried.json"))
    run = import_from(old, tmp_path)

    for each in (tried, run):
        removed = {kind: counts["removed"] for kind, counts in each.report["kinds"].items() if counts["removed"]}
        assert removed == {"users": 1, "tenants": 1, "agents": 1, "keys": 1, "plugins": 1}
    assert verdict(secret) == "AUTH_005"
    assert not can_sign_in("bob")
    assert set(Tenant.objects.values_list("id", flat=True)) == {T}
    assert set(Agent.unscoped.values_list("id", flat=True)) == {A}
    assert import_from(old, tmp_path).report["findings"] == []


def tried_and_done(old: OldDatabase, directory: Path) -> Run:
    """A run, before which the same is tried: both tell the same, and a second one has nothing to do."""
    tried = import_from(old, directory, "--report", str(directory / "report.json"))
    run = import_from(old, directory)
    assert (tried.report["kinds"], tried.report["findings"]) == (run.report["kinds"], run.report["findings"])
    before = tables()
    import_from(old, directory)
    assert changed_tables(before, tables()) == set()
    return run


def test_what_is_deleted_there_leaves_its_name_to_what_is_made_there(
    old: OldDatabase, secret: str, tmp_path: Path
) -> None:
    old.tenant("tenant_9", "Shop", owner_id=U)
    old.agent(T, "agent_9", "helper")
    import_from(old, tmp_path)
    old.delete("tenants", "tenant_9")
    old.tenant("tenant_2", "Shop", owner_id=U)
    old.delete("agents", "agent_9")
    old.agent(T, "agent_2", "helper")

    run = tried_and_done(old, tmp_path)

    assert run.report["findings"] == []
    assert verify(old).status == 0


def test_what_is_deleted_there_and_comes_back_is_here_again(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    import_from(old, tmp_path)
    old.delete("agents", A)
    gone = tried_and_done(old, tmp_path)
    old.agent(T)

    back = tried_and_done(old, tmp_path)

    assert [gone.counts(kind)["removed"] for kind in ("agents", "keys", "plugins")] == [1, 1, 1]
    assert [back.counts(kind)["written"] for kind in ("agents", "keys", "plugins", "activity")] == [1, 1, 1, 1]
    assert verdict(secret) == "VALID"
    assert verify(old).status == 0


@pytest.mark.parametrize(("there", "is_left"), [("tenant_2", True), ("tenant_2", False), ("tenant_z", True)])
def test_what_is_another_tenants_there_now_is_so_here(
    there: str, is_left: bool, old: OldDatabase, secret: str, tmp_path: Path
) -> None:
    old.tenant(there, "Other")
    import_from(old, tmp_path)
    old.update("agents", A, tenant_id=there)
    old.update("api_keys", K, tenant_id=there)
    old.update("plugin_settings", f"ps_{T}_{A}_weather", tenant_id=there)
    old.execute(f"UPDATE agent_active_states SET tenant_id = '{there}'")
    if not is_left:
        old.delete("tenants", T)

    run = tried_and_done(old, tmp_path)

    assert [run.counts(kind)["written"] for kind in ("agents", "keys", "plugins", "activity")] == [1, 1, 1, 1]
    assert ApiKey.unscoped.get().tenant_id == there
    assert verify(old).status == 0


def test_a_key_that_is_another_agents_there_now_is_so_here(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    old.agent(T, "agent_2", "second")
    import_from(old, tmp_path)
    old.update("api_keys", K, agent_id="agent_2")

    tried_and_done(old, tmp_path)

    assert ApiKey.unscoped.get().agent_id == "agent_2"
    assert verify(old).status == 0


@pytest.mark.parametrize("columns", [{"api_key": "revoked"}, {"agent_id": "agent_gone"}], ids=str)
def test_a_key_that_is_made_useless_there_is_good_nowhere(
    columns: dict[str, str], old: OldDatabase, secret: str, tmp_path: Path
) -> None:
    import_from(old, tmp_path)
    old.update("api_keys", K, **columns)

    run = tried_and_done(old, tmp_path)

    assert run.counts("keys") == {"read": 1, "refused": 1, "removed": 1}
    assert verdict(secret) == "AUTH_005"


# ---- beside what happens here


def test_what_was_changed_here_stays_until_it_is_changed_there(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    import_from(old, tmp_path)
    answer = SurfaceClient(INTERNAL).send("PUT", f"/api/v2/agents/{A}", {"description": "ours", "config": {"mine": 1}})
    assert answer.status_code == 200

    import_from(old, tmp_path)
    kept = Agent.unscoped.get()
    old.update("agents", A, description="theirs")
    import_from(old, tmp_path)

    assert (kept.description, kept.config) == ("ours", {"persona": "calm", "mine": 1})
    assert (Agent.unscoped.get().description, Agent.unscoped.get().config) == ("theirs", {"persona": "calm"})


def test_a_password_that_was_hashed_anew_at_a_sign_in_stays(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    import_from(old, tmp_path)
    assert can_sign_in("alice")
    upgraded = User.objects.get().password

    old.update("users", U, email="alice@example.com")
    import_from(old, tmp_path)

    assert not upgraded.startswith("bcrypt")
    assert verify(old).status == 0
    assert can_sign_in("alice")


def test_a_password_that_was_changed_here_stays_whatever_else_changes_there(
    old: OldDatabase, secret: str, tmp_path: Path
) -> None:
    import_from(old, tmp_path)
    accounts.set_password(actor=OPERATOR, user=User.objects.get(), password="chosen-here")
    old.update("users", U, email="alice@example.com")

    import_from(old, tmp_path)

    assert User.objects.get().email == "alice@example.com"
    assert User.objects.get().check_password("chosen-here")
    assert not can_sign_in("alice")


def test_a_password_that_was_changed_there_ends_the_sessions_here(
    old: OldDatabase, secret: str, tmp_path: Path
) -> None:
    import_from(old, tmp_path)
    assert can_sign_in("alice")
    assert TokenSession.objects.exists()
    import bcrypt

    old.update("users", U, hashed_password=bcrypt.hashpw(b"another-password", bcrypt.gensalt(4)).decode())
    import_from(old, tmp_path)

    assert not TokenSession.objects.exists()
    assert not can_sign_in("alice")


def test_uses_that_were_counted_here_are_not_lost(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    import_from(old, tmp_path)
    ApiKey.unscoped.update(usage_count=50)
    old.update("api_keys", K, usage_count=6)

    import_from(old, tmp_path)

    assert ApiKey.unscoped.get().usage_count == 50
    assert verify(old).status == 0


def test_a_key_that_was_rotated_here_keeps_its_new_secret(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    import_from(old, tmp_path)
    key = ApiKey.unscoped.get()
    rotated = apikeys.rotate_key(actor=OPERATOR, key=key, grace_seconds=3600)
    old.update("api_keys", K, usage_count=6)

    import_from(old, tmp_path)

    assert KeySecret.objects.count() == 2
    assert (verdict(secret), verdict(rotated.secret)) == ("VALID", "VALID")


def test_a_key_that_was_given_another_secret_there_has_that_one_alone(
    old: OldDatabase, secret: str, tmp_path: Path
) -> None:
    import_from(old, tmp_path)
    another = secret_of(T, A, 999)
    old.update("api_keys", K, api_key=another)

    run = import_from(old, tmp_path)

    assert run.counts("keys") == {"read": 1, "changed": 1}
    assert (verdict(secret), verdict(another)) == ("AUTH_002", "VALID")
    assert AuditEntry.objects.filter(action="key.rotate", object_id=K).exists()


def test_what_was_deleted_here_stays_deleted(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    import_from(old, tmp_path)
    SurfaceClient(INTERNAL).send("DELETE", f"/api/v2/api-keys/{K}")

    unchanged = import_from(old, tmp_path)
    old.update("api_keys", K, usage_count=6)
    changed = import_from(old, tmp_path)

    assert unchanged.counts("keys") == {"read": 1, "unchanged": 1}
    assert changed.reasons("keys") == ["deleted in maim since it was imported"]
    assert verdict(secret) == "AUTH_005"


def test_what_comes_later_for_something_deleted_here_is_refused(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    old.tenant("tenant_2", "Second")
    import_from(old, tmp_path)
    SurfaceClient(INTERNAL).send("DELETE", f"/api/v2/agents/{A}")
    SurfaceClient(INTERNAL).send("DELETE", "/api/v2/tenants/tenant_2")
    later = old.key(T, A, "key_2", "later")
    old.plugin(T, A, "later")
    old.agent("tenant_2", "agent_2")

    run = import_from(old, tmp_path)

    for kind, object_id in (("keys", "key_2"), ("plugins", f"{A}/later"), ("agents", "agent_2")):
        assert run.reasons(kind, object_id) == ["refers to nothing"]
    assert verdict(later) == "AUTH_005"


def test_an_owner_who_was_deleted_here_owns_no_later_tenant(old: OldDatabase, tmp_path: Path) -> None:
    old.user()
    old.tenant()
    import_from(old, tmp_path)
    accounts.delete_user(actor=OPERATOR, user_id=U)
    old.tenant("tenant_2", "Second", owner_id=U)

    run = import_from(old, tmp_path)

    assert Tenant.objects.get(pk="tenant_2").owner is None
    assert run.reasons("tenants") == ["no such owner"]


def test_a_tenant_does_not_go_to_somebody_else_who_has_its_owners_id(old: OldDatabase, tmp_path: Path) -> None:
    mallory = register("mallory").user
    old.user(mallory.id, "alice")
    old.tenant(owner_id=mallory.id)

    run = import_from(old, tmp_path)

    assert run.reasons("users") == ["exists in maim, and was not imported"]
    assert Tenant.objects.get(pk=T).owner is None
    assert not Membership.objects.filter(tenant=T).exists()


def test_somebody_who_was_gone_and_is_there_again_signs_in_again(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    old.user("user_2", "bob")
    import_from(old, tmp_path)
    old.delete("users", "user_2")
    import_from(old, tmp_path)
    gone = can_sign_in("bob")
    old.user("user_2", "bob")

    import_from(old, tmp_path)

    assert (gone, can_sign_in("bob")) == (False, True)


def test_a_swept_heartbeat_comes_back_with_a_later_one(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    import_from(old, tmp_path)
    AgentActivity.unscoped.all().delete()
    old.execute("UPDATE agent_active_states SET last_seen_at = '2026-05-02 00:00:00'")

    run = import_from(old, tmp_path)

    assert run.counts("activity") == {"read": 1, "written": 1}
    assert AgentActivity.unscoped.exists()


def test_what_others_have_here_is_not_touched(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    charlie = register("charlie")
    theirs = make_key(make_agent(charlie.tenant))
    before = list(Tenant.objects.filter(pk=charlie.tenant.id).values())

    import_from(old, tmp_path)

    assert verdict(theirs.secret) == "VALID"
    assert list(Tenant.objects.filter(pk=charlie.tenant.id).values()) == before
    assert not Membership.objects.filter(user=charlie.user).exclude(tenant=charlie.tenant).exists()
    listed = SurfaceClient(PUBLIC, charlie.token).send("GET", "/api/v1/agents/").json()
    assert [agent["id"] for agent in listed] == [theirs.key.agent_id]


def test_heartbeats_and_plugins_that_were_set_on_both_sides_are_no_reason_to_leave_a_tenant_out(
    old: OldDatabase, tmp_path: Path
) -> None:
    old.tenant()
    old.agent(T)
    secret = old.key(T, A)
    import_from(old, tmp_path)
    internal = SurfaceClient(INTERNAL)
    beat = {"tenant_id": T, "agent_id": A, "ttl_seconds": 60}
    assert internal.send("PUT", "/api/v2/agent-activity", beat).status_code == 200
    setting = {"plugin_name": "weather", "enabled": False, "config": {}}
    assert internal.send("POST", f"/api/v1/plugins/settings?tenant_id={T}", setting).status_code == 200
    old.heartbeat(T, A)
    old.plugin(T, None)
    old.update("api_keys", K, status="disabled")

    run = import_from(old, tmp_path)

    assert run.report["findings"] == []
    assert [run.counts(kind) for kind in ("keys", "plugins", "activity")] == [{"read": 1, "changed": 1}] * 3
    assert verdict(secret) == "AUTH_004"
    assert PluginSetting.unscoped.get().enabled
    assert verify(old).status == 0


# ---- all or nothing


def test_a_tenant_is_taken_over_whole_or_not_at_all(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    """An agent of this id is here already, in another tenant: somebody would lose one of the two."""
    charlie = register("charlie")
    ours = make_agent(charlie.tenant)
    old.tenant("tenant_2", "Second")
    old.agent("tenant_2", "agent_2")
    old.agent("tenant_2", ours.id, "other")
    old.key("tenant_2", "agent_2", "key_2")

    run = import_from(old, tmp_path)

    assert set(Tenant.objects.values_list("id", flat=True)) == {T, charlie.tenant.id}
    assert run.reasons("tenants") == ["exists in maim, and was not imported"]
    assert (run.counts("tenants"), run.counts("agents"), run.counts("keys")) == (
        {"read": 2, "written": 1, "refused": 1},
        {"read": 3, "written": 1, "refused": 2},
        {"read": 2, "written": 1, "refused": 1},
    )
    assert not Imported.objects.filter(tenant_id="tenant_2").exists()
    assert verdict(secret) == "VALID"


# ---- two databases


def test_users_come_from_the_web_service_and_tenants_from_both(tmp_path: Path) -> None:
    config = OldDatabase.in_file(tmp_path / "config.sqlite3")
    web = OldDatabase("sqlite:///" + str(tmp_path / "web.sqlite3"), ["users", "tenants"])
    web.user()
    web.tenant(T, "web's name", owner_id=U, description=None)
    web.tenant("tenant_web", "only there", owner_id=U)
    config.tenant(T, "config's name", owner_id=U, description="described")
    config.agent(T)

    run = import_from(config, tmp_path, "--apply", web=web)

    assert dict(Tenant.objects.values_list("id", "tenant_name")) == {T: "config's name", "tenant_web": "only there"}
    assert run.reasons("tenants") == ["copies differ"]
    detail = run.report["findings"][0]["detail"]
    assert 'tenant_name "config\'s name", not "web\'s name"' in detail
    assert can_sign_in("alice")
    assert verify(config, web=web).status == 0


def test_passwords_work_for_operators_too(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    """Whoever is made an operator later signs in to the admin with the same password."""
    import_from(old, tmp_path)
    User.objects.update(is_staff=True, is_superuser=True)
    client = SurfaceClient(PUBLIC)

    answer = client.post("/admin/login/?next=/admin/", {"username": "alice", "password": PASSWORD})

    assert (answer.status_code, answer["Location"]) == (302, "/admin/")
    assert make_password(PASSWORD).split("$")[0] == User.objects.get().password.split("$")[0]
