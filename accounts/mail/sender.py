"""The sender of queued mails.

Several senders, on any machines, send each mail once: whoever claims its row sends it. If a sender dies, or
loses the database, between the mail server's acceptance and the deletion of the row, the mail is sent a second time.
"""

from __future__ import annotations

import logging
from smtplib import SMTPException, SMTPRecipientsRefused, SMTPResponseException

from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.utils import translation

from accounts import email_tokens
from accounts.mail import outbox, texts
from accounts.mail.outbox import Content
from accounts.mail.texts import Letter
from accounts.models import EmailToken, Invitation, QueuedMail, User
from accounts.validators import email_errors
from core import audit
from core.db import ensure_primary, transactional
from core.sealing import Unsealable
from core.text import fold

log = logging.getLogger("maim.mail")
_AT_ONCE = 100


def send_due() -> int:
    """Send the mails that are due, and return their number.

    Raise OSError, which smtplib's errors are, if the mail server does not take any. They wait then, and none counts an
    attempt.
    """
    ensure_primary()
    rows = [row for row in outbox.due(_AT_ONCE) if not outbox.give_up_if_old(row)]
    if not rows:
        return 0
    server: BaseEmailBackend = get_connection()
    try:
        server.open()
        return sum([_send(row, server) for row in rows])
    finally:
        server.close()


def _send(row: QueuedMail, server: BaseEmailBackend) -> bool:
    """Send one mail, and return whether it was sent. Raise OSError if the server has gone away."""
    if not outbox.claim(row):
        return False
    try:
        message = _compose(row, outbox.read(row))
    except Unsealable:
        # Another machine may have the key, or this one may get it.
        outbox.postpone(row)
        log.warning("mail %d (%s) waits: its key is not in MAIM_ENCRYPTION_KEYS", row.pk, row.kind)
        return False
    if message is None:
        outbox.remove(row)
        return False
    if any(email_errors(address) for address in message.to):
        outbox.give_up(row, "the address is not valid")
        return False
    try:
        server.send_messages([message])
    except OSError as error:
        outbox.postpone(row)
        log.warning("mail %d (%s) was not sent, and waits: %s", row.pk, row.kind, reason(error))
        if isinstance(error, SMTPRecipientsRefused | SMTPResponseException):
            return False
        raise
    outbox.remove(row)
    return True


def reason(error: OSError) -> str:
    """Return what an error of the mail server says, without its text, which may name the recipient."""
    if isinstance(error, SMTPRecipientsRefused):
        codes = sorted({code for code, _text in error.recipients.values()})
        return f"{type(error).__name__} {', '.join(map(str, codes))}"
    if isinstance(error, SMTPResponseException):
        return f"{type(error).__name__} {error.smtp_code}"
    return type(error).__name__ if isinstance(error, SMTPException) else str(error)


def _compose(row: QueuedMail, content: Content) -> EmailMultiAlternatives | None:
    """Return a mail in its recipient's language, or None if there is nothing to say any more."""
    with translation.override(content.language):
        match row.kind:
            case QueuedMail.Kind.RESET:
                return _reset(content)
            case QueuedMail.Kind.VERIFY:
                return _verify(content)
            case QueuedMail.Kind.INVITATION:
                return _invitation(content)
            case QueuedMail.Kind.ACCOUNT_CLOSED:
                return texts.account_closed().to(content.to)
            case QueuedMail.Kind.KEY_LEAKED | QueuedMail.Kind.KEY_EXPIRES | QueuedMail.Kind.QUOTA_REACHED:
                return _about_keys(row, content)
        user = User.objects.filter(pk=content.user_id).first()
        return None if user is None else _notice(row, user, content).to(content.to)


def _about_keys(row: QueuedMail, content: Content) -> EmailMultiAlternatives | None:
    """Return a notice about keys, if the address is still the user's."""
    user = User.objects.filter(pk=content.user_id, is_active=True).first()
    if user is None or user.email != content.to or not user.email_verified:
        return None
    details = content.details or {}
    match row.kind:
        case QueuedMail.Kind.KEY_LEAKED:
            return texts.key_leaked(details).to(content.to)
        case QueuedMail.Kind.KEY_EXPIRES:
            return texts.key_expires(details).to(content.to)
    return texts.quota_reached(details).to(content.to)


def _notice(row: QueuedMail, user: User, content: Content) -> Letter:
    match row.kind:
        case QueuedMail.Kind.PASSWORD_CHANGED:
            return texts.password_changed(user)
        case QueuedMail.Kind.EMAIL_CHANGED:
            return texts.email_changed(user)
        case QueuedMail.Kind.NEW_SIGN_IN:
            return texts.new_sign_in(user, content.address, row.created_at)
        case QueuedMail.Kind.FACTORS_CHANGED:
            return texts.factors_changed(user)
        case QueuedMail.Kind.IDENTITY_ADDED:
            return texts.identity_added(user)
        case QueuedMail.Kind.IDENTITY_REMOVED:
            return texts.identity_removed(user)
    raise AssertionError(row.kind)


@transactional
def _reset(content: Content) -> EmailMultiAlternatives | None:
    user = User.objects.select_for_update().filter(email_folded=fold(content.to), is_active=True).first()
    if user is None or not user.email:
        return None
    token = _issue(user, EmailToken.Purpose.RESET, user.email, content)
    # To the stored address, because another one may look the same to us and lead to another mailbox.
    return None if token is None else texts.reset(user, token).to(user.email)


@transactional
def _verify(content: Content) -> EmailMultiAlternatives | None:
    user = User.objects.select_for_update().filter(pk=content.user_id, is_active=True).first()
    if user is None or not _is_to_confirm(user, content.to):
        return None
    token = _issue(user, EmailToken.Purpose.VERIFY, content.to, content)
    return None if token is None else texts.verify(token).to(content.to)


@transactional
def _invitation(content: Content) -> EmailMultiAlternatives | None:
    found = Invitation.objects.select_for_update().filter(pk=content.invitation_id).first()
    return None if found is None else texts.invitation(email_tokens.issue_invitation(found)).to(content.to)


def _is_to_confirm(user: User, address: str) -> bool:
    return address == user.pending_email or (address == user.email and not user.email_verified)


def _issue(user: User, purpose: EmailToken.Purpose, email: str, content: Content) -> str | None:
    token = email_tokens.issue(user=user, purpose=purpose, email=email)
    if token is not None:
        audit.record(
            actor=content.actor,
            action="user.email_link",
            object_id=user.id,
            tenant_id=None,
            after={"purpose": purpose.value, "email": email},
        )
    return token
