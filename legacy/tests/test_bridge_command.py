"""The command bridge_maim_db: writes that the old database refuses, and databases that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.utils import timezone

from agents import services as agents
from core.models import Lock
from legacy.sources import Source
from legacy.tests.bridge_command import bridge, counts, refuse_agent, set_config
from legacy.tests.old_databases import OldDatabase
from tenants.models import Tenant
from tests.support.commands import run
from tests.support.old_bot import OldBot
from tests.support.people import OPERATOR, make_agent
from tests.support.server import ON_MARIADB

pytestmark = pytest.mark.django_db


def _identity(url: str) -> str:
    return Source(url).identity


def test_refused_object_does_not_stop_others(
    shared: OldDatabase, bot: OldBot, tenant: Tenant, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, third = (make_agent(tenant, config={"persona": "calm"}) for _number in range(3))
    refuse_agent(shared, second.name)

    outcome = bridge(shared)

    assert outcome.status == 4
    assert counts(outcome)["agents"] == {"inserted": 2, "refused": 1}
    assert bot.config(first.id) is not None
    assert bot.config(third.id) is not None
    assert bot.number_of_rows(second.id) == {}, "nothing of it is written"
    assert f"the old database refuses agents {second.id}" in caplog.text

    shared.execute("DROP TRIGGER refusing")
    assert counts(bridge(shared)) == {"agents": {"inserted": 1}}


def test_refused_deletion_is_tried_again(shared: OldDatabase, bot: OldBot, tenant: Tenant) -> None:
    agent = make_agent(tenant)
    bridge(shared)
    raised = "SIGNAL SQLSTATE '45000'" if ON_MARIADB else "BEGIN SELECT RAISE(ABORT, 'not now'); END"
    shared.execute(f"CREATE TRIGGER refusing BEFORE DELETE ON agents FOR EACH ROW {raised}")
    agents.delete_agent(actor=OPERATOR, agent=agent)

    refused = counts(bridge(shared))
    shared.execute("DROP TRIGGER refusing")
    done = counts(bridge(shared))

    assert (refused, done) == ({"agents": {"refused": 1}}, {"agents": {"deleted": 1}})
    assert bot.status(agent.id) is None


@pytest.mark.needs_mariadb  # SQLite bounds no column
def test_config_too_long_for_the_old_column_leaves_the_previous_one(
    shared: OldDatabase, bot: OldBot, tenant: Tenant
) -> None:
    agent = make_agent(tenant, config={"persona": "short"})
    bridge(shared)

    set_config(agent, {"persona": "long", "notes": ["x" * 9000] * 8})
    outcome = bridge(shared)

    assert counts(outcome) == {"agents": {"refused": 1}}
    config = bot.config(agent.id)
    assert config is not None
    assert config["persona"]["personality"] == "short"


def test_bridged_database_is_not_imported_until_the_bridge_is_forgotten(
    shared: OldDatabase, tenant: Tenant, tmp_path: Path
) -> None:
    bridge(shared)

    refused = run("import_maim_db", "--config-db", shared.url, "--apply")
    forgotten = bridge(shared, "--forget")
    again = run("import_maim_db", "--config-db", shared.url, "--apply")

    assert refused.status == 1
    assert "a bridge has written into this database" in refused.err
    assert forgotten.status == 0
    assert "a bridge has written" not in again.err


def test_second_bridge_to_a_database_is_refused(shared: OldDatabase) -> None:
    bridge(shared)
    name = f"bridge {_identity(shared.url)}"
    now = timezone.now()
    Lock.objects.create(name=name, holder="elsewhere process 1", since=now, renewed_at=now)

    refused, dry = bridge(shared), bridge(shared, "--dry-run")

    assert refused.status == 1
    assert "Another process is at it: elsewhere process 1" in refused.err
    assert dry.status == 0, "a dry run goes on beside it"


@pytest.mark.parametrize(
    ("url", "status", "sentence"),
    [
        ("postgres://x/y", 1, "write sqlite:///PATH or mysql://"),
        ("sqlite:////nowhere/at/all.sqlite3", 5, "does not answer: unable to open database file"),
        ("env:NOT_SET_AT_ALL", 2, "There is no environment variable NOT_SET_AT_ALL"),
        ("mysql://u:p4ss@127.0.0.1:1/x", 5, "does not answer"),
    ],
)
def test_unusable_database_is_named_without_its_password(url: str, status: int, sentence: str) -> None:
    outcome = bridge(url)

    assert outcome.status == status
    assert sentence in outcome.err
    assert "p4ss" not in outcome.err


def test_database_without_the_tables_is_refused(tmp_path: Path) -> None:
    other = OldDatabase(f"sqlite:///{tmp_path / 'other.sqlite3'}", tables=["users"])

    outcome = bridge(other)

    assert outcome.status == 1
    assert "there is no table tenants in it; is it the right database?" in outcome.err


def test_url_may_be_in_the_environment_and_in_the_old_spelling(
    tmp_path: Path, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = OldDatabase.in_file(tmp_path / "maim.sqlite3")
    monkeypatch.setenv("OLD_CONFIG_DB", f"sqlite+aiosqlite:///{tmp_path / 'maim.sqlite3'}")

    assert bridge("env:OLD_CONFIG_DB").status == 0

    assert old.value("tenants", tenant.id, "tenant_name") == tenant.tenant_name
