"""`manage.py changepassword`, which follows the rules of the service."""

from __future__ import annotations

import getpass

import pytest
from django.core.management import CommandError, call_command

from core.models import AuditEntry
from tests.support.client import SurfaceClient
from tests.support.people import Person


@pytest.fixture
def passwords(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords that the operator types, in order, without a terminal."""
    typed: list[str] = []
    monkeypatch.setattr(getpass, "getpass", lambda prompt: typed.pop(0))
    return typed


def test_new_password_is_valid_and_all_sessions_end(alice: Person, public: SurfaceClient, passwords: list[str]) -> None:
    passwords += ["correct horse", "correct horse"]

    call_command("changepassword", "ALICE")

    assert alice.client.send("GET", "/api/v1/auth/me").status_code == 401
    credentials = {"username": "alice", "password": "correct horse"}
    assert public.send("POST", "/api/v1/auth/login", credentials).status_code == 200
    entry = AuditEntry.objects.get(action="user.password")
    assert (entry.actor_kind, entry.actor_label, entry.object_id) == (
        "command",
        "manage.py changepassword",
        alice.user.id,
    )


@pytest.mark.parametrize(
    ("typed", "sentence"), [(["one password", "another one"], "differ"), (["short", "short"], "at least 8")]
)
def test_refused_password_changes_nothing(alice: Person, passwords: list[str], typed: list[str], sentence: str) -> None:
    passwords += typed

    with pytest.raises(CommandError, match=sentence):
        call_command("changepassword", "alice")

    assert alice.client.send("GET", "/api/v1/auth/me").status_code == 200


@pytest.mark.django_db
def test_unknown_user_is_refused() -> None:
    with pytest.raises(CommandError, match="no user 'nobody'"):
        call_command("changepassword", "nobody")
