"""Mails to members about what others did to their place in a tenant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from accounts.mail.sender import send_due
from accounts.models import QueuedMail
from tenants import members
from tenants.models import Role
from tests.support.mail import Mailbox, parts
from tests.support.people import OPERATOR, Person

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]


@pytest.fixture
def team(alice: Person, bob: Person) -> tuple[Person, Person]:
    """Alice and Bob, each with an address."""
    for person in (alice, bob):
        person.user.set_email(f"{person.user.username}@example.com")
        person.user.save()
    return alice, bob


def _offer(alice: Person, bob: Person) -> None:
    members.offer_tenant(actor=alice.actor, tenant=alice.tenant, user_id=bob.user.id)


def _accept(alice: Person, bob: Person) -> None:
    _offer(alice, bob)
    QueuedMail.objects.all().delete()
    members.accept_tenant(actor=bob.actor, tenant=alice.tenant)


def _hand_over(alice: Person, bob: Person) -> None:
    members.set_member(actor=OPERATOR, tenant=alice.tenant, user_id=bob.user.id, role=Role.OWNER)


def _change_role(alice: Person, bob: Person) -> None:
    path = f"/api/v1/tenants/{alice.tenant.id}/members/{bob.user.id}"
    for _again in range(2):
        assert alice.client.send("PUT", path, {"role": "viewer"}, HTTP_ACCEPT_LANGUAGE="en").status_code == 200


def _remove(alice: Person, bob: Person) -> None:
    members.remove_member(actor=alice.actor, tenant=alice.tenant, user_id=bob.user.id)


def _leave(alice: Person, bob: Person) -> None:
    members.remove_member(actor=bob.actor, tenant=alice.tenant, user_id=bob.user.id)


ALICE, BOB = "alice@example.com", "bob@example.com"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_change_role, ([BOB], "Your role in a tenant", ["viewer", "Account: \u2068bob\u2069"])),
        (_remove, ([BOB], "You were removed from a tenant", [])),
        (_leave, ([], "", [])),
        (_offer, ([BOB], "A tenant is offered to you", ["seven days"])),
        (_accept, ([ALICE], "A tenant has a new owner", ["Owner: \u2068bob\u2069", "Your role: admin"])),
        (_hand_over, ([ALICE, BOB], "A tenant has a new owner", ["Owner: \u2068bob\u2069"])),
    ],
)
def test_change_by_somebody_else_is_told_once(
    change: Callable[[Person, Person], Any],
    told: tuple[list[str], str, list[str]],
    team: tuple[Person, Person],
    mailbox: Mailbox,
) -> None:
    recipients, subject, names = told
    change(*team)

    assert send_due() == len(recipients)
    assert sorted(mailbox.recipients) == recipients
    for mail in mailbox.mails:
        assert mail["Subject"] == subject
        for part in parts(mail):
            assert [name for name in (*names, "Personal Tenant") if name not in part] == []


def test_without_mail_nobody_is_told(team: tuple[Person, Person]) -> None:
    _change_role(*team)

    assert not QueuedMail.objects.exists()
