"""Invitations to register, and MAIM_REGISTRATION=invited."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings
from django.utils import timezone

from accounts import email_tokens, services
from accounts.mail.sender import send_due
from accounts.models import Invitation, QueuedMail, User
from accounts.tests.threads import at_once
from core.errors import Conflict, Invalid
from core.models import AuditEntry
from tests.support.client import SurfaceClient
from tests.support.instances import WAIT
from tests.support.mail import Mailbox, token_of
from tests.support.operators import Operator, url
from tests.support.people import OPERATOR, PASSWORD, Person

EMAIL = "Dora@example.com"
pytestmark = pytest.mark.django_db


def invite(email: str = EMAIL) -> Invitation:
    return services.invite(actor=OPERATOR, email=email).invitation


def invited_token(email: str = EMAIL) -> str:
    """Invite somebody where mail is not set up, and return the token of the link."""
    link = services.invite(actor=OPERATOR, email=email).link
    assert link is not None
    return token_in(link)


def token_in(text: str) -> str:
    (token,) = re.findall(r"/account/accept-invitation#token=([\w-]+)", text)
    return str(token)


def register(token: str | None, username: str = "dora", **fields: str) -> Any:
    body = {"username": username, "password": PASSWORD, "invitation": token, **fields}
    return SurfaceClient().send("POST", "/api/v1/auth/register", body)


def manage(*arguments: str) -> str:
    output = StringIO()
    call_command("invitations", *arguments, stdout=output)
    return output.getvalue().rstrip("\n")


def errors_of(response: Any) -> list[str]:
    assert response.status_code == 400, response.content
    return list(response.json()["errors"])


@pytest.fixture(params=["open", "invited"])
def registration(request: pytest.FixtureRequest, settings: Any) -> str:
    settings.REGISTRATION = request.param
    return str(request.param)


class TestRegistration:
    def test_invited_address_is_the_users_and_verified(self, registration: str) -> None:
        response = register(invited_token())

        assert response.status_code == 200
        user = User.objects.get(pk=response.json()["id"])
        assert (user.email, user.email_verified) == (EMAIL, True)
        assert user.owned_tenants.count() == 1
        assert not QueuedMail.objects.exists()

    def test_link_works_once(self, registration: str) -> None:
        token = invited_token()
        register(token)

        assert errors_of(register(token, "another")) == ["invitation"]

    def test_without_an_invitation_nobody_registers(self, settings: Any) -> None:
        settings.REGISTRATION = "invited"

        response = register(None)

        assert (response.status_code, response.json()["code"]) == (403, "FORBIDDEN")
        assert not User.objects.exists()

    def test_closed_registration_takes_no_invitation(self, settings: Any) -> None:
        token = invited_token()
        settings.REGISTRATION = "closed"

        assert register(token).status_code == 403
        with pytest.raises(Conflict):
            invite()

    @pytest.mark.parametrize(
        "end",
        [
            lambda row: services.revoke_invitation(actor=OPERATOR, invitation_id=row.pk),
            lambda row: Invitation.objects.update(expires_at=timezone.now()),
            email_tokens.issue_invitation,
        ],
        ids=["revoked", "expired", "sent again"],
    )
    def test_link_that_has_ended_is_refused(self, registration: str, end: Callable[[Invitation], Any]) -> None:
        token = invited_token()
        end(Invitation.objects.get())

        assert errors_of(register(token)) == ["invitation"]
        assert not User.objects.exists()

    @pytest.mark.parametrize("token", ["wrong", ""])
    def test_wrong_token_is_refused(self, registration: str, token: str) -> None:
        invite()

        assert errors_of(register(token)) == ["invitation"]

    def test_another_address_is_refused(self, registration: str) -> None:
        token = invited_token()

        assert errors_of(register(token, email="other@example.com")) == ["email"]
        assert register(token, email=EMAIL.upper()).status_code == 200

    def test_refused_registration_does_not_use_it_up(self, alice: Person, registration: str) -> None:
        token = invited_token()

        assert errors_of(register(token, "alice")) == ["username"]
        assert register(token).status_code == 200

    def test_address_that_somebody_has_by_then_is_refused(self, alice: Person) -> None:
        token = invited_token()
        services.update_user(actor=OPERATOR, user_id=alice.user.pk, changes={"email": EMAIL})

        assert errors_of(register(token)) == ["email"]

    def test_acceptance_is_audited(self) -> None:
        response = register(invited_token())

        entry = AuditEntry.objects.get(action="invitation.accept")
        assert entry.after == {"email": EMAIL, "user": response.json()["id"]}


@pytest.mark.django_db(transaction=True)
def test_of_several_at_once_one_registers(monkeypatch: pytest.MonkeyPatch) -> None:
    token, all_found, find = invited_token(), threading.Barrier(4), email_tokens.find_invitation
    monkeypatch.setattr(email_tokens, "find_invitation", lambda token: (find(token), all_found.wait(WAIT))[0])

    responses = at_once(*[partial(register, token, f"dora {number}") for number in range(4)])

    refused = [errors_of(response) for response in responses if response.status_code != 200]
    assert refused == [["invitation"]] * 3
    assert User.objects.count() == 1


@pytest.mark.embedded
class TestInviting:
    def test_link_goes_out_by_mail_alone(self, mailbox: Mailbox) -> None:
        assert services.invite(actor=OPERATOR, email=EMAIL).link is None

        assert send_due() == 1

        assert (mailbox.recipients, mailbox.subjects) == ([EMAIL], ["Invitation to register"])
        assert register(token_of(mailbox.mails[0])).status_code == 200
        assert not QueuedMail.objects.exists(), "the address needs no confirmation"

    def test_seven_days_begin_when_the_mail_is_sent(self, mailbox: Mailbox) -> None:
        invitation = invite()
        earlier = timezone.now() - timedelta(days=1)
        Invitation.objects.update(expires_at=earlier + email_tokens.INVITATION_LIFETIME)

        send_due()

        invitation.refresh_from_db()
        assert invitation.expires_at > timezone.now() + email_tokens.INVITATION_LIFETIME - timedelta(minutes=5)

    def test_revoked_invitation_is_not_sent(self, mailbox: Mailbox) -> None:
        services.revoke_invitation(actor=OPERATOR, invitation_id=invite().pk)

        assert send_due() == 0
        assert not mailbox.mails
        assert not QueuedMail.objects.exists()

    @pytest.mark.parametrize("email", ["", "dora", "dora@", "a@example.com\r\nBcc: b@example.com"])
    def test_what_is_no_address_is_refused(self, email: str) -> None:
        with pytest.raises(Invalid):
            invite(email)

    def test_address_of_a_user_is_refused(self, alice_with_email: Person) -> None:
        with pytest.raises(Invalid):
            invite("ALICE@example.com")

    def test_token_is_stored_as_a_digest(self) -> None:
        token = invited_token()

        assert token not in json.dumps(
            [list(Invitation.objects.values()), list(AuditEntry.objects.values())], default=str
        )

    def test_expired_invitations_are_swept(self) -> None:
        invite()
        invite("other@example.com")
        Invitation.objects.filter(email=EMAIL).update(expires_at=timezone.now())

        assert email_tokens.sweep() == 1
        assert Invitation.objects.get().email == "other@example.com"


@pytest.mark.embedded
class TestAdmin:
    def test_link_is_shown_once_without_mail(self, olivia: Operator) -> None:
        page = olivia.add(Invitation, email=EMAIL)

        assert page.status_code == 200
        assert "no-store" in page["Cache-Control"]
        assert register(token_in(page.content.decode())).status_code == 200
        assert olivia.audit_of("invitation.create").after == {"email": EMAIL}

    def test_mail_is_sent_where_it_is_set_up(self, olivia: Operator, mailbox: Mailbox) -> None:
        response = olivia.add(Invitation, email=EMAIL)

        assert response["Location"] == url(Invitation)
        assert send_due() == 1
        assert EMAIL in olivia.get(url(Invitation)).content.decode()

    def test_refusal_is_shown_at_the_form(self, olivia: Operator) -> None:
        page = olivia.add(Invitation, email="dora")

        assert "Enter a valid email address." in page.content.decode()
        assert not Invitation.objects.exists()

    def test_invitation_is_revoked_by_its_deletion(self, olivia: Operator) -> None:
        invitation = invite()

        olivia.delete(invitation)

        assert not Invitation.objects.exists()
        assert olivia.audit_of("invitation.revoke").before == {"email": EMAIL}


@pytest.mark.embedded
class TestCommand:
    def test_link_is_written_without_mail(self) -> None:
        assert register(token_in(manage("create", EMAIL))).status_code == 200

    def test_mail_is_sent_where_it_is_set_up(self, mailbox: Mailbox) -> None:
        assert manage("create", EMAIL) == "A mail with the link is on its way"

        assert send_due() == 1

    def test_invitations_are_listed_and_revoked(self) -> None:
        invitation = invite()
        assert invitation.pk in manage("list")
        assert json.loads(manage("list", "--json"))["items"][0]["email"] == EMAIL

        assert manage("revoke", invitation.pk) == "Revoked"

        assert json.loads(manage("list", "--json")) == {"items": []}

    @pytest.mark.parametrize(
        ("arguments", "code", "sentence"),
        [
            (("create", "dora"), 1, "ADDRESS: Enter a valid email address."),
            (("revoke", "invitation_x"), 3, "There is no invitation with this id"),
        ],
    )
    def test_refusal_has_a_sentence_and_a_status(self, arguments: tuple[str, ...], code: int, sentence: str) -> None:
        with pytest.raises(CommandError, match=re.escape(sentence)) as error:
            manage(*arguments)

        assert error.value.returncode == code

    def test_closed_registration_says_what_to_change(self) -> None:
        with override_settings(REGISTRATION="closed"), pytest.raises(CommandError, match="MAIM_REGISTRATION"):
            manage("create", EMAIL)
