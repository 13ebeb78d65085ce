"""A real mail server that keeps what it gets."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from django.test import override_settings
from django.utils import timezone

from accounts import email_tokens
from accounts.models import EmailToken, Invitation, User
from tests.support.instances import free_port


class Mailbox:
    """A mail server on a port, the mails that it got, and the response that it gives to recipients."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.mails: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.refusal: str | None = None

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802  # aiosmtpd's
        if self.refusal is not None:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  # aiosmtpd's
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.recipients += envelope.rcpt_tos
        return "250 OK"

    @contextmanager
    def open(self, **options: Any) -> Iterator[None]:
        """Accept mails until the block ends."""
        logging.getLogger("mail.log").setLevel(logging.WARNING)  # aiosmtpd's, which has every line
        controller = Controller(self, hostname="127.0.0.1", port=self.port, **options)
        controller.start()
        try:
            yield
        finally:
            controller.stop()

    @property
    def subjects(self) -> list[str]:
        return [str(mail["Subject"]) for mail in self.mails]


def parts(mail: EmailMessage) -> tuple[str, str]:
    """Return the text and the HTML of a mail."""
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    return text.get_content(), html.get_content()


def token_of(mail: EmailMessage) -> str:
    """Return the token in the link of a mail, which text and HTML share."""
    text, html = parts(mail)
    (token,) = set(re.findall(r"[#?]token=([\w-]+)", text + html))
    return str(token)


def new_token(user: User, purpose: EmailToken.Purpose) -> str:
    """Return the token of a link to an address that waits for its confirmation."""
    user.pending_email = f"{user.username}@example.com"
    user.save(update_fields=["pending_email"])
    return email_tokens.issue(user=user, purpose=purpose, email=user.pending_email) or ""


def invitation_to(email: str) -> str:
    """Return the token of an invitation."""
    invitation = Invitation.objects.create(email=email, expires_at=timezone.now())
    return email_tokens.issue_invitation(invitation)


@contextmanager
def mail_server() -> Iterator[Mailbox]:
    """Run a mail server, to which this process sends its mails."""
    mailbox = Mailbox(free_port())
    with mailbox.open(), mail_goes_to(mailbox):
        yield mailbox


@contextmanager
def mail_goes_to(mailbox: Mailbox) -> Iterator[None]:
    """Send this process' mails to a mail server, which may be away."""
    with override_settings(
        MAIL_IS_SET_UP=True,
        EMAIL_BACKEND="django.core.mail.backends.smtp.EmailBackend",
        EMAIL_HOST="127.0.0.1",
        EMAIL_PORT=mailbox.port,
        EMAIL_LINKS="https://maim.example.com/account/{action}#token={token}",
        DEFAULT_FROM_EMAIL="maim <noreply@maim.example.com>",
    ):
        yield
