"""A person's own e-mail address: entering another one, and confirming it by a link in a mail."""

from __future__ import annotations

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from accounts import email_tokens, throttle
from accounts.fields import USER_FIELDS, UserChanges
from accounts.mail import outbox
from accounts.models import EmailToken, QueuedMail, User
from accounts.services.confirmation import confirm_password, lock_confirmed
from accounts.services.mail_links import BadMailLink, lock_for_mail_link
from accounts.services.notices import notify
from accounts.services.users import DUPLICATES, lock_user, update_user
from accounts.validators import email_errors
from core import audit
from core.actor import Actor
from core.db import transactional, transactional_and_propagated, translate_unique_violation
from core.errors import Conflict, Invalid


def update_profile(*, actor: Actor, user: User, changes: UserChanges, password: str | None = None) -> User:
    """Change what people may change of themselves, and return them as they are stored now.

    Where mail is set up, a new address waits in `pending_email` until it is confirmed. A new one, and
    removing a verified one, take the password, because the owner of the address can set another password by a link.

    Raise as `update_user`, Invalid for a wrong password, TooMany, and Unavailable.

    A new e-mail address counts as an attempt, because the response may tell whether somebody has it.
    """
    if "email" not in changes:
        return update_user(actor=actor, user_id=user.id, changes=changes)
    email = changes["email"] or None
    is_new = email not in (None, user.email)
    if is_new:
        throttle.attempt(account=f"e-mail of {user.id}", address=actor.address)
    if not settings.MAIL_IS_SET_UP:
        return update_user(actor=actor, user_id=user.id, changes=changes)
    if errors := email_errors(email):
        raise Invalid(errors)
    if is_new or (user.email_verified and email is None):
        confirm_password(actor=actor, user=user, password=password)
    others = changes.copy()
    del others["email"]
    return _change_profile(actor=actor, user=user, email=email, others=others)


@transactional_and_propagated
def _change_profile(*, actor: Actor, user: User, email: str | None, others: UserChanges) -> User:
    changed = _change_email(actor=actor, user=user, email=email)
    return update_user(actor=actor, user_id=user.id, changes=others) if others else changed


@transactional
def _change_email(*, actor: Actor, user: User, email: str | None) -> User:
    """Remove the address, keep it and drop the one that waits, or let another one wait for its confirmation."""
    stored = lock_confirmed(user)
    former, before = stored.email, _audit_state(stored)
    if email is None:
        stored.set_email(None)
    stored.pending_email = email if email != stored.email else None
    after = _audit_state(stored)
    if stored.pending_email is not None:
        outbox.put(QueuedMail.Kind.VERIFY, actor=actor, to=stored.pending_email, user_id=stored.pk)
    if after == before:
        return stored
    stored.save(update_fields=["email", "email_folded", "pending_email"])
    if former != stored.email:
        notify(QueuedMail.Kind.EMAIL_CHANGED, actor=actor, user=stored, to=former)
    audit.record(actor=actor, action="user.update", object_id=stored.id, tenant_id=None, before=before, after=after)
    return stored


def queue_verification(*, actor: Actor, user: User) -> None:
    """Send a link to confirm the address of a new user, in the transaction that adds them, if mail is set up."""
    if user.email and not user.email_verified and settings.MAIL_IS_SET_UP:
        outbox.put(QueuedMail.Kind.VERIFY, actor=actor, to=user.email, user_id=user.pk)


@transactional
def request_verification(*, actor: Actor, user: User) -> None:
    """Send the link again that confirms the address of a user, the new one if one waits.

    Raise Conflict if there is nothing to confirm, and TooMany.
    """
    throttle.attempt(account=f"mail to {user.id}", address=actor.address)
    stored = lock_user(user.pk)
    address = stored.pending_email or (None if stored.email_verified else stored.email)
    if address is None:
        raise Conflict(_("There is no e-mail address to confirm"))
    outbox.put(QueuedMail.Kind.VERIFY, actor=actor, to=address, user_id=stored.pk)


def verify_email(*, actor: Actor, token: str) -> User:
    """Confirm an address by a token, and return its user. A new address replaces the former one, which is told.

    Raise BadMailLink, Invalid if somebody else has the address by now, and TooMany.
    """
    throttle.attempt(account=f"link {token}", address=actor.address)
    found = email_tokens.find(token, EmailToken.Purpose.VERIFY)
    if found is None:
        raise BadMailLink
    return _verify(actor=actor, found=found)


@transactional
def _verify(*, actor: Actor, found: EmailToken) -> User:
    user = lock_for_mail_link(found)
    former, before = user.email, _audit_state(user)
    if found.email == user.pending_email:
        user.set_email(found.email)
        user.pending_email = None
    user.verified_email = found.email
    with translate_unique_violation(DUPLICATES):
        user.save(update_fields=["email", "email_folded", "pending_email", "verified_email"])
    if former != user.email:
        notify(QueuedMail.Kind.EMAIL_CHANGED, actor=actor, user=user, to=former)
    audit.record(
        actor=actor,
        action="user.verify_email",
        object_id=user.id,
        tenant_id=None,
        before=before,
        after=_audit_state(user),
    )
    return user


def _audit_state(user: User) -> dict[str, object]:
    return {
        **USER_FIELDS.audit_state(user),
        "pending_email": user.pending_email,
        "email_verified": user.email_verified,
    }
