"""`manage.py changepassword`: the operator's way to a new password, by the rules of all others."""

from __future__ import annotations

import getpass

import pytest
from django.core.management import CommandError, call_command

from core.models import AuditEntry
from tests.support.client import SurfaceClient
from tests.support.people import Person


@pytest.fixture
def types(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the operator types, in order; there is no terminal here to type at."""
    typed: list[str] = []
    monkeypatch.setattr(getpass, "getpass", lambda prompt: typed.pop(0))
    return typed


def test_the_new_password_holds_and_all_sessions_end(alice: Person, public: SurfaceClient, types: list[str]) -> None:
    types += ["correct horse", "correct horse"]

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
def test_what_is_refused_changes_nothing(alice: Person, types: list[str], typed: list[str], sentence: str) -> None:
    types += typed

    with pytest.raises(CommandError, match=sentence):
        call_command("changepassword", "alice")

    assert alice.client.send("GET", "/api/v1/auth/me").status_code == 200


@pytest.mark.django_db
def test_an_unknown_user_is_said_to_be_unknown() -> None:
    with pytest.raises(CommandError, match="no user 'nobody'"):
        call_command("changepassword", "nobody")
