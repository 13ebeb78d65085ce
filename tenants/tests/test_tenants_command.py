"""`manage.py tenants`: finding, changing and deleting tenants from the command line (docs/commands.md)."""

from __future__ import annotations

import pytest

from core.commands.exit_codes import ExitCode
from core.models import AuditEntry
from tenants import services
from tenants.models import Tenant, TenantStatus
from tests.support.client import SurfaceClient
from tests.support.commands import Outcome, Terminal, run
from tests.support.people import OPERATOR, Person, make_agent, make_key
from tests.support.tables import changed_tables, tables

pytestmark = pytest.mark.embedded


def tenants(*arguments: str, answer: str | None = None) -> Outcome:
    """Run `manage.py tenants`, at a terminal if there is an answer to its question."""
    return run("tenants", *arguments, stdin=None if answer is None else Terminal(f"{answer}\n"))


@pytest.fixture
def acme(alice: Person) -> Tenant:
    """A second tenant of Alice's."""
    return services.create_tenant(
        actor=OPERATOR, tenant_name="ACME", tenant_type="enterprise", owner_id=alice.user.id, limits={"agents": 3}
    )


class TestFinding:
    @pytest.mark.parametrize(
        ("arguments", "names"),
        [
            ([], ["ACME", "bob's Personal Tenant", "alice's Personal Tenant"]),
            (["--type", "enterprise"], ["ACME"]),
            (["--status", "suspended"], []),
            (["--member", "BOB"], ["bob's Personal Tenant", "alice's Personal Tenant"]),
            (["--name", "a"], ["ACME", "alice's Personal Tenant"]),
        ],
    )
    def test_list_is_filtered_by(self, bob: Person, acme: Tenant, arguments: list[str], names: list[str]) -> None:
        listed = tenants("list", *arguments, "--json").document

        assert [tenant["tenant_name"] for tenant in listed["items"]] == names
        assert listed["next"] is None
        assert [row[1] for row in tenants("list", *arguments).rows] == names

    @pytest.mark.parametrize("order", [[], ["--name", "a"]])
    def test_pages_have_every_tenant_once(self, acme: Tenant, order: list[str]) -> None:
        whole = tenants("list", *order, "--json").document["items"]

        first = tenants("list", *order, "--limit", "1", "--json").document
        second = tenants("list", *order, "--limit", "1", "--after", first["next"], "--json").document

        assert [*first["items"], *second["items"]] == whole
        assert second["next"] is None

    @pytest.mark.parametrize("by", ["id", "name", "e-mail of the owner"])
    def test_tenant_is_found_by(self, charlie: Person, by: str) -> None:
        charlie.user.set_email("charlie@example.com")
        charlie.user.save()
        text = {"id": charlie.tenant.id, "name": "CHARLIE'S personal tenant"}.get(by, "Charlie@example.com")

        assert tenants("show", text, "--json").document["id"] == charlie.tenant.id

    def test_page_of_a_tenant_has_the_apis_fields_its_members_and_what_it_uses(
        self, acme: Tenant, alice: Person, internal: SurfaceClient
    ) -> None:
        make_key(make_agent(acme))

        shown = tenants("show", "acme", "--json").document

        answer = internal.get(f"/api/v2/tenants/{acme.id}").json()["data"]
        assert {name: shown[name] for name in answer} == answer
        assert shown["capacity"]["agents"] == {"limit": 3, "used": 1}
        assert [(member["user_id"], member["role"]) for member in shown["members"]] == [(alice.user.id, "owner")]
        text = tenants("show", "acme").out
        assert "1 of 3" in text
        assert alice.user.id in text

    @pytest.mark.parametrize("command", ["show", "update", "suspend", "resume", "delete"])
    def test_missing_tenant_is_not_found(self, acme: Tenant, command: str) -> None:
        outcome = tenants(command, "nobody")

        assert (outcome.status, outcome.out) == (ExitCode.NOT_FOUND, "")
        assert "'nobody'" in outcome.err


class TestChanging:
    def test_tenant_is_created_with_every_option(self, alice: Person) -> None:
        made = tenants(
            *("create", "Initech", "--type", "enterprise", "--owner", "alice", "--description", "tests"),
            *("--contact-email", "ops@example.com", "--rate-limit", "100/60", "--quota", "5/day"),
            *("--max-agents", "2", "--max-members", "3", "--json"),
        ).document

        assert (made["owner_id"], made["description"], made["contact_email"]) == (
            alice.user.id,
            "tests",
            "ops@example.com",
        )
        assert made["rate_limit"] == {"limit": 100, "window_seconds": 60}
        assert made["quota"] == {"limit": 5, "period": "day"}
        assert made["limits"] == {"agents": 2, "members": 3}
        entry = AuditEntry.objects.get(action="tenant.create", object_id=made["id"])
        assert (entry.actor_kind, entry.actor_label) == ("command", "manage.py tenants create")

    def test_tenant_is_updated_and_its_other_limits_stay(self, acme: Tenant) -> None:
        tenants("update", "acme", "--rate-limit", "1/1")

        made = tenants(
            *("update", "acme", "--name", "Acme Ltd", "--description", "", "--rate-limit", "none"),
            *("--max-keys", "7", "--requires-mfa", "--json"),
        ).document

        assert (made["tenant_name"], made["rate_limit"], made["requires_mfa"]) == ("Acme Ltd", None, True)
        assert made["limits"] == {"agents": 3, "keys": 7}

    @pytest.mark.parametrize(
        ("arguments", "blamed"),
        [
            (["--name", " "], "NAME: "),
            (["--rate-limit", "0/60"], "--rate-limit (limit): "),
            (["--max-members", "0"], "--max-agents, --max-keys or --max-members (members): "),
            (["--config-schema", "none"], "--config-schema: "),
        ],
    )
    def test_invalid_value_is_refused_and_its_option_named(
        self, acme: Tenant, arguments: list[str], blamed: str
    ) -> None:
        outcome = tenants("update", "acme", *arguments)

        assert (outcome.status, outcome.out) == (ExitCode.REFUSED, "")
        assert outcome.err.startswith(blamed)

    def test_tenants_are_suspended_and_resumed_together(self, acme: Tenant, alice: Person) -> None:
        both = ["acme", alice.tenant.id]

        suspended = tenants("suspend", *both, "--json").document["items"]
        resumed = tenants("resume", *both)

        assert [tenant["status"] for tenant in suspended] == ["suspended"] * 2
        assert [row[3] for row in resumed.rows] == ["active"] * 2
        entries = AuditEntry.objects.filter(actor_label="manage.py tenants suspend")
        assert {entry.object_id for entry in entries} == {acme.id, alice.tenant.id}

    def test_one_missing_tenant_leaves_the_others_unchanged(self, acme: Tenant) -> None:
        assert tenants("suspend", "acme", "nobody").status == ExitCode.NOT_FOUND

        acme.refresh_from_db()
        assert acme.status == TenantStatus.ACTIVE


class TestDeleting:
    def test_question_says_what_goes_with_a_tenant(self, acme: Tenant) -> None:
        make_key(make_agent(acme))

        outcome = tenants("delete", "acme", answer="n")

        assert (outcome.status, outcome.out) == (ExitCode.REFUSED, "")
        assert outcome.err.splitlines()[1].split() == [acme.id, "ACME", "1", "1", "1"]
        assert Tenant.objects.filter(pk=acme.pk).exists()

    def test_yes_deletes_it(self, acme: Tenant) -> None:
        assert tenants("delete", "acme", answer="y").out == f"deleted {acme.id}\n"

        assert not Tenant.objects.filter(pk=acme.pk).exists()
        assert AuditEntry.objects.get(action="tenant.delete").actor_label == "manage.py tenants delete"

    def test_without_a_terminal_it_is_refused(self, acme: Tenant) -> None:
        outcome = tenants("delete", "acme")

        assert (outcome.status, "--yes" in outcome.err) == (ExitCode.REFUSED, True)
        assert tenants("delete", "acme", "--yes", "--json").document == {"items": [{"id": acme.id}]}


@pytest.mark.parametrize(
    "arguments",
    [
        ["create", "Initech", "--owner", "alice"],
        ["update", "acme", "--name", "Initech"],
        ["suspend", "acme"],
        ["resume", "acme"],
        ["delete", "acme"],
    ],
)
def test_dry_run_writes_nothing(acme: Tenant, arguments: list[str]) -> None:
    before = tables()

    outcome = tenants(*arguments, "--dry-run")

    assert outcome.status == 0
    assert outcome.err.endswith("A dry run: nothing was written.\n")
    assert changed_tables(before, tables()) == set()


def test_dry_run_is_refused_like_the_change_itself(acme: Tenant) -> None:
    outcome = tenants("create", "acme", "--owner", "alice", "--dry-run")

    assert (outcome.status, outcome.err) == (ExitCode.REFUSED, "A tenant of this name already exists")
