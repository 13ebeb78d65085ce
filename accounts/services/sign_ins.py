"""Sign-in to the API and to the admin, with a second factor or by a passkey alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from django.contrib.auth.hashers import make_password
from django.utils.translation import gettext_lazy as _

from accounts import passkey_challenges, throttle, webauthn
from accounts.hashers import spellings
from accounts.models import SignInChallenge, User
from accounts.services.methods import Proof
from accounts.services.notices import note_sign_in
from accounts.services.operator_sign_ins import record_sign_in
from accounts.services.passkeys import find_passkey, use_passkey
from accounts.services.password_login import check_password_login
from accounts.services.second_step import (
    BadChallenge,
    SecondFactorRequired,
    answer_challenge,
    attempt_challenge,
    demand_factor,
)
from accounts.services.sessions import lock_unchanged, open_session
from accounts.tokens import TokenPair
from accounts.webauthn import Credential, Options, WrongPasskey
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


def sign_in_operator(*, actor: Actor, user: User, method: str) -> None:
    """Let a user who was authenticated by `method` into the admin, for which Django opens a session.

    Raise what `sign_in` would.
    """
    _enter(actor, user, partial(_let_into_admin, actor=actor, method=method))


def use_factor(
    *,
    actor: Actor,
    challenge: str,
    method: str,
    code: str = "",
    credential: Credential | None = None,
    device: str = "",
) -> TokenPair:
    """Complete a sign-in by a second factor: open a session, and return its tokens.

    Of several requests with the same challenge or the same code at once, one succeeds. Raise BadChallenge, WrongCode,
    WrongPasskey, NoPasskeysHere, TooMany, and Unavailable.
    """
    proof = Proof(challenge=challenge, code=code, credential=credential)
    return _complete(actor, method, proof, partial(open_session, actor=actor, device=device))


def use_factor_of_operator(
    *, actor: Actor, challenge: str, method: str, code: str = "", credential: Credential | None = None
) -> User:
    """Complete the sign-in of an operator to the admin, and return them. Raise what `use_factor` would."""
    let_in = partial(_let_into_admin, actor=actor, method=method)
    return _complete(actor, method, Proof(challenge=challenge, code=code, credential=credential), let_in)


@dataclass(frozen=True, slots=True)
class PasskeyRequest:
    """A challenge, and the options by which a browser asks for a passkey that answers it."""

    challenge: str
    options: Options


def request_passkey() -> PasskeyRequest:
    """Return what a browser needs for `sign_in_by_passkey`. Nothing is stored. Raise NoPasskeysHere."""
    challenge = passkey_challenges.issue(passkey_challenges.SIGN_IN)
    return PasskeyRequest(challenge, webauthn.request_options(challenge))


def sign_in_by_passkey(*, actor: Actor, challenge: str, credential: Credential, device: str = "") -> TokenPair:
    """Open a session for the user of a passkey, and return its tokens.

    It takes no other factor, because a passkey verifies its user. Of several requests with the same challenge at once,
    one succeeds. Raise WrongPasskey, BadPasskeyChallenge, NoPasskeysHere, and TooMany.
    """
    passkey = find_passkey(credential)
    account = f"challenge {challenge}" if passkey is None else passkey.user.username
    throttle.attempt(account=account, address=actor.address)
    if passkey is None:
        raise WrongPasskey
    let_in = partial(open_session, actor=actor, device=device)
    pair = _after_passkey(actor, passkey.user, challenge, credential, let_in)
    throttle.remember_address(account=passkey.user.username, address=actor.address)
    return pair


def _let_into_admin(*, actor: Actor, method: str, user: User) -> User:
    if not user.is_staff:
        raise BadChallenge
    record_sign_in(actor=actor, user=user, method=method)
    return user


def _enter(actor: Actor, user: User, let_in: Callable[..., T]) -> T:
    outcome = _after_password(actor, user, let_in)
    if isinstance(outcome, SecondFactorRequired):
        raise outcome
    throttle.remember_address(account=user.username, address=actor.address)
    return outcome


def _complete(actor: Actor, method: str, proof: Proof, let_in: Callable[..., T]) -> T:
    row = attempt_challenge(actor=actor, token=proof.challenge)
    outcome = _after_factor(actor, row, method, proof, let_in)
    throttle.remember_address(account=row.user.username, address=actor.address)
    return outcome


@transactional
def _after_password(actor: Actor, user: User, let_in: Callable[..., T]) -> T | SecondFactorRequired:
    locked = lock_unchanged(user)
    if locked is None:
        raise BadCredentials
    return demand_factor(locked) or _open(actor, locked, let_in)


@transactional
def _after_factor(actor: Actor, row: SignInChallenge, method: str, proof: Proof, let_in: Callable[..., T]) -> T:
    user = answer_challenge(actor=actor, row=row, method=method, proof=proof)
    return _open(actor, user, let_in)


@transactional
def _after_passkey(actor: Actor, user: User, challenge: str, credential: Credential, let_in: Callable[..., T]) -> T:
    locked = User.objects.select_for_update().filter(pk=user.pk, is_active=True).first()
    if locked is None:
        raise WrongPasskey
    passkey_challenges.consume(challenge, passkey_challenges.SIGN_IN)
    use_passkey(locked, challenge, credential)
    return _open(actor, locked, let_in)


def _open(actor: Actor, user: User, let_in: Callable[..., T]) -> T:
    note_sign_in(actor=actor, user=user)
    return let_in(user=user)
