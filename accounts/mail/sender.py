"""The sender of queued mails.

Several senders, on any machines, send each mail once: whoever claims its row sends it. If a sender dies, or
loses the database, between the mail server's acceptance and the deletion of the row, the mail is sent a second time.
"""

from __future__ import annotations

import logging
from smtplib import SMTPException, SMTPRecipientsRefused, SMTPResponseException
from typing import NamedTuple

from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.utils import translation

from accounts import email_tokens
from accounts.mail import outbox, tenant_texts, texts
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


class _Mail(NamedTuple):
    """A mail, and the token of its link if that counts against the hour's (accounts.email_tokens)."""

    message: EmailMultiAlternatives
    token: str | None = None


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
        mail = _compose(row, outbox.read(row))
    except Unsealable:
        # Another machine may have the key, or this one may get it.
        outbox.postpone(row)
        log.warning("mail %d (%s) waits: its key is not in MAIM_ENCRYPTION_KEYS", row.pk, row.kind)
        return False
    if mail is None:
        outbox.remove(row)
        return False
    return _deliver(row, mail, server)


def _deliver(row: QueuedMail, mail: _Mail, server: BaseEmailBackend) -> bool:
    """Give a mail to the server, and return whether that has taken it. Raise OSError if it has gone away."""
    if any(email_errors(address) for address in mail.message.to):
        outbox.give_up(row, "the address is not valid")
        return False
    try:
        server.send_messages([mail.message])
    except ValueError as error:  # it cannot be written as a mail, also not the next time
        outbox.give_up(row, type(error).__name__)
        return False
    except OSError as error:
        if mail.token is not None:  # else a server that is busy for half an hour would use up the hour's links
            email_tokens.withdraw(mail.token)
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


def _compose(row: QueuedMail, content: Content) -> _Mail | None:
    """Return a mail in its recipient's language, or None if there is nothing to say any more."""
    with translation.override(content.language):
        match row.kind:
            case QueuedMail.Kind.RESET:
                return _reset(content)
            case QueuedMail.Kind.VERIFY:
                return _verify(content)
            case QueuedMail.Kind.INVITATION | QueuedMail.Kind.TENANT_INVITATION:
                return _invitation(row, content)
            case QueuedMail.Kind.ACCOUNT_CLOSED:
                return _Mail(texts.account_closed().to(content.to))
        user = User.objects.filter(pk=content.user_id).first()
        letter = None if user is None else _notice(row, user, content)
        return None if letter is None else _Mail(letter.to(content.to))


_NOTICES = {
    QueuedMail.Kind.PASSWORD_CHANGED: texts.password_changed,
    QueuedMail.Kind.EMAIL_CHANGED: texts.email_changed,
    QueuedMail.Kind.TOKEN_CREATED: texts.token_created,
}
# Those that name what it is about: a change of factors, a provider, or a role.
_NOTICES_ABOUT = {
    QueuedMail.Kind.FACTORS_CHANGED: texts.factors_changed,
    QueuedMail.Kind.IDENTITY_ADDED: texts.identity_added,
    QueuedMail.Kind.IDENTITY_REMOVED: texts.identity_removed,
    QueuedMail.Kind.OPERATOR_ROLE: texts.operator_role,
}
_NOTICES_ABOUT_KEYS = {
    QueuedMail.Kind.KEY_LEAKED: texts.key_leaked,
    QueuedMail.Kind.KEY_EXPIRES: texts.key_expires,
    QueuedMail.Kind.QUOTA_REACHED: texts.quota_reached,
}


def _notice(row: QueuedMail, user: User, content: Content) -> Letter | None:
    """Return the mail that tells a user something, or None if it is not for this address any more."""
    kind = QueuedMail.Kind(row.kind)
    if kind in _NOTICES_ABOUT_KEYS:
        is_theirs = user.is_active and user.email_verified and user.email == content.to
        return _NOTICES_ABOUT_KEYS[kind](content.details or {}) if is_theirs else None
    if content.tenant_name:
        return tenant_texts.notice(row.kind, user, content)
    if kind == QueuedMail.Kind.NEW_SIGN_IN:
        return texts.new_sign_in(user, content.address, row.created_at)
    if kind in _NOTICES_ABOUT:
        return _NOTICES_ABOUT[kind](user, content.about)
    return _NOTICES[kind](user)


@transactional
def _reset(content: Content) -> _Mail | None:
    user = User.objects.select_for_update().filter(email_folded=fold(content.to), is_active=True).first()
    if user is None or not user.email:
        return None
    token = _issue(user, EmailToken.Purpose.RESET, user.email, content)
    # To the stored address, because another one may look the same to us and lead to another mailbox.
    return None if token is None else _Mail(texts.reset(user, token).to(user.email), token)


@transactional
def _verify(content: Content) -> _Mail | None:
    user = User.objects.select_for_update().filter(pk=content.user_id, is_active=True).first()
    if user is None or not _is_to_confirm(user, content.to):
        return None
    token = _issue(user, EmailToken.Purpose.VERIFY, content.to, content)
    return None if token is None else _Mail(texts.verify(token).to(content.to), token)


@transactional
def _invitation(row: QueuedMail, content: Content) -> _Mail | None:
    found = Invitation.objects.select_for_update().filter(pk=content.invitation_id).first()
    if found is None:
        return None
    token = email_tokens.issue_invitation(found)
    is_to_register = row.kind == QueuedMail.Kind.INVITATION
    letter = texts.invitation(token) if is_to_register else tenant_texts.invitation(content, token)
    return _Mail(letter.to(content.to))


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
