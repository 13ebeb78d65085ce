"""Setting a new password by a link in a mail."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import email_tokens, services
from accounts.mail.sender import send_due
from accounts.models import EmailToken, QueuedMail, TokenSession, User
from accounts.tests.threads import at_once
from core.models import AuditEntry
from core.setting_types import AuthRate
from tests.support.client import SurfaceClient
from tests.support.mail import Mailbox, parts, token_of
from tests.support.oidc import add_identity
from tests.support.passkeys import add_passkey
from tests.support.people import OPERATOR, PASSWORD, Person, register

NEW_PASSWORD = "a new password"
EMAIL = "alice@example.com"


def post(path: str, body: Any) -> Any:
    return SurfaceClient().send("POST", f"/api/v1/auth/{path}", body)


def forget(email: str = EMAIL) -> Any:
    return post("password/forgot", {"email": email})


def reset(token: str, password: str = NEW_PASSWORD) -> Any:
    return post("password/reset", {"token": token, "new_password": password})


def login(password: str) -> int:
    status: int = post("login", {"username": "alice", "password": password}).status_code
    return status


def ask_for_token(mailbox: Mailbox, email: str = EMAIL) -> str:
    assert forget(email).status_code == 202
    assert send_due() == 1
    return token_of(mailbox.mails[-1])


def is_refused(response: Any) -> bool:
    return response.status_code == 400 and list(response.json()["errors"]) == ["token"]


@pytest.mark.embedded
class TestReset:
    def test_link_sets_a_new_password(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        token = ask_for_token(mailbox)

        assert reset(token).status_code == 204

        assert (login(PASSWORD), login(NEW_PASSWORD)) == (400, 200)

    def test_link_works_once(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        token = ask_for_token(mailbox)
        reset(token)

        assert is_refused(reset(token, "yet another password"))
        assert login(NEW_PASSWORD) == 200

    def test_all_sessions_end(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        assert alice_with_email.client.get("/api/v1/auth/me").status_code == 200

        reset(ask_for_token(mailbox))

        assert alice_with_email.client.get("/api/v1/auth/me").status_code == 401
        assert not TokenSession.objects.exists()

    def test_former_links_end(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        first, second = ask_for_token(mailbox), ask_for_token(mailbox)
        reset(first)

        assert is_refused(reset(second))

    def test_link_is_good_beside_a_later_one(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        first, _second = ask_for_token(mailbox), ask_for_token(mailbox)

        assert reset(first).status_code == 204

    def test_weak_password_leaves_the_link_good(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        token = ask_for_token(mailbox)

        assert list(reset(token, "short").json()["errors"]) == ["new_password"]
        assert reset(token).status_code == 204

    def test_link_proves_the_address(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        reset(ask_for_token(mailbox))

        alice_with_email.user.refresh_from_db()
        assert alice_with_email.user.email_verified

    def test_whoever_registered_with_the_address_of_another_loses_their_own_ways(
        self, alice_with_email: Person, mailbox: Mailbox
    ) -> None:
        add_passkey(alice_with_email.user)
        add_identity(alice_with_email.user, "thief")
        token = ask_for_token(mailbox)

        assert reset(token).status_code == 204

        assert not alice_with_email.user.passkeys.exists()
        assert not alice_with_email.user.identities.exists()
        entry = AuditEntry.objects.get(action="user.remove_credentials")
        assert entry.before is not None
        assert [len(rows) for rows in entry.before.values()] == [1, 1]

    def test_proven_address_keeps_them(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        User.objects.update(verified_email=EMAIL)
        add_passkey(alice_with_email.user)

        assert reset(ask_for_token(mailbox)).status_code == 204

        assert alice_with_email.user.passkeys.exists()

    def test_audit_log_has_the_link_and_the_new_password(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        reset(ask_for_token(mailbox))

        entries = AuditEntry.objects.filter(object_id=alice_with_email.user.id).order_by("-id")[:2]
        assert [entry.action for entry in entries] == ["user.password", "user.email_link"]
        assert entries[1].address == "127.0.0.1"

    def test_owner_is_told(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        reset(ask_for_token(mailbox))

        assert send_due() == 1
        assert mailbox.subjects[-1] == "Your password was changed"

    def test_user_without_a_password_gets_one(self, db: None, mailbox: Mailbox) -> None:
        services.create_user(actor=OPERATOR, username="alice", password=None, email=EMAIL)

        assert reset(ask_for_token(mailbox)).status_code == 204
        assert login(NEW_PASSWORD) == 200


def expire(user: User) -> None:
    EmailToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))


def deactivate(user: User) -> None:
    services.update_user(actor=OPERATOR, user_id=user.pk, changes={"is_active": False})


def deactivate_and_activate(user: User) -> None:
    deactivate(user)
    services.update_user(actor=OPERATOR, user_id=user.pk, changes={"is_active": True})


def set_password_in_shell(user: User) -> None:
    user.set_password("from the shell")
    user.save()


def change_address(user: User) -> None:
    services.update_user(actor=OPERATOR, user_id=user.pk, changes={"email": "other@example.com"})


def delete(user: User) -> None:
    user.owned_tenants.all().delete()
    services.delete_user(actor=OPERATOR, user_id=user.pk)


@pytest.mark.embedded
class TestEndOfALink:
    @pytest.mark.parametrize(
        "change", [expire, deactivate, deactivate_and_activate, set_password_in_shell, change_address, delete]
    )
    def test_link_ends_with(self, alice_with_email: Person, mailbox: Mailbox, change: Callable[[User], None]) -> None:
        token = ask_for_token(mailbox)

        change(alice_with_email.user)

        assert is_refused(reset(token))

    @pytest.mark.parametrize("token", ["x", "é" * 43, "A" * 43])
    def test_unknown_link_is_refused(self, db: None, token: str) -> None:
        assert is_refused(reset(token))

    def test_link_to_confirm_an_address_sets_no_password(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        services.request_verification(actor=alice_with_email.actor, user=alice_with_email.user)
        send_due()

        assert is_refused(reset(token_of(mailbox.mails[-1])))

    def test_expired_links_are_swept(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        ask_for_token(mailbox)
        assert email_tokens.sweep() == 0

        expire(alice_with_email.user)
        assert email_tokens.sweep() == 1

    def test_database_does_not_hold_the_token(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        token = ask_for_token(mailbox)

        assert token not in str(list(EmailToken.objects.values()))


@pytest.mark.embedded
class TestNoProbe:
    def test_response_is_the_same_for_an_unknown_address(self, alice_with_email: Person) -> None:
        known, unknown = forget(), forget("nobody@example.com")

        assert known.status_code == unknown.status_code == 202
        assert known.content == unknown.content

    def test_request_does_the_same_for_an_unknown_address(self, alice_with_email: Person) -> None:
        def statements(email: str) -> list[str]:
            with CaptureQueriesContext(connection) as queries, override_settings(PASSWORD_HASHERS=[]):  # none is asked
                assert forget(email).status_code == 202
            return [re.sub(r"_x\d+|VALUES.*", "", query["sql"]) for query in queries]

        assert statements(EMAIL) == statements("nobody@example.com")

    @pytest.mark.parametrize("change", [deactivate, delete])
    def test_nobody_else_gets_a_mail(
        self, alice_with_email: Person, mailbox: Mailbox, change: Callable[[User], None]
    ) -> None:
        change(alice_with_email.user)
        send_due()
        mailbox.mails.clear()
        forget()

        assert send_due() == 0
        assert mailbox.mails == []
        assert not QueuedMail.objects.exists()
        assert not EmailToken.objects.exists()

    def test_mail_goes_to_the_stored_address(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        ask_for_token(mailbox, "ALICE@Example.COM")

        assert mailbox.recipients == [EMAIL]
        assert "alice" in parts(mailbox.mails[0])[0]

    def test_attempts_are_limited_apart_from_sign_ins(self, alice_with_email: Person) -> None:
        with override_settings(AUTH_RATE=AuthRate(3, 100)):
            assert [forget("limited@example.com").status_code for _ in range(4)] == [202, 202, 202, 429]
            assert login(PASSWORD) == 200

    def test_guesses_of_a_link_are_limited(self, db: None) -> None:
        with override_settings(AUTH_RATE=AuthRate(100, 3)):
            responses = [
                SurfaceClient().send(
                    "POST",
                    "/api/v1/auth/password/reset",
                    {"token": f"guess {number}", "new_password": NEW_PASSWORD},
                    REMOTE_ADDR="192.0.2.99",
                )
                for number in range(4)
            ]

        assert [response.status_code for response in responses] == [400, 400, 400, 429]


@pytest.mark.django_db(transaction=True)
def test_of_several_at_once_one_resets(mailbox: Mailbox) -> None:
    user = register("alice").user
    services.update_user(actor=OPERATOR, user_id=user.pk, changes={"email": EMAIL})
    send_due()
    token = ask_for_token(mailbox)

    responses = at_once(*(partial(reset, token, f"password number {number}") for number in range(6)))

    assert Counter(response.status_code for response in responses) == {204: 1, 400: 5}
    (winner,) = [number for number, response in enumerate(responses) if response.status_code == 204]
    assert login(f"password number {winner}") == 200
