"""A dry run, the first import of everything, and an import of two databases."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.hashers import make_password

from accounts.models import User
from agents.models import Agent, AgentActivity, ConfigVersion, PluginSetting
from core.http.surfaces import PUBLIC
from core.models import AuditEntry, FeedEntry
from legacy.tests.clients import can_sign_in, verdict
from legacy.tests.import_command import import_from, verify
from legacy.tests.old_databases import AGENT_ID, KEY_ID, PASSWORD, TENANT_ID, USER_ID, OldDatabase
from tenants.models import Tenant
from tests.support.client import SurfaceClient
from tests.support.tables import changed_tables, tables

pytestmark = pytest.mark.django_db


def test_dry_run_writes_nothing_and_reports_the_same(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    before = tables()

    dry_run = import_from(old, tmp_path, "--report", str(tmp_path / "report.json"))
    unchanged = changed_tables(before, tables())
    applied = import_from(old, tmp_path)

    assert unchanged == set()
    assert dry_run.outcome.out.endswith("Nothing was written; --apply writes it.\n")
    assert dry_run.report["kinds"] == applied.report["kinds"]
    assert (dry_run.report["applied"], applied.report["applied"]) == (False, True)


def test_import_creates_every_object(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    run = import_from(old, tmp_path)

    assert [(kind, run.counts(kind)) for kind in run.report["kinds"]] == [
        (kind, {"read": 1, "written": 1}) for kind in ("users", "tenants", "agents", "keys", "plugins", "activity")
    ]
    assert can_sign_in("alice")
    assert verdict(secret) == "VALID"
    assert Agent.unscoped.get().config == {"persona": "calm"}
    assert ConfigVersion.unscoped.get().author == "manage.py import_maim_db"
    assert PluginSetting.unscoped.get().config == {"city": "上海"}
    assert AgentActivity.unscoped.get().agent_id == AGENT_ID
    assert FeedEntry.objects.filter(kind=FeedEntry.Kind.AGENT, subject=AGENT_ID).exists(), (
        "bots that follow the feed see it"
    )


def test_every_imported_object_has_an_audit_row(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    import_from(old, tmp_path)

    entries = set(AuditEntry.objects.values_list("action", "object_id", "actor_label"))
    by = "manage.py import_maim_db"
    assert entries == {
        ("user.import", USER_ID, by),
        ("tenant.import", TENANT_ID, by),
        ("agent.import", AGENT_ID, by),
        ("key.import", KEY_ID, by),
        ("plugin.import", AGENT_ID, by),
    }


def test_users_are_imported_from_the_web_service_and_tenants_from_both(tmp_path: Path) -> None:
    config = OldDatabase.in_file(tmp_path / "config.sqlite3")
    web = OldDatabase("sqlite:///" + str(tmp_path / "web.sqlite3"), ["users", "tenants"])
    web.user()
    web.tenant(TENANT_ID, "web's name", owner_id=USER_ID, description=None)
    web.tenant("tenant_web", "only there", owner_id=USER_ID)
    config.tenant(TENANT_ID, "config's name", owner_id=USER_ID, description="described")
    config.agent(TENANT_ID)

    run = import_from(config, tmp_path, "--apply", web=web)

    assert dict(Tenant.objects.values_list("id", "tenant_name")) == {
        TENANT_ID: "config's name",
        "tenant_web": "only there",
    }
    assert run.reasons("tenants") == ["copies differ"]
    detail = run.report["findings"][0]["detail"]
    assert 'tenant_name "config\'s name", not "web\'s name"' in detail
    assert can_sign_in("alice")
    assert verify(config, web=web).status == 0


def test_imported_operator_signs_in_to_the_admin(old: OldDatabase, secret: str, tmp_path: Path) -> None:
    import_from(old, tmp_path)
    User.objects.update(is_staff=True, is_superuser=True)
    client = SurfaceClient(PUBLIC)

    answer = client.post("/admin/login/?next=/admin/", {"username": "alice", "password": PASSWORD})

    assert (answer.status_code, answer["Location"]) == (302, "/admin/")
    assert make_password(PASSWORD).split("$")[0] == User.objects.get().password.split("$")[0]
