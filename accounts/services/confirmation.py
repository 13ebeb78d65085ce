"""The password that a person enters again, before a change that whoever stole a token must not make."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from accounts import throttle
from accounts.models import User
from accounts.services.sessions import lock_unchanged
from core.actor import Actor
from core.errors import Invalid


class WrongPassword(Invalid):
    """A password that is not, or not any more, that of the person who acts."""

    def __init__(self) -> None:
        super().__init__({"password": [_("The password is not correct")]})


def confirm_password(*, actor: Actor, user: User, password: str | None) -> None:
    """Check the password of the person who acts, outside of any transaction.

    The transaction of the change calls `lock_confirmed`. Raise Invalid without a password, WrongPassword, TooMany, and
    Unavailable.
    """
    if not password:
        raise Invalid({"password": [_("Enter your password to confirm this change")]})
    throttle.attempt(account=user.username, address=actor.address)
    if not user.check_password(password):
        raise WrongPassword


def lock_confirmed(user: User) -> User:
    """Lock a user whose password was confirmed, and return them. Raise WrongPassword if it was changed since."""
    locked = lock_unchanged(user)
    if locked is None:
        raise WrongPassword
    return locked
