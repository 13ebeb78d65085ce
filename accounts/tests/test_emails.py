"""Confirming and changing one's e-mail address."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import pytest

from accounts import services
from accounts.mail.sender import send_due
from accounts.models import EmailToken, QueuedMail, User
from accounts.tests.threads import at_once
from core.models import AuditEntry
from tests.support.client import SurfaceClient
from tests.support.mail import Mailbox, token_of
from tests.support.people import OPERATOR, PASSWORD, Person, register

EMAIL, NEW = "alice@example.com", "new@example.com"


def verify(token: str) -> Any:
    return SurfaceClient().send("POST", "/api/v1/auth/email/verify", {"token": token})


def ask_again(person: Person) -> Any:
    return person.client.send("POST", "/api/v1/auth/email/verification")


def change(person: Person, email: str | None, **fields: Any) -> Any:
    return person.client.send("PATCH", "/api/v1/auth/me", {"email": email, **fields})


def profile(person: Person) -> tuple[Any, ...]:
    me = person.client.get("/api/v1/auth/me").json()
    return me["email"], me["email_verified"], me["pending_email"]


def sent_token(mailbox: Mailbox) -> str:
    assert send_due() >= 1
    return token_of(mailbox.mails[-1])


@pytest.fixture
def verified_alice(alice_with_email: Person) -> Person:
    """Alice with a confirmed address."""
    User.objects.filter(pk=alice_with_email.user.pk).update(verified_email=EMAIL)
    alice_with_email.user.refresh_from_db()
    return alice_with_email


@pytest.mark.embedded
class TestVerification:
    def test_registration_sends_a_link(self, db: None, mailbox: Mailbox) -> None:
        body = {"username": "dora", "password": PASSWORD, "email": "dora@example.com"}
        registered = SurfaceClient().send("POST", "/api/v1/auth/register", body)
        users = User.objects.filter(pk=registered.json()["id"])
        assert not users.get().email_verified

        assert verify(sent_token(mailbox)).status_code == 204

        assert users.get().email_verified
        assert mailbox.recipients == ["dora@example.com"]

    @pytest.mark.parametrize("email", [None, "dora@example.com"])
    def test_registration_without_mail_or_address_sends_nothing(self, db: None, email: str | None) -> None:
        body = {"username": "dora", "password": PASSWORD, "email": email}
        assert SurfaceClient().send("POST", "/api/v1/auth/register", body).status_code == 200

        assert not QueuedMail.objects.exists()

    def test_refused_registration_sends_nothing(self, alice: Person, mailbox: Mailbox) -> None:
        body = {"username": "alice", "password": PASSWORD, "email": "other@example.com"}
        assert SurfaceClient().send("POST", "/api/v1/auth/register", body).status_code == 400

        assert not QueuedMail.objects.exists()

    def test_link_is_sent_again(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        assert ask_again(alice_with_email).status_code == 202

        assert verify(sent_token(mailbox)).status_code == 204
        assert profile(alice_with_email) == (EMAIL, True, None)

    def test_link_works_once(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        ask_again(alice_with_email)
        token = sent_token(mailbox)
        verify(token)

        response = verify(token)

        assert (response.status_code, list(response.json()["errors"])) == (400, ["token"])

    def test_nothing_to_confirm_is_a_conflict(self, verified_alice: Person, charlie: Person) -> None:
        assert [ask_again(person).status_code for person in (verified_alice, charlie)] == [409, 409]

    def test_link_to_a_former_address_confirms_nothing(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        ask_again(alice_with_email)
        token = sent_token(mailbox)
        services.update_user(actor=OPERATOR, user_id=alice_with_email.user.pk, changes={"email": NEW})

        assert verify(token).status_code == 400
        assert profile(alice_with_email) == (NEW, False, None)

    def test_address_that_an_operator_enters_is_not_confirmed(self, verified_alice: Person) -> None:
        services.update_user(actor=OPERATOR, user_id=verified_alice.user.pk, changes={"email": NEW})

        assert profile(verified_alice) == (NEW, False, None)

    def test_mail_confirmed_meanwhile_is_not_sent(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        ask_again(alice_with_email)
        User.objects.update(verified_email=EMAIL)

        assert send_due() == 0
        assert not EmailToken.objects.exists()


@pytest.mark.embedded
class TestChange:
    def test_unconfirmed_address_takes_the_password_too(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        """Whoever stole a token would set another password by a link to their own address."""
        for fields in ({}, {"password": "wrong"}):
            assert list(change(alice_with_email, NEW, **fields).json()["errors"]) == ["password"]

        assert profile(alice_with_email) == (EMAIL, False, None)
        assert not QueuedMail.objects.exists()

    def test_new_address_waits_until_it_is_confirmed(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        response = change(alice_with_email, NEW, password=PASSWORD)

        assert response.status_code == 200
        assert (response.json()["email"], response.json()["pending_email"]) == (EMAIL, NEW)
        assert verify(sent_token(mailbox)).status_code == 204
        assert mailbox.recipients == [NEW]
        assert profile(alice_with_email) == (NEW, True, None)

    def test_other_fields_change_in_the_same_request(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        profile_form = {"password": PASSWORD, "key_notices": False}

        assert change(alice_with_email, NEW, **profile_form).json()["key_notices"] is False
        assert change(alice_with_email, EMAIL, **profile_form).status_code == 200, "nothing changes"

    def test_old_address_is_told(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        change(alice_with_email, NEW, password=PASSWORD)
        verify(sent_token(mailbox))

        assert send_due() == 1
        assert (mailbox.recipients[-1], mailbox.subjects[-1]) == (EMAIL, "Your e-mail address was changed")

    def test_link_is_sent_again_to_the_new_address(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        change(alice_with_email, NEW, password=PASSWORD)
        ask_again(alice_with_email)

        assert send_due() == 2
        assert mailbox.recipients == [NEW, NEW]

    @pytest.mark.parametrize("email", [NEW, None, ""])
    def test_confirmed_address_is_not_given_up_without_the_password(
        self, verified_alice: Person, mailbox: Mailbox, email: str | None
    ) -> None:
        for fields in ({}, {"password": "a wrong one"}):
            response = change(verified_alice, email, **fields)
            assert (response.status_code, list(response.json()["errors"])) == (400, ["password"])
        assert profile(verified_alice) == (EMAIL, True, None)

        assert change(verified_alice, email, password=PASSWORD).status_code == 200

    def test_removed_address_is_told(self, verified_alice: Person, mailbox: Mailbox) -> None:
        change(verified_alice, None, password=PASSWORD)

        assert profile(verified_alice) == (None, False, None)
        assert send_due() == 1
        assert mailbox.recipients == [EMAIL]

    def test_entering_the_old_address_again_drops_the_new_one(self, verified_alice: Person, mailbox: Mailbox) -> None:
        change(verified_alice, NEW, password=PASSWORD)
        token = sent_token(mailbox)

        assert change(verified_alice, EMAIL).status_code == 200

        assert verify(token).status_code == 400
        assert profile(verified_alice) == (EMAIL, True, None)

    def test_new_password_drops_the_new_address(self, verified_alice: Person, mailbox: Mailbox) -> None:
        change(verified_alice, NEW, password=PASSWORD)
        token = sent_token(mailbox)
        services.set_password(actor=OPERATOR, user=verified_alice.user, password="another password")

        assert verify(token).status_code == 400
        verified_alice.user.refresh_from_db()
        assert (verified_alice.user.email, verified_alice.user.pending_email) == (EMAIL, None)

    def test_address_that_somebody_else_has_by_then_is_refused(
        self, alice_with_email: Person, charlie: Person, mailbox: Mailbox
    ) -> None:
        change(alice_with_email, NEW, password=PASSWORD)
        token = sent_token(mailbox)
        services.update_user(actor=OPERATOR, user_id=charlie.user.pk, changes={"email": NEW})

        response = verify(token)

        assert (response.status_code, list(response.json()["errors"])) == (400, ["email"])
        assert profile(alice_with_email) == (EMAIL, False, NEW)

    def test_address_of_somebody_else_cannot_be_told_from_a_free_one(
        self, alice_with_email: Person, charlie: Person, mailbox: Mailbox
    ) -> None:
        taken, free = (change(charlie, email, password=PASSWORD) for email in (EMAIL, NEW))

        assert taken.status_code == free.status_code == 200

    def test_without_mail_the_address_changes_at_once(self, verified_alice: Person) -> None:
        assert change(verified_alice, NEW).status_code == 200

        assert profile(verified_alice) == (NEW, False, None)

    def test_change_is_audited_when_it_is_asked_for_and_when_it_is_made(
        self, verified_alice: Person, mailbox: Mailbox
    ) -> None:
        change(verified_alice, NEW, password=PASSWORD)
        verify(sent_token(mailbox))

        made, _link, asked = AuditEntry.objects.filter(object_id=verified_alice.user.id).order_by("-id")[:3]
        assert (asked.before, asked.after) == ({"pending_email": None}, {"pending_email": NEW})
        assert (made.before["email"], made.after["email"]) == (EMAIL, NEW)


@pytest.mark.django_db(transaction=True)
def test_of_several_at_once_one_confirms(mailbox: Mailbox) -> None:
    alice = register("alice")
    change(alice, NEW, password=PASSWORD)
    token = sent_token(mailbox)

    responses = at_once(*[partial(verify, token)] * 6)

    assert Counter(response.status_code for response in responses) == {204: 1, 400: 5}
    assert profile(alice) == (NEW, True, None)
