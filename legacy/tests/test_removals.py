"""Imports that would remove much, or something of maim's own, are refused before anything is written."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from agents import services as agents
from agents.models import Agent
from apikeys.models import ApiKey
from legacy.tests.clients import verdict
from legacy.tests.import_command import import_from, verify
from legacy.tests.old_databases import OldDatabase
from tenants.models import Tenant
from tests.support.people import OPERATOR, make_agent
from tests.support.tables import changed_tables, tables

pytestmark = [pytest.mark.django_db, pytest.mark.embedded]

TENANTS = [f"tenant_{number:012x}" for number in range(5)]
AGENTS = [f"agent_{number:012x}" for number in range(5)]
DRY_RUN_OR_APPLY = [["--report", os.devnull], ["--apply"]]
KEYS = [f"key_{number:012x}" for number in range(5)]


@pytest.fixture
def web(tmp_path: Path) -> OldDatabase:
    """The web service's database, with users and copies of their tenants."""
    web = OldDatabase(f"sqlite:///{tmp_path / 'web.sqlite3'}", ["users", "tenants", "agents", "api_keys"])
    web.user()
    for number, tenant_id in enumerate(TENANTS):
        web.tenant(tenant_id, f"Tenant {number}")
    return web


@pytest.fixture
def secrets(old: OldDatabase, web: OldDatabase, tmp_path: Path) -> list[str]:
    """The secrets of five imported keys, each of an agent and a tenant of its own."""
    secrets = []
    for number, (tenant_id, agent_id, key_id) in enumerate(zip(TENANTS, AGENTS, KEYS, strict=True)):
        old.tenant(tenant_id, f"Tenant {number}")
        old.agent(tenant_id, agent_id)
        secrets.append(old.key(tenant_id, agent_id, key_id))
    import_from(old, tmp_path, "--apply", web=web)
    return secrets


@pytest.mark.parametrize("mode", [[], ["--apply"]], ids=["dry run", "apply"])
def test_wrong_database_is_refused_and_changes_nothing(
    web: OldDatabase, secrets: list[str], mode: list[str], tmp_path: Path
) -> None:
    before = tables()

    outcome = verify(web, *mode, "--report", str(tmp_path / "refused.json"))

    assert outcome.status == 1
    assert "5 agents (of 5 imported), 5 keys (of 5 imported)" in outcome.err
    assert "None of the 5 imported agents was found: is --config-db the right database?" in outcome.err
    assert outcome.err.rstrip().endswith("run it again with --allow-removals 10")
    assert changed_tables(before, tables()) == set()
    removals = json.loads((tmp_path / "refused.json").read_text())["removals"]
    assert {one["object_id"] for one in removals} == {*AGENTS, *KEYS}


def test_allowed_number_of_removals_is_removed(web: OldDatabase, secrets: list[str], tmp_path: Path) -> None:
    run = import_from(web, tmp_path, "--apply", "--allow-removals", "10")

    assert (run.counts("agents")["removed"], run.counts("keys")["removed"]) == (5, 5)
    assert not Agent.unscoped.exists()
    assert not ApiKey.unscoped.exists()
    assert Tenant.objects.count() == 5


@pytest.mark.parametrize("number", ["9", "11", "0"])
def test_other_allowed_number_is_refused(web: OldDatabase, secrets: list[str], number: str) -> None:
    before = tables()

    outcome = verify(web, "--apply", "--allow-removals", number)

    assert outcome.status == 1
    assert changed_tables(before, tables()) == set()


def test_contents_of_a_deleted_tenant_are_counted(
    old: OldDatabase, web: OldDatabase, secrets: list[str], tmp_path: Path
) -> None:
    made_here = make_agent(Tenant.objects.get(pk=TENANTS[0]), "made here")
    for database in (old, web):
        database.delete("tenants", TENANTS[0])

    outcome = verify(old, "--report", str(tmp_path / "refused.json"), web=web)

    assert outcome.status == 1
    assert "1 tenants (of 5 imported), 2 agents (of 5 imported), 1 keys" in outcome.err
    assert "1 of them were created or changed in maim since" in outcome.err
    assert f"agents {made_here.id}: agent.create" in outcome.out
    run = import_from(old, tmp_path, "--apply", "--allow-removals", "4", web=web)
    assert [run.counts(kind)["removed"] for kind in ("tenants", "agents", "keys")] == [1, 2, 1]


def test_up_to_a_quarter_of_a_kind_is_removed_without_permission(
    old: OldDatabase, web: OldDatabase, secrets: list[str]
) -> None:
    old.delete("api_keys", KEYS[0])

    assert verify(old, "--apply", web=web).status == 0
    assert [verdict(secret) for secret in secrets] == ["AUTH_005", *["VALID"] * 4]


def test_more_than_a_quarter_of_a_kind_is_refused(old: OldDatabase, web: OldDatabase, secrets: list[str]) -> None:
    for key_id in KEYS[:2]:
        old.delete("api_keys", key_id)

    outcome = verify(old, "--apply", web=web)

    assert outcome.status == 1
    assert "2 keys (of 5 imported)" in outcome.err
    assert [verdict(secret) for secret in secrets] == ["VALID"] * 5


def test_removal_of_an_object_changed_in_maim_is_refused(
    old: OldDatabase, web: OldDatabase, secrets: list[str]
) -> None:
    agents.update_agent(actor=OPERATOR, agent=Agent.unscoped.get(pk=AGENTS[0]), changes={"description": "ours"})
    old.delete("agents", AGENTS[0])

    outcome = verify(old, "--apply", web=web)

    assert outcome.status == 1
    assert f"agents {AGENTS[0]}: agent.update" in outcome.out
    assert Agent.unscoped.filter(pk=AGENTS[0]).exists()


class TestWrongDatabase:
    """Databases that are swapped, empty, or of another installation."""

    @pytest.fixture(params=DRY_RUN_OR_APPLY, ids=["dry run", "apply"])
    def mode(self, request: pytest.FixtureRequest) -> list[str]:
        return list(request.param)

    def refused(self, old: OldDatabase, mode: list[str], web: OldDatabase | None = None) -> str:
        """Check that an import is refused and changes nothing, and return its message."""
        before = tables()
        outcome = verify(old, *mode, web=web)
        assert outcome.status == 1
        assert changed_tables(before, tables()) == set()
        return outcome.err

    @pytest.fixture
    def empty(self, tmp_path: Path) -> OldDatabase:
        return OldDatabase.in_file(tmp_path / "empty.sqlite3")

    def test_empty_database_in_either_place_is_refused(
        self, old: OldDatabase, web: OldDatabase, empty: OldDatabase, secrets: list[str], mode: list[str]
    ) -> None:
        assert "is --config-db the right database?" in self.refused(empty, mode, web=web)
        assert "is --web-db the right database?" in self.refused(old, mode, web=empty)
        assert [verdict(secret) for secret in secrets] == ["VALID"] * 5

    def test_swapped_databases_are_refused(
        self, old: OldDatabase, web: OldDatabase, secrets: list[str], mode: list[str]
    ) -> None:
        assert "None of the 1 imported users was found: is --web-db" in self.refused(web, mode, web=old)

    def test_database_of_another_installation_is_refused(
        self, empty: OldDatabase, secrets: list[str], mode: list[str]
    ) -> None:
        other = empty
        other.user("user_0000000000ff", "zoe")
        other.tenant("tenant_0000000000ff", "Zoe's")
        other.agent("tenant_0000000000ff", "agent_0000000000ff")

        assert "None of the 1 imported users was found" in self.refused(other, mode)

    def test_web_database_in_place_of_the_config_database_is_refused(
        self, old: OldDatabase, web: OldDatabase, mode: list[str], tmp_path: Path
    ) -> None:
        for number, (tenant_id, agent_id) in enumerate(zip(TENANTS, AGENTS, strict=True)):
            old.tenant(tenant_id, f"Tenant {number}")
            old.agent(tenant_id, agent_id)
        import_from(old, tmp_path)

        assert "None of the 5 imported agents was found: is --config-db" in self.refused(web, mode)


class TestOlderCopy:
    """A backup from before a key was revoked."""

    @pytest.fixture
    def backup(self, old: OldDatabase, web: OldDatabase, secrets: list[str], tmp_path: Path) -> OldDatabase:
        backup = OldDatabase(f"sqlite:///{tmp_path / 'backup.sqlite3'}", [])
        shutil.copy(old.path, backup.path)
        old.update("api_keys", KEYS[0], status="disabled", updated_at="2026-05-02 10:00:00")
        import_from(old, tmp_path, "--apply", web=web)
        assert verdict(secrets[0]) != "VALID"
        return backup

    @pytest.mark.parametrize("mode", DRY_RUN_OR_APPLY, ids=["dry run", "apply"])
    def test_older_copy_is_refused(
        self, backup: OldDatabase, web: OldDatabase, secrets: list[str], mode: list[str]
    ) -> None:
        before = tables()

        outcome = verify(backup, *mode, web=web)

        assert outcome.status == 1
        assert f"{KEYS[0]} of api_keys was last changed at 2026-05-01 10:00:00+00:00" in outcome.err
        assert changed_tables(before, tables()) == set()

    def test_copy_without_any_of_the_newest_rows_is_refused(
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

    def test_older_copy_is_imported_if_that_is_allowed(
        self, backup: OldDatabase, old: OldDatabase, web: OldDatabase, secrets: list[str]
    ) -> None:
        assert verify(backup, "--apply", "--allow-older", web=web).status == 0
        assert verdict(secrets[0]) == "VALID"
        assert verify(backup, "--apply", web=web).status == 0, "it is now the database that was imported last"

    def test_database_whose_newest_row_was_deleted_is_imported(
        self, old: OldDatabase, web: OldDatabase, backup: OldDatabase
    ) -> None:
        old.delete("api_keys", KEYS[0])

        assert verify(old, "--apply", web=web).status == 0
