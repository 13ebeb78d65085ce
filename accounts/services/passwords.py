"""Changes of passwords, which end sessions."""

from __future__ import annotations

from django.contrib.auth.hashers import make_password
from django.utils.translation import gettext_lazy as _

from accounts import throttle
from accounts.hashers import normalize_password
from accounts.models import QueuedMail, User
from accounts.services.notices import notify
from accounts.services.password_login import check_password_login
from accounts.services.personal_tokens import end_tokens
from accounts.services.sessions import end_sessions, lock_unchanged
from accounts.services.users import lock_user
from accounts.validators import password_errors
from core import audit
from core.actor import Actor
from core.db import transactional
from core.errors import Invalid


def change_password(
    *, actor: Actor, user: User, old_password: str, new_password: str, keep_session: str | None
) -> None:
    """Set a new password and end every session but `keep_session`.

    If several requests with the same old password come at once, one succeeds. Raise Invalid for a wrong old or a
    weak new password, PasswordLoginOff, TooMany, and Unavailable.
    """
    check_password_login()
    throttle.attempt(account=user.username, address=actor.address)
    if not user.check_password(old_password):
        raise _wrong_old_password()
    hashed = hash_password(new_password, user, field="new_password")
    _replace_password(actor=actor, user=user, hashed=hashed, keep_session=keep_session)


def set_password(*, actor: Actor, user: User, password: str) -> None:
    """Set a password without checking the old one, and end every session and personal access token.

    Raise Invalid for a weak password, NotFound for a deleted user, and Unavailable.
    """
    _force_password(actor=actor, user=user, hashed=hash_password(password, user, field="password"))


def _wrong_old_password() -> Invalid:
    return Invalid({"old_password": [_("The old password is not correct")]})


def hash_password(password: str, user: User, *, field: str) -> str:
    """Hash a new password, outside of any transaction. Raise Invalid for a weak one, and Unavailable."""
    if errors := password_errors(password, user.username, field=field):
        raise Invalid(errors)
    return make_password(normalize_password(password))


@transactional
def _replace_password(*, actor: Actor, user: User, hashed: str, keep_session: str | None) -> None:
    stored = lock_unchanged(user)
    if stored is None:
        raise _wrong_old_password()
    store_password(actor, stored, hashed, keep_session=keep_session)
    user.password = hashed


@transactional
def _force_password(*, actor: Actor, user: User, hashed: str) -> None:
    locked = lock_user(user.pk)
    store_password(actor, locked, hashed)
    end_tokens(actor, locked.personal_tokens.all())
    user.password = hashed


def store_password(actor: Actor, locked: User, hashed: str, *, keep_session: str | None = None) -> None:
    """Store a new password, end every session but the one to keep and every link in mails, and tell the user."""
    locked.password = hashed
    locked.pending_email = None  # whoever knew the old password may have entered it
    locked.save(update_fields=["password", "pending_email"])
    end_sessions(locked, keep=keep_session)
    locked.email_tokens.all().delete()
    notify(QueuedMail.Kind.PASSWORD_CHANGED, actor=actor, user=locked, to=locked.email)
    audit.record(actor=actor, action="user.password", object_id=locked.id, tenant_id=None)
