"""The reset of a forgotten password, by a link in a mail."""

from __future__ import annotations

from accounts import email_tokens, throttle
from accounts.mail import outbox
from accounts.models import EmailToken, QueuedMail, User
from accounts.services.mail_links import BadMailLink, lock_for_mail_link
from accounts.services.password_login import check_password_login
from accounts.services.passwords import hash_password, store_password
from accounts.services.personal_tokens import end_tokens
from accounts.validators import email_errors
from core import audit
from core.actor import Actor
from core.db import transactional
from core.errors import Invalid


def request_reset(*, actor: Actor, email: str) -> None:
    """Send a link for a new password to this address, if an active user has it.

    Whether there is one, is looked up when the mail is sent, so that neither the response nor its time tells it. Raise
    Invalid for what is no address, PasswordLoginOff, and TooMany.
    """
    check_password_login()
    throttle.attempt(account=f"mail to {email}", address=actor.address)
    if errors := email_errors(email):
        raise Invalid(errors)
    _queue(actor=actor, email=email)


@transactional
def _queue(*, actor: Actor, email: str) -> None:
    outbox.put(QueuedMail.Kind.RESET, actor=actor, to=email)


def reset_password(*, actor: Actor, token: str, new_password: str) -> User:
    """Set a new password by a token, end every session, link and personal access token of the user, and return them.

    Who has the token reads the mails to its address, so that is verified, too. Raise BadMailLink, Invalid for a weak
    password, PasswordLoginOff, TooMany, and Unavailable.
    """
    check_password_login()
    throttle.attempt(account=f"link {token}", address=actor.address)
    found = email_tokens.find(token, EmailToken.Purpose.RESET)
    if found is None:
        raise BadMailLink
    return _reset(actor=actor, found=found, hashed=hash_password(new_password, found.user, field="new_password"))


@transactional
def _reset(*, actor: Actor, found: EmailToken, hashed: str) -> User:
    user = lock_for_mail_link(found)
    was_proved, user.verified_email = user.email_verified, found.email
    user.save(update_fields=["verified_email"])
    store_password(actor, user, hashed)
    end_tokens(actor, user.personal_tokens.all())
    if not was_proved:
        _remove_unproven_credentials(actor, user)
    return user


def _remove_unproven_credentials(actor: Actor, user: User) -> None:
    """Remove the identities and passkeys of a user who never proved their address.

    Somebody else may have registered with it, and would go on to sign in by them.
    """
    identities, passkeys = user.identities.all(), user.passkeys.all()
    removed = {"identities": [row.pk for row in identities], "passkeys": [row.pk for row in passkeys]}
    if any(removed.values()):
        identities.delete()
        passkeys.delete()
        audit.record(actor=actor, action="user.remove_credentials", object_id=user.id, tenant_id=None, before=removed)
