"""`manage.py createsuperuser`: the first operator, created at a terminal or from the environment."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Sequence

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User
from core.models import AuditEntry
from tests.support.commands import Outcome, Terminal, run
from tests.support.people import PASSWORD, Person

pytestmark = pytest.mark.django_db

OTHER_PASSWORD = "another password"
Ask = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USERNAME", "EMAIL", "PASSWORD"):
        monkeypatch.delenv(f"DJANGO_SUPERUSER_{name}", raising=False)


@pytest.fixture
def at_terminal(monkeypatch: pytest.MonkeyPatch) -> Ask:
    """The command at a terminal, where these lines and passwords are typed. All of them must be asked for."""

    def ask(*arguments: str, lines: Sequence[str], passwords: Sequence[str]) -> Outcome:
        typed = iter(passwords)
        monkeypatch.setattr(getpass, "getpass", lambda prompt: next(typed))
        terminal = Terminal("".join(f"{line}\n" for line in lines))
        outcome = run("createsuperuser", *arguments, stdin=terminal)
        assert (terminal.read(), list(typed)) == ("", [])
        return outcome

    return ask


class TestAtTerminal:
    def test_operator_is_created_with_an_audit_entry(self, at_terminal: Ask) -> None:
        outcome = at_terminal(lines=["root", "root@example.org"], passwords=[PASSWORD, PASSWORD])

        assert (outcome.status, outcome.out, outcome.err) == (0, "The operator root is created\n", "")
        root = User.objects.get()
        assert (root.username, root.email, root.is_staff, root.is_superuser) == ("root", "root@example.org", True, True)
        assert root.check_password(PASSWORD)
        entry = AuditEntry.objects.get()
        assert (entry.action, entry.actor_kind, entry.actor_label) == (
            "user.create",
            "command",
            "manage.py createsuperuser",
        )

    def test_email_may_be_empty(self, at_terminal: Ask) -> None:
        at_terminal(lines=["root", ""], passwords=[PASSWORD, PASSWORD])

        assert User.objects.get().email is None

    def test_given_values_are_not_asked_for(self, at_terminal: Ask) -> None:
        at_terminal("--username", "root", "--email", "", lines=[], passwords=[PASSWORD, PASSWORD])

        assert User.objects.get().username == "root"

    def test_weak_password_is_asked_for_again(self, at_terminal: Ask) -> None:
        outcome = at_terminal(lines=["root", ""], passwords=["short", "short", PASSWORD, PASSWORD])

        assert "The password must have at least 8 characters" in outcome.err
        assert User.objects.get().check_password(PASSWORD)

    def test_different_passwords_are_asked_for_again(self, at_terminal: Ask) -> None:
        outcome = at_terminal(lines=["root", ""], passwords=[PASSWORD, OTHER_PASSWORD, PASSWORD, PASSWORD])

        assert outcome.err == "The two passwords differ\n"
        assert User.objects.get().check_password(PASSWORD)

    def test_taken_username_is_asked_for_again(self, alice: Person, at_terminal: Ask) -> None:
        outcome = at_terminal(lines=["ALICE", "", "root"], passwords=[PASSWORD, PASSWORD])

        assert "This username is already taken" in outcome.err
        assert User.objects.get(is_superuser=True).username == "root"

    def test_bad_email_is_asked_for_again(self, at_terminal: Ask) -> None:
        outcome = at_terminal(lines=["root", "nowhere", "root@example.org"], passwords=[PASSWORD, PASSWORD])

        assert outcome.err != ""
        assert User.objects.get().email == "root@example.org"

    def test_end_of_input_creates_nobody(self, at_terminal: Ask) -> None:
        outcome = at_terminal(lines=["root"], passwords=[])

        assert (outcome.status, outcome.err) == (1, "Cancelled; nobody was created")
        assert not User.objects.exists()


def test_without_a_terminal_it_is_refused() -> None:
    outcome = run("createsuperuser", "--username", "root")

    assert outcome.status == 1
    assert "no terminal" in outcome.err
    assert not User.objects.exists()


class TestWithoutInput:
    def test_operator_is_created_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DJANGO_SUPERUSER_USERNAME", "root")
        monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
        monkeypatch.setenv("DJANGO_SUPERUSER_EMAIL", "root@example.org")

        outcome = run("createsuperuser", "--noinput")

        root = User.objects.get()
        assert (root.username, root.email, root.is_superuser) == ("root", "root@example.org", True)
        assert root.check_password(PASSWORD)
        assert outcome.out == "The operator root is created\n"

    def test_arguments_win_over_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DJANGO_SUPERUSER_USERNAME", "other")
        monkeypatch.setenv("DJANGO_SUPERUSER_EMAIL", "other@example.org")

        run("createsuperuser", "--noinput", "--username", "root", "--email", "")

        root = User.objects.get()
        assert (root.username, root.email) == ("root", None)

    def test_without_email_there_is_none(self) -> None:
        run("createsuperuser", "--no-input", "--username", "root")

        assert User.objects.get().email is None

    def test_without_password_the_operator_is_told_to_set_one(self) -> None:
        outcome = run("createsuperuser", "--noinput", "--username", "root")

        assert not User.objects.get().has_usable_password()
        assert "manage.py changepassword root" in outcome.out

    def test_without_username_it_is_refused(self) -> None:
        outcome = run("createsuperuser", "--noinput")

        assert outcome.status == 1
        assert "DJANGO_SUPERUSER_USERNAME" in outcome.err
        assert not User.objects.exists()

    @pytest.mark.parametrize(
        ("username", "password", "sentence"),
        [
            ("ALICE", PASSWORD, "This username is already taken"),
            ("root", "short", "The password must have at least 8 characters"),
        ],
    )
    def test_refused_values_create_nobody(
        self, alice: Person, monkeypatch: pytest.MonkeyPatch, username: str, password: str, sentence: str
    ) -> None:
        monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", password)

        with pytest.raises(CommandError, match=sentence):
            call_command("createsuperuser", interactive=False, username=username)

        assert User.objects.get() == alice.user
