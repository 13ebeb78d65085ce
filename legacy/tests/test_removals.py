"""An import that would remove much, or something of here, is refused before anything is written."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from agents import services as agents
from agents.models import Agent
from apikeys.models import ApiKey
from legacy.tests.import_command import import_from, verify
from legacy.tests.old_databases import OldDatabase
from legacy.tests.test_old_faults import verdict
from tenants.models import Tenant
from tests.support.people import OPERATOR, make_agent
from tests.support.tables import changed_tables, tables

pytestmark = [pytest.mark.django_db, pytest.mark.embedded]

TENANTS = [f"tenant_{number:012x}" for number in range(5)]
AGENTS = [f"agent_{number:012x}" for number in range(5)]
TRIED_OR_APPLIED = [["--report", os.devnull], ["--apply"]]
KEYS = [f"key_{number:012x}" for number in range(5)]


@pytest.fixture
def web(tmp_path: Path) -> OldDatabase:
    """The web service's database: users, and copies of their tenants."""
    web = OldDatabase(f"sqlite:///{tmp_path / 'web.sqlite3'}", ["users", "tenants", "agents", "api_keys"])
    web.user()
    for number, tenant_id in enumerate(TENANTS):
        web.tenant(tenant_id, f"Tenant {number}")
    return web


@pytest.fixture
def secrets(old: OldDatabase, web: OldDatabase, tmp_path: Path) -> list[str]:
    """The secrets of five keys, each of an agent and a tenant of its own, that were imported."""
    made = []
    for number, (tenant_id, agent_id, key_id) in enumerate(zip(TENANTS, AGENTS, KEYS, strict=True)):
        old.tenant(tenant_id, f"Tenant {number}")
        old.agent(tenant_id, agent_id)
        made.append(old.key(tenant_id, agent_id, key_id))
    import_from(old, tmp_path, "--apply", web=web)
    return made


@pytest.mark.parametrize("mode", [[], ["--apply"]], ids=["tried", "applied"])
def test_the_wrong_database_is_refused_and_changes_nothing(
    web: OldDatabase, secrets: list[str], mode: list[str], tmp_path: Path
) -> None:
    before = tables()

    outcome = verify(web, *mode, "--report", str(tmp_path / "refused.json"))

    assert outcome.status == 1
    assert "5 agents (of 5 imported), 5 keys (of 5 imported)" in outcome.err
    assert "None of the 5 imported agents was found: is --config-db the right database?" in outcome.err
    assert outcome.err.rstrip().endswith("run it again with --allow-removals 10")
    assert changed_tables(before, tables()) == set()
    told = json.loads((tmp_path / "refused.json").read_text())["removals"]
    assert {one["object_id"] for one in told} == {*AGENTS, *KEYS}


def test_with_the_number_allowed_what_was_told_goes(web: OldDatabase, secrets: list[str], tmp_path: Path) -> None:
    run = import_from(web, tmp_path, "--apply", "--allow-removals", "10")

    assert (run.counts("agents")["removed"], run.counts("keys")["removed"]) == (5, 5)
    assert not Agent.unscoped.exists()
    assert not ApiKey.unscoped.exists()
    assert Tenant.objects.count() == 5


@pytest.mark.parametrize("number", ["9", "11", "0"])
def test_another_number_than_would_go_is_refused(web: OldDatabase, secrets: list[str], number: str) -> None:
    before = tables()

    outcome = verify(web, "--apply", "--allow-removals", number)

    assert outcome.status == 1
    assert changed_tables(before, tables()) == set()


def test_what_goes_with_a_tenant_is_counted_whether_it_came_over_or_not(
    old: OldDatabase, web: OldDatabase, secrets: list[str], tmp_path: Path
) -> None:
    made_here = make_agent(Tenant.objects.get(pk=TENANTS[0]), "made here")
    for database in (old, web):
        database.delete("tenants", TENANTS[0])

    tried = verify(old, "--report", str(tmp_path / "refused.json"), web=web)

    assert tried.status == 1
    assert "1 tenants (of 5 imported), 2 agents (of 5 imported), 1 keys" in tried.err
    assert "1 of them were created or changed in maim since" in tried.err
    assert f"agents {made_here.id}: agent.create" in tried.out
    run = import_from(old, tmp_path, "--apply", "--allow-removals", "4", web=web)
    assert [run.counts(kind)["removed"] for kind in ("tenants", "agents", "keys")] == [1, 2, 1]


def test_up_to_a_quarter_that_nobody_touched_here_goes_without_asking(
    old: OldDatabase, web: OldDatabase, secrets: list[str]
) -> None:
    old.delete("api_keys", KEYS[0])

    assert verify(old, "--apply", web=web).status == 0
    assert [verdict(secret) for secret in secrets] == ["AUTH_005", *["VALID"] * 4]


def test_more_than_a_quarter_of_a_kind_is_asked_about(old: OldDatabase, web: OldDatabase, secrets: list[str]) -> None:
    for key_id in KEYS[:2]:
        old.delete("api_keys", key_id)

    outcome = verify(old, "--apply", web=web)

    assert outcome.status == 1
    assert "2 keys (of 5 imported)" in outcome.err
    assert [verdict(secret) for secret in secrets] == ["VALID"] * 5


def test_one_that_was_changed_here_since_is_asked_about(old: OldDatabase, web: OldDatabase, secrets: list[str]) -> None:
    agents.update_agent(actor=OPERATOR, agent=Agent.unscoped.get(pk=AGENTS[0]), changes={"description": "ours"})
    old.delete("agents", AGENTS[0])

    outcome = verify(old, "--apply", web=web)

    assert outcome.status == 1
    assert f"agents {AGENTS[0]}: agent.update" in outcome.out
    assert Agent.unscoped.filter(pk=AGENTS[0]).exists()


class TestAnotherDatabase:
    """Swapped, empty, another installation's, or older."""

    @pytest.fixture(params=TRIED_OR_APPLIED, ids=["tried", "applied"])
    def mode(self, request: pytest.FixtureRequest) -> list[str]:
        return list(request.param)

    def refused(self, old: OldDatabase, mode: list[str], web: OldDatabase | None = None) -> str:
        """Return with which sentence a run was refused that changed nothing."""
        before = tables()
        outcome = verify(old, *mode, web=web)
        assert outcome.status == 1
        assert changed_tables(before, tables()) == set()
        return outcome.err

    @pytest.fixture
    def empty(self, tmp_path: Path) -> OldDatabase:
        return OldDatabase.in_file(tmp_path / "empty.sqlite3")

    def test_an_empty_one_in_either_place(
        self, old: OldDatabase, web: OldDatabase, empty: OldDatabase, secrets: list[str], mode: list[str]
    ) -> None:
        assert "is --config-db the right database?" in self.refused(empty, mode, web=web)
        assert "is --web-db the right database?" in self.refused(old, mode, web=empty)
        assert [verdict(secret) for secret in secrets] == ["VALID"] * 5

    def test_both_swapped(self, old: OldDatabase, web: OldDatabase, secrets: list[str], mode: list[str]) -> None:
        assert "None of the 1 imported users was found: is --web-db" in self.refused(web, mode, web=old)

    def test_another_installations(self, empty: OldDatabase, secrets: list[str], mode: list[str]) -> None:
        third = empty
        third.user("user_0000000000ff", "zoe")
        third.tenant("tenant_0000000000ff", "Zoe's")
        third.agent("tenant_0000000000ff", "agent_0000000000ff")

        assert "None of the 1 imported users was found" in self.refused(third, mode)

    def test_the_web_services_where_no_users_came_over_before(
        self, old: OldDatabase, web: OldDatabase, mode: list[str], tmp_path: Path
    ) -> None:
        for number, (tenant_id, agent_id) in enumerate(zip(TENANTS, AGENTS, strict=True)):
            old.tenant(tenant_id, f"Tenant {number}")
            old.agent(tenant_id, agent_id)
        import_from(old, tmp_path)

        assert "None of the 5 imported agents was found: is --config-db" in self.refused(web, mode)


class TestAnOlderCopy:
    """A backup from before a key was revoked."""

    @pytest.fixture
    def backup(self, old: OldDatabase, web: OldDatabase, secrets: list[str], tmp_path: Path) -> OldDatabase:
        backup = OldDatabase(f"sqlite:///{tmp_path / 'backup.sqlite3'}", [])
        shutil.copy(old.path, backup.path)
        old.update("api_keys", KEYS[0], status="disabled", updated_at="2026-05-02 10:00:00")
        import_from(old, tmp_path, "--apply", web=web)
        assert verdict(secrets[0]) != "VALID"
        return backup

    @pytest.mark.parametrize("mode", TRIED_OR_APPLIED, ids=["tried", "applied"])
    def test_is_refused(self, backup: OldDatabase, web: OldDatabase, secrets: list[str], mode: list[str]) -> None:
        before = tables()

        outcome = verify(backup, *mode, web=web)

        assert outcome.status == 1
        assert f"{KEYS[0]} of api_keys was last changed at 2026-05-01 10:00:00+00:00" in outcome.err
        assert changed_tables(before, tables()) == set()

    def test_is_refused_where_it_has_none_of_the_newest(
        self, old: OldDatabase, web: OldDatabase, secrets: list[str]
    ) -> None:
        newest = [f"key_{number:012x}" for number in range(20, 40)]
        backup = OldDatabase(f"{old.url}.backup", [])
        shutil.copy(old.path, backup.path)
        for key_id in newest:
            old.key(TENANTS[0], AGENTS[0], key_id, name=key_id, updated_at="2026-05-02 10:00:00")
        assert verify(old, "--apply", web=web).status == 0

        outcome = verify(backup, "--apply", "--allow-removals", "20", web=web)

        assert outcome.status == 1
        assert "the newest of api_keys was last changed at 2026-05-01" in outcome.err

    def test_is_imported_where_that_is_allowed(
        self, backup: OldDatabase, old: OldDatabase, web: OldDatabase, secrets: list[str]
    ) -> None:
        assert verify(backup, "--apply", "--allow-older", web=web).status == 0
        assert verdict(secrets[0]) == "VALID"
        assert verify(backup, "--apply", web=web).status == 0, "it is the one that was imported last now"

    def test_is_no_database_in_which_the_newest_was_deleted(
        self, old: OldDatabase, web: OldDatabase, backup: OldDatabase
    ) -> None:
        old.delete("api_keys", KEYS[0])

        assert verify(old, "--apply", web=web).status == 0
