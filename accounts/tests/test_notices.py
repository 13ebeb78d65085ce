"""Mails about sign-ins from new addresses."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone, translation

from accounts import services
from accounts.mail.sender import send_due
from accounts.models import QueuedMail, SignInAddress, User
from accounts.services.notices import notify
from core.http.surfaces import PUBLIC
from tests.support.client import SurfaceClient
from tests.support.mail import Mailbox, parts
from tests.support.people import OPERATOR, PASSWORD, Person

pytestmark = pytest.mark.embedded

HOME, ELSEWHERE = "192.0.2.1", "198.51.100.7"


def login(address: str) -> None:
    body = {"username": "alice", "password": PASSWORD}
    response = SurfaceClient().send("POST", "/api/v1/auth/login", body, REMOTE_ADDR=address)
    assert response.status_code == 200


def sign_in_to_the_admin(address: str) -> None:
    client = SurfaceClient(PUBLIC)
    fields = {"username": "alice", "password": PASSWORD, "next": "/admin/"}
    assert Client.post(client, reverse("admin:login"), fields, REMOTE_ADDR=address).status_code == 302


def test_sign_in_from_a_new_address_is_told(alice_with_email: Person, mailbox: Mailbox) -> None:
    login(HOME)
    login(HOME)
    assert send_due() == 0, "the first address, and the same again"

    login(ELSEWHERE)

    assert send_due() == 1
    assert mailbox.recipients == ["alice@example.com"]
    assert mailbox.subjects == ["Sign-in from a new address"]
    assert all(ELSEWHERE in part and "UTC" in part for part in parts(mailbox.mails[0]))
    login(ELSEWHERE)
    assert send_due() == 0


def test_sign_in_to_the_admin_is_told(alice_with_email: Person, mailbox: Mailbox) -> None:
    User.objects.update(is_staff=True)
    sign_in_to_the_admin(HOME)

    sign_in_to_the_admin(ELSEWHERE)

    assert send_due() == 1
    assert mailbox.subjects == ["Sign-in from a new address"]


def test_wrong_password_is_not_told(alice_with_email: Person, mailbox: Mailbox) -> None:
    login(HOME)

    body = {"username": "alice", "password": "a wrong one"}
    SurfaceClient().send("POST", "/api/v1/auth/login", body, REMOTE_ADDR=ELSEWHERE)

    assert send_due() == 0


@pytest.mark.parametrize(("address", "told"), [("2001:db8::2", 0), ("2001:db8:0:1::1", 1)])
def test_network_of_ipv6_is_one_address(alice_with_email: Person, mailbox: Mailbox, address: str, told: int) -> None:
    login("2001:db8::1")

    login(address)

    assert send_due() == told


def test_without_mail_nothing_is_remembered(alice_with_email: Person) -> None:
    login(HOME)
    login(ELSEWHERE)

    assert not SignInAddress.objects.exists()
    assert not QueuedMail.objects.exists()


def test_addresses_are_forgotten_after_a_year(alice_with_email: Person, mailbox: Mailbox) -> None:
    login(HOME)
    login(ELSEWHERE)
    SignInAddress.objects.filter(network=HOME).update(last_at=timezone.now() - timedelta(days=366))

    assert services.sweep_addresses() == 1
    assert SignInAddress.objects.get().network == ELSEWHERE


def test_refused_sign_in_remembers_nothing(alice_with_email: Person, mailbox: Mailbox) -> None:
    """The password was changed while the sign-in was under way."""
    before = User.objects.get(pk=alice_with_email.user.pk)
    services.set_password(actor=OPERATOR, user=alice_with_email.user, password="another password")

    with pytest.raises(services.BadCredentials), override_settings(AUTH_RATE=None):
        services.sign_in(actor=OPERATOR, user=before)

    assert not SignInAddress.objects.exists()


def queue_about_keys(kind: QueuedMail.Kind, **details: str) -> None:
    user = User.objects.get(username="alice")
    User.objects.update(verified_email=user.email)
    common = {"tenant": "Acme", "tenant_id": "tenant_1", "subject": "key_1"}
    notify(kind, actor=OPERATOR, user=user, to=user.email, details={**common, **details})


def test_notices_about_keys_name_what_they_are_about(alice_with_email: Person, mailbox: Mailbox) -> None:
    queue_about_keys(QueuedMail.Kind.KEY_LEAKED, key_name="production", api_key="mmc_…94bb")
    queue_about_keys(QueuedMail.Kind.KEY_EXPIRES, key_name="see https://example.org", expires_at="2040-01-01T12:00:00Z")
    queue_about_keys(QueuedMail.Kind.QUOTA_REACHED, name="production", limit="100", percent="80")
    with translation.override("zh-hans"):
        queue_about_keys(QueuedMail.Kind.QUOTA_REACHED, name="production", limit="100", percent="100")

    assert send_due() == 4

    assert mailbox.subjects == [
        "An API key was reported as leaked",
        "An API key expires soon",
        "A quota is nearly used up",
        "配额已用尽",
    ]
    leaked, expires, quota, _ = (parts(mail)[0] for mail in mailbox.mails)
    assert "production" in leaked
    assert "2040-01-01T12:00:00Z" in expires
    assert "example.org" not in expires, "no link that a member chose"
    assert "80 % of a quota of 100 uses" in quota
    assert all("key_1" in text and "tenant_1" in text for text in (leaked, expires, quota))


def test_notice_about_keys_goes_to_no_former_address(alice_with_email: Person, mailbox: Mailbox) -> None:
    queue_about_keys(QueuedMail.Kind.KEY_LEAKED, key_name="production", api_key="mmc_…94bb")
    other = "other@example.com"
    User.objects.update(email=other, email_folded=other, verified_email=other)

    assert send_due() == 0
    assert mailbox.mails == []
