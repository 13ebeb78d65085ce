"""Sign-in to the API and to the admin, with the second factor of people who have one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from django.contrib.auth.hashers import make_password
from django.utils.translation import gettext_lazy as _

from accounts import throttle
from accounts.hashers import spellings
from accounts.models import SignInChallenge, User
from accounts.services.challenges import (
    BadChallenge,
    SecondFactorRequired,
    answer_challenge,
    attempt_challenge,
    demand_factor,
)
from accounts.services.notices import note_sign_in
from accounts.services.password_login import check_password_login
from accounts.services.sessions import lock_unchanged, open_session
from accounts.tokens import TokenPair
from core.actor import Actor
from core.db import transactional
from core.errors import Invalid
from core.text import fold

T = TypeVar("T")


class BadCredentials(Invalid):
    """The same error for a wrong name, a wrong password and an inactive user, so that they cannot be told apart."""

    def __init__(self) -> None:
        sentence = _("Incorrect username or password")
        super().__init__({"body": [sentence]}, detail=sentence)


def authenticate(*, username: str, password: str, address: str) -> User:
    """Return the active user with this name and password, as stored when the password was verified.

    Pass the user to `sign_in` or `sign_in_operator`, which check that they are unchanged and ask for a second factor.
    Raise BadCredentials, PasswordLoginOff, TooMany, or Unavailable when too many sign in at once.
    """
    check_password_login()
    throttle.attempt(account=username, address=address)
    user = User.objects.filter(username_folded=fold(username)).first()
    if user is None:
        for text in spellings(password):
            make_password(text)  # as long as a wrong password takes, so that names cannot be probed
        raise BadCredentials
    if not user.check_password(password) or not user.is_active:
        raise BadCredentials
    return user


def sign_in(*, actor: Actor, user: User, device: str = "") -> TokenPair:
    """Open a session for a user whose password was verified, and return its tokens. `device` is their User-Agent.

    Raise BadCredentials if the password was changed or the user deactivated since `user` was read, and
    SecondFactorRequired, with a challenge for `use_factor`, for a user with a second factor. It must not be called
    inside a transaction, which would take the challenge back.
    """
    return _enter(actor, user, partial(open_session, actor=actor, device=device))


def sign_in_operator(*, actor: Actor, user: User) -> None:
    """Let a user whose password was verified into the admin, for which Django opens a session.

    Raise what `sign_in` would.
    """
    _enter(actor, user, _operator)


def use_factor(*, actor: Actor, challenge: str, method: str, code: str, device: str = "") -> TokenPair:
    """Complete a sign-in by a second factor: open a session, and return its tokens.

    Of several requests with the same challenge or the same code at once, one succeeds. Raise BadChallenge, WrongCode,
    TooMany, and Unavailable.
    """
    return _complete(actor, challenge, method, code, partial(open_session, actor=actor, device=device))


def use_factor_of_operator(*, actor: Actor, challenge: str, method: str, code: str) -> User:
    """Complete the sign-in of an operator to the admin, and return them. Raise what `use_factor` would."""
    return _complete(actor, challenge, method, code, _operator)


def _operator(*, user: User) -> User:
    if not user.is_staff:
        raise BadChallenge
    return user


def _enter(actor: Actor, user: User, let_in: Callable[..., T]) -> T:
    outcome = _after_password(actor, user, let_in)
    if isinstance(outcome, SecondFactorRequired):
        raise outcome
    throttle.remember_address(account=user.username, address=actor.address)
    return outcome


def _complete(actor: Actor, challenge: str, method: str, code: str, let_in: Callable[..., T]) -> T:
    row = attempt_challenge(actor=actor, token=challenge)
    outcome = _after_factor(actor, row, method, code, let_in)
    throttle.remember_address(account=row.user.username, address=actor.address)
    return outcome


@transactional
def _after_password(actor: Actor, user: User, let_in: Callable[..., T]) -> T | SecondFactorRequired:
    locked = lock_unchanged(user)
    if locked is None:
        raise BadCredentials
    return demand_factor(locked) or _open(actor, locked, let_in)


@transactional
def _after_factor(actor: Actor, row: SignInChallenge, method: str, code: str, let_in: Callable[..., T]) -> T:
    user = answer_challenge(actor=actor, row=row, method=method, code=code)
    return _open(actor, user, let_in)


def _open(actor: Actor, user: User, let_in: Callable[..., T]) -> T:
    note_sign_in(actor=actor, user=user)
    return let_in(user=user)
