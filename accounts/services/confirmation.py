"""Re-authentication before sensitive changes, because an access token may be stolen."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import throttle
from accounts.errors import SignInAgain
from accounts.models import TokenSession, User
from accounts.services.sessions import lock_unchanged
from core.actor import Actor, ActorKind
from core.errors import Invalid

# So long after a sign-in its session confirms changes of a person who has no password.
FRESH = timedelta(minutes=10)


class WrongPassword(Invalid):
    """A password that is not, or not any more, that of the person who acts."""

    def __init__(self) -> None:
        super().__init__({"password": [_("The password is not correct")]})


def confirm_password(*, actor: Actor, user: User, password: str | None) -> None:
    """Check the password of the person who acts, outside of any transaction.

    The transaction of the change calls `lock_confirmed`. Raise Invalid without a password, WrongPassword, TooMany, and
    Unavailable.

    Whoever has no password, or may not use it (MAIM_PASSWORD_LOGIN), confirms by a session that began within FRESH.
    Raise SignInAgain for an older one.
    """
    if not _has_password(user):
        if must_sign_in_again(actor=actor, user=user):
            raise SignInAgain
        return
    if not password:
        raise Invalid({"password": [_("Enter your password to confirm this change")]})
    throttle.attempt(account=user.username, address=actor.address)
    if not user.check_password(password):
        raise WrongPassword


def must_sign_in_again(*, actor: Actor, user: User) -> bool:
    """Return whether a person has neither a password that confirms a change, nor a session that began within FRESH."""
    since = timezone.now() - FRESH
    if _has_password(user):
        return False
    if actor.kind == ActorKind.OPERATOR:
        return actor.signed_in_at is None or actor.signed_in_at <= since
    return not TokenSession.objects.filter(pk=actor.session_id, created_at__gt=since).exists()


def lock_confirmed(user: User) -> User:
    """Lock a user whose password was confirmed, and return them. Raise WrongPassword if it was changed since."""
    locked = lock_unchanged(user)
    if locked is None:
        raise WrongPassword
    return locked


def _has_password(user: User) -> bool:
    return settings.PASSWORD_LOGIN and user.has_usable_password()
