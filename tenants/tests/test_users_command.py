"""`manage.py users`: finding and changing users from the command line (docs/commands.md)."""

from __future__ import annotations

from io import StringIO

import pytest

from accounts import services as accounts
from accounts.models import PersonalToken, TokenSession, User
from core.actor import Actor, ActorKind, TokenScope
from core.commands.exit_codes import ExitCode
from core.models import AuditEntry
from tenants import services
from tenants.models import Membership, Role
from tests.support.commands import Outcome, Terminal, run
from tests.support.people import OPERATOR, PASSWORD, Person
from tests.support.tables import changed_tables, tables

pytestmark = pytest.mark.embedded


def users(*arguments: str, stdin: StringIO | None = None) -> Outcome:
    """Run `manage.py users`."""
    return run("users", *arguments, stdin=stdin)


class TestFinding:
    @pytest.mark.parametrize(
        ("arguments", "names"),
        [
            ([], ["charlie", "bob", "alice"]),
            (["--inactive"], ["charlie"]),
            (["--active"], ["bob", "alice"]),
            (["--operators"], []),
            (["--tenant", "alice's personal tenant"], ["bob", "alice"]),
            (["--name", "AL"], ["alice"]),
        ],
    )
    def test_list_is_filtered_by(self, bob: Person, charlie: Person, arguments: list[str], names: list[str]) -> None:
        users("deactivate", "charlie", "--yes")

        listed = users("list", *arguments, "--json").document

        assert ([user["username"] for user in listed["items"]], listed["next"]) == (names, None)
        assert [row[1] for row in users("list", *arguments).rows] == names

    @pytest.mark.parametrize("by", ["id", "name", "e-mail"])
    def test_user_is_found_by(self, alice: Person, by: str) -> None:
        alice.user.set_email("alice@example.com")
        alice.user.save()

        text = {"id": alice.user.id, "name": "ALICE", "e-mail": "Alice@Example.com"}[by]

        assert users("show", text, "--json").document["id"] == alice.user.id

    def test_page_of_a_user_has_their_roles(self, bob: Person, alice: Person) -> None:
        shown = users("show", "bob", "--json").document

        roles = [(each["tenant_id"], each["role"]) for each in shown["memberships"]]
        assert roles == [(bob.tenant.id, "owner"), (alice.tenant.id, "member")]
        assert shown["second_factors"] == []
        assert alice.tenant.id in users("show", "bob").out


class TestChanging:
    def test_operator_is_created_with_a_password_from_standard_input(self, db: None) -> None:
        outcome = users(
            *("create", "olga", "--email", "olga@example.com", "--operator", "support", "--password-stdin", "--json"),
            stdin=StringIO(f"{PASSWORD}\nmore\n"),
        )

        user = User.objects.get(pk=outcome.document["id"])
        assert user.check_password(PASSWORD)
        assert (user.is_staff, user.is_superuser, user.email) == (True, False, "olga@example.com")
        assert AuditEntry.objects.get(action="user.create").actor_label == "manage.py users create"

    def test_user_without_a_password_is_told_of(self, db: None) -> None:
        outcome = users("create", "dora")

        assert not User.objects.get(username="dora").has_usable_password()
        assert outcome.err == "They have no password yet: manage.py changepassword dora\n"

    @pytest.mark.parametrize(
        ("arguments", "typed", "blamed"),
        [
            (["ALICE"], "", "NAME: "),
            (["x", "--email", "nowhere"], "", "--email: "),
            (["x", "--password-stdin"], "short\n", "the password: "),
            (["x", "--password-stdin"], "", "There is no password"),
        ],
    )
    def test_invalid_value_is_refused(self, alice: Person, arguments: list[str], typed: str, blamed: str) -> None:
        outcome = users("create", *arguments, stdin=StringIO(typed))

        assert (outcome.status, outcome.out) == (ExitCode.REFUSED, "")
        assert outcome.err.startswith(blamed)

    def test_password_is_not_read_where_it_would_show(self, db: None) -> None:
        outcome = users("create", "dora", "--password-stdin", stdin=Terminal(f"{PASSWORD}\n"))

        assert (outcome.status, "at a terminal" in outcome.err) == (ExitCode.REFUSED, True)

    def test_deactivation_ends_sessions_and_access_tokens(self, bob: Person) -> None:
        services.create_personal_token(
            actor=bob.actor, user=bob.user, name="ci", scope=TokenScope.READ, password=PASSWORD
        )

        assert users("deactivate", "bob", stdin=Terminal("n\n")).status == ExitCode.REFUSED
        assert users("deactivate", "bob").status == ExitCode.REFUSED, "without a terminal"
        assert TokenSession.objects.filter(user=bob.user).exists()
        off = users("deactivate", "bob", "--yes", "--json").document

        assert [user["is_active"] for user in off["items"]] == [False]
        assert not TokenSession.objects.filter(user=bob.user).exists()
        assert not PersonalToken.objects.filter(user=bob.user).exists()
        assert [row[3] for row in users("activate", "bob").rows] == ["active"]

    def test_sessions_end_and_that_is_audited(self, bob: Person) -> None:
        assert users("end-sessions", "bob").status == 0

        assert bob.client.get("/api/v1/auth/me").status_code == 401
        entry = AuditEntry.objects.get(action="user.end_sessions")
        assert (entry.actor_label, entry.object_id) == ("manage.py users end-sessions", bob.user.id)

    def test_role_is_set_and_removed(self, bob: Person, alice: Person) -> None:
        told = users("set-role", "bob", alice.tenant.id, "admin", "--json").document
        assert told == {"user_id": bob.user.id, "tenant_id": alice.tenant.id, "role": "admin"}
        assert Membership.objects.get(user=bob.user, tenant=alice.tenant).role == Role.ADMIN

        assert users("remove-role", "bob", alice.tenant.id).status == 0
        assert users("remove-role", "bob", alice.tenant.id).status == ExitCode.NOT_FOUND
        assert users("set-role", "alice", alice.tenant.id, "viewer").status == ExitCode.REFUSED, "she owns it"


@pytest.mark.parametrize(
    "arguments",
    [
        ["create", "dora"],
        ["deactivate", "bob"],
        ["activate", "bob"],
        ["end-sessions", "bob"],
        ["set-role", "bob", "alice's personal tenant", "owner"],
        ["remove-role", "bob", "alice's personal tenant"],
    ],
)
def test_dry_run_writes_nothing(bob: Person, arguments: list[str]) -> None:
    before = tables()

    outcome = users(*arguments, "--dry-run")

    assert (outcome.status, outcome.err) == (0, "A dry run: nothing was written.\n")
    assert changed_tables(before, tables()) == set()


@pytest.mark.django_db
def test_audit_log_of_a_user_whose_name_looks_like_an_id() -> None:
    user = accounts.create_user(actor=OPERATOR, username="user_6", password=None)
    actor = Actor(kind=ActorKind.USER, id=user.pk, label=user.username)
    accounts.update_user(actor=actor, user_id=user.pk, changes={"email": "six@example.com"})

    by_name = run("audit", "list", "--user", "user_6", "--json")

    assert "user.update" in by_name.out
    assert by_name.out == run("audit", "list", "--user", user.pk, "--json").out
    assert run("audit", "list", "--user", "user_0123456789ab").status == 0, "it may have been deleted"
