"""Passwords that are switched off (MAIM_PASSWORD_LOGIN)."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from accounts.models import EmailToken, QueuedMail, User
from accounts.tests.oidc import me, post, sign_in
from tests.support.client import SurfaceClient
from tests.support.mail import new_token
from tests.support.oidc import Provider
from tests.support.people import PASSWORD, Person

pytestmark = pytest.mark.embedded

SENTENCE = "Passwords are switched off; sign in with: ACME"


@pytest.fixture(autouse=True)
def _passwords_off(alice: Person, provider: Provider) -> Iterator[None]:
    with override_settings(PASSWORD_LOGIN=False):
        yield


def is_refused(response: Any) -> bool:
    body = response.json()
    return (response.status_code, body["detail"], body["code"]) == (403, SENTENCE, "PASSWORD_LOGIN_OFF")


def test_login_is_refused(alice: Person) -> None:
    assert is_refused(post("login", {"username": "alice", "password": PASSWORD}))


def test_registration_is_refused(alice: Person) -> None:
    assert is_refused(post("register", {"username": "dora", "password": PASSWORD}))
    assert User.objects.count() == 1


def test_link_for_a_new_password_is_refused(alice: Person) -> None:
    assert is_refused(post("password/forgot", {"email": "alice@example.com"}))
    assert not QueuedMail.objects.exists()


def test_link_from_before_is_refused(alice: Person) -> None:
    token = new_token(alice.user, EmailToken.Purpose.RESET)

    assert is_refused(post("password/reset", {"token": token, "new_password": "another password"}))


def test_change_of_a_password_is_refused(alice: Person) -> None:
    body = {"old_password": PASSWORD, "new_password": "another password"}

    assert is_refused(post("password", body, alice.token))


def test_tokens_stay_good(alice: Person) -> None:
    assert alice.client.get("/api/v1/auth/me").status_code == 200


def test_people_sign_in_and_register_by_a_provider(alice: Person, provider: Provider) -> None:
    first = me(sign_in(provider))

    assert me(sign_in(provider))["id"] == first["id"]


def test_ways_to_sign_in_say_so(alice: Person) -> None:
    assert SurfaceClient().get("/api/v1/auth/oidc").json()["password_login"] is False


def test_password_still_links_an_account_from_before(alice_with_email: Person, provider: Provider) -> None:
    """Otherwise whoever has none of a provider's identities yet could never sign in again."""
    challenge = sign_in(provider, email="alice@example.com", email_verified=True).json()["challenge"]

    linked = post("oidc/link", {"challenge": challenge, "password": PASSWORD})

    assert me(linked)["id"] == alice_with_email.user.id


def test_password_confirms_nothing(alice: Person) -> None:
    """It may be an old one that somebody knows, and cannot be changed. A new session confirms."""
    response = post(
        "identities/acme/start", {"redirect_uri": "http://localhost:8880/", "password": "wrong"}, alice.token
    )

    assert response.status_code == 200


def test_changepassword_without_a_terminal_is_refused(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody_types(_prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("getpass.getpass", nobody_types)

    with pytest.raises(CommandError, match="nothing has changed"):
        call_command("changepassword", "alice")


def test_changepassword_says_that_it_has_no_effect(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getpass", lambda _prompt: "another password")
    output = StringIO()

    call_command("changepassword", "alice", stdout=output)

    assert "nobody signs in with it" in output.getvalue()
