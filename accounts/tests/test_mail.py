"""The queue of mails, and what arrives at a real mail server."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.mail import EmailMultiAlternatives
from django.test import override_settings
from django.utils import timezone, translation

from accounts import email_tokens, services
from accounts.mail import files, outbox, sender
from accounts.mail.sender import send_due
from accounts.mail.texts import Letter
from accounts.metrics import mail_status
from accounts.models import EmailToken, QueuedMail, User
from accounts.tests.threads import at_once
from core.actor import Actor, ActorKind
from core.db import transactional
from core.errors import Conflict
from core.models import AuditEntry
from tests.support.client import SurfaceClient
from tests.support.commands import run
from tests.support.instances import free_port
from tests.support.mail import Mailbox, mail_goes_to, parts
from tests.support.people import OPERATOR, Person, register

ANYBODY = Actor(kind=ActorKind.ANONYMOUS, address="192.0.2.7", request_id="req_forgotten")


def forget(email: str = "alice@example.com") -> None:
    services.request_reset(actor=ANYBODY, email=email)


def eve_registers(email: str) -> Any:
    body = {"username": "another eve", "password": "password123", "email": email}
    return SurfaceClient().send("POST", "/api/v1/auth/register", body)


def unwritable_once(to: Callable[[Letter, str], EmailMultiAlternatives]) -> Callable[[Letter, str], Any]:
    """Return a replacement of `Letter.to` whose first mail has a line break in a header."""
    subjects = iter(["a\nb"])

    def replacement(letter: Letter, address: str) -> EmailMultiAlternatives:
        mail = to(letter, address)
        mail.subject = next(subjects, mail.subject)
        return mail

    return replacement


def make_due() -> None:
    QueuedMail.objects.update(due_at=timezone.now())


@pytest.mark.embedded
class TestDelivery:
    def test_mail_arrives_as_text_and_html(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        forget()

        assert send_due() == 1

        (mail,) = mailbox.mails
        assert mailbox.recipients == ["alice@example.com"]
        assert (mail["To"], mail["From"]) == ("alice@example.com", "maim <noreply@maim.example.com>")
        assert (mail["Subject"], mail["Auto-Submitted"]) == ("Set a new password", "auto-generated")
        text, html = parts(mail)
        assert "https://maim.example.com/account/reset-password#token=" in text
        assert '<a href="https://maim.example.com/account/reset-password#token=' in html
        assert all("Account: \u2068alice\u2069" in part for part in (text, html))
        assert not QueuedMail.objects.exists()

    def test_mail_is_in_the_language_of_the_request(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        with translation.override("zh-hans"):
            forget()

        send_due()

        (mail,) = mailbox.mails
        text, html = parts(mail)
        assert mail["Subject"] == "设置新密码"
        assert "链接仅可使用一次，1 小时内有效" in text
        assert '<html lang="zh-hans">' in html

    @pytest.mark.parametrize("domain", ["\u05d01.example.com", "\u3002example.com", "\u00fc" * 62 + ".com"])
    def test_domain_that_cannot_be_written_holds_up_no_other_mail(
        self, alice_with_email: Person, mailbox: Mailbox, domain: str
    ) -> None:
        """Such addresses are refused, and those that were stored before get nothing."""
        eve = register("eve").user
        assert eve_registers(f"eve@{domain}").status_code == 400
        User.objects.filter(pk=eve.pk).update(email=f"eve@{domain}", email_folded=f"eve@{domain}")
        services.set_password(actor=OPERATOR, user=User.objects.get(pk=eve.pk), password="another password")
        forget()

        assert send_due() == 1
        assert mailbox.recipients == ["alice@example.com"]
        assert AuditEntry.objects.filter(action="mail.give_up").exists()

    def test_mail_that_cannot_be_written_holds_up_no_other(
        self, alice_with_email: Person, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Letter, "to", unwritable_once(Letter.to))
        services.set_password(actor=OPERATOR, user=alice_with_email.user, password="another password")
        forget()

        assert send_due() == 1
        assert not QueuedMail.objects.exists()
        assert AuditEntry.objects.filter(action="mail.give_up").exists()

    def test_link_waits_for_a_server_that_is_busy_for_long(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        """Attempts do not count against the hour's links (accounts.email_tokens)."""
        forget()
        mailbox.refusal = "451 try again later"
        for _ in range(2 * email_tokens.AN_HOUR):
            send_due()
            make_due()
        assert not EmailToken.objects.exists(), "of a link that nobody has got"
        mailbox.refusal = None

        assert send_due() == 1
        assert mailbox.subjects == ["Set a new password"]

    def test_command_sends_all_mails_that_are_due(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        number = sender._AT_ONCE + 1
        for each in range(number):
            outbox.put(
                QueuedMail.Kind.PASSWORD_CHANGED,
                actor=OPERATOR,
                to=f"{each}@example.com",
                user_id=alice_with_email.user.pk,
            )

        assert run("send_mail").out == f"{number} mails sent\n"

    def test_names_do_not_become_markup_headers_or_links(self, db: None, mailbox: Mailbox) -> None:
        for number, name in enumerate(("<b>Win</b>", "buy at shop.example")):
            user = services.create_user(actor=OPERATOR, username=name, password=None, email=f"{number}@example.com")
            forget(user.email or "")

        assert send_due() == 2

        assert mailbox.subjects == ["Set a new password"] * 2
        first, second = (parts(mail)[1] for mail in mailbox.mails)
        assert "<b>" not in first
        assert "shop.example" not in second

    @pytest.mark.parametrize("email", ["alice@example.com\nBcc: eve@example.com", "alice@example.com\r\n\r\nHello"])
    def test_stored_address_with_a_newline_sends_nothing(self, alice: Person, mailbox: Mailbox, email: str) -> None:
        outbox.put(QueuedMail.Kind.PASSWORD_CHANGED, actor=ANYBODY, to=email, user_id=alice.user.pk)

        assert send_due() == 0

        assert mailbox.mails == []
        assert AuditEntry.objects.get(action="mail.give_up").before["reason"] == "the address is not valid"

    def test_mail_under_a_key_of_another_machine_waits(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        forget()
        with override_settings(ENCRYPTION_KEYS=(Fernet.generate_key().decode(),)):
            assert send_due() == 0

        make_due()
        assert send_due() == 1

    def test_rolled_back_change_sends_nothing(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        @transactional
        def change_in_vain() -> None:
            services.set_password(actor=OPERATOR, user=alice_with_email.user, password="another password")
            assert QueuedMail.objects.count() == 1
            raise Conflict

        with pytest.raises(Conflict):
            change_in_vain()

        assert send_due() == 0
        assert mailbox.mails == []

    def test_database_holds_neither_address_nor_link(self, alice_with_email: Person) -> None:
        forget()

        (row,) = QueuedMail.objects.values()
        assert "alice" not in str(row)


@pytest.mark.embedded
class TestWithoutTheMailServer:
    def test_mails_wait_and_are_sent_when_it_is_back(self, alice_with_email: Person) -> None:
        mailbox = Mailbox(free_port())
        with mail_goes_to(mailbox):
            forget()
            for _ in range(3):
                with pytest.raises(OSError, match="refused"):
                    send_due()

            with mailbox.open():
                assert send_due() == 1
        assert len(mailbox.mails) == 1

    def test_refused_recipient_holds_up_nobody_else(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        mailbox.refusal = "451 try later"
        forget()
        assert send_due() == 0
        mailbox.refusal = None
        services.create_user(actor=OPERATOR, username="bob", password=None, email="bob@example.com")
        forget("bob@example.com")

        assert send_due() == 1

        assert mailbox.recipients == ["bob@example.com"]
        make_due()
        assert send_due() == 1
        assert mailbox.recipients == ["bob@example.com", "alice@example.com"]

    def test_pauses_grow_up_to_an_hour(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        mailbox.refusal = "451 try later"
        services.set_password(actor=OPERATOR, user=alice_with_email.user, password="another password")
        pauses = []
        for _ in range(8):
            send_due()
            (row,) = QueuedMail.objects.all()
            pauses.append(round((row.due_at - timezone.now()) / timedelta(minutes=1)))
            make_due()

        assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]

    def test_log_names_no_recipient(
        self, alice_with_email: Person, mailbox: Mailbox, caplog: pytest.LogCaptureFixture
    ) -> None:
        mailbox.refusal = "550 <alice@example.com> is unknown here"
        forget()

        with caplog.at_level(logging.INFO):
            send_due()

        assert "SMTPRecipientsRefused 550" in caplog.text
        assert "alice@example.com" not in caplog.text

    def test_mail_is_given_up_after_three_days(
        self, alice_with_email: Person, mailbox: Mailbox, caplog: pytest.LogCaptureFixture
    ) -> None:
        forget()
        QueuedMail.objects.update(created_at=timezone.now() - outbox.GIVE_UP_AFTER + timedelta(minutes=1), attempts=9)
        mailbox.refusal = "451 try later"
        assert send_due() == 0
        assert QueuedMail.objects.exists()

        QueuedMail.objects.update(created_at=timezone.now() - outbox.GIVE_UP_AFTER, due_at=timezone.now())
        assert send_due() == 0

        assert not QueuedMail.objects.exists()
        assert [record.levelname for record in caplog.records if "gave up" in record.message] == ["ERROR"]
        (entry,) = AuditEntry.objects.filter(action="mail.give_up")
        assert (entry.before["kind"], entry.before["attempts"]) == ("reset", 10)

    def test_mail_of_a_dead_sender_is_sent_after_its_claim(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        forget()
        (row,) = outbox.due(1)
        assert outbox.claim(row)
        assert send_due() == 0, "claimed"

        QueuedMail.objects.update(due_at=timezone.now())

        assert send_due() == 1


def test_queue_is_measured(alice_with_email: Person, mailbox: Mailbox) -> None:
    assert mail_status() == (0, 0.0, 0)
    mailbox.refusal = "550 no"
    for days in (1, 4):
        forget()
        QueuedMail.objects.filter(pk=QueuedMail.objects.latest("pk").pk).update(
            created_at=timezone.now() - timedelta(days=days)
        )

    send_due()

    status = mail_status()
    assert (status.waiting, status.given_up) == (1, 1)
    assert 86_400 <= status.oldest_seconds < 90_000


@pytest.mark.django_db(transaction=True)
class TestSeveralSenders:
    def test_each_mail_is_sent_once(self, mailbox: Mailbox) -> None:
        user = register("alice").user
        for number in range(20):
            outbox.put(QueuedMail.Kind.PASSWORD_CHANGED, actor=OPERATOR, to=f"{number}@example.com", user_id=user.pk)

        sent = at_once(*[partial(send_due)] * 4)

        assert sum(sent) == 20
        assert sorted(mailbox.recipients) == sorted(f"{number}@example.com" for number in range(20))

    def test_row_is_claimed_once(self, db: None) -> None:
        outbox.put(QueuedMail.Kind.RESET, actor=OPERATOR, to="alice@example.com")
        rows = [outbox.due(1)[0] for _ in range(4)]

        assert sorted(at_once(*(partial(outbox.claim, row) for row in rows))) == [False, False, False, True]


@pytest.mark.embedded
class TestFiles:
    def test_without_a_mail_server_links_are_in_files_of_their_owner(
        self, alice_with_email: Person, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        directory = tmp_path / "mail"
        with (
            override_settings(EMAIL_BACKEND="accounts.mail.files.EmailBackend", EMAIL_FILE_PATH=str(directory)),
            caplog.at_level(logging.INFO),
        ):
            forget()
            assert send_due() == 1

        (file,) = directory.iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert "reset-password#token=" in file.read_text()
        assert f"a mail was written to {file}" in caplog.text
        assert "token=" not in caplog.text

    def test_old_files_are_swept(self, tmp_path: Path, settings: Any) -> None:
        settings.MAIL_DIRECTORY = tmp_path
        for name, days in (("old.eml", 31), ("new.eml", 29), ("old.txt", 31)):
            (tmp_path / name).touch()
            moment = (timezone.now() - timedelta(days=days)).timestamp()
            os.utime(tmp_path / name, (moment, moment))

        assert files.sweep() == 1

        assert sorted(path.name for path in tmp_path.iterdir()) == ["new.eml", "old.txt"]

    def test_without_a_directory_nothing_is_swept(self, tmp_path: Path, settings: Any) -> None:
        settings.MAIL_DIRECTORY = tmp_path / "mail"

        assert files.sweep() == 0

    def test_without_a_mail_server_nobody_is_told_of_changes(self, alice_with_email: Person) -> None:
        services.set_password(actor=OPERATOR, user=alice_with_email.user, password="another password")

        assert not QueuedMail.objects.exists()


def test_nobody_gets_more_than_five_links_an_hour(alice_with_email: Person, mailbox: Mailbox) -> None:
    for _ in range(7):
        forget()

    assert send_due() == 5
    EmailToken.objects.update(created_at=timezone.now() - timedelta(hours=1))
    forget()
    assert send_due() == 1
