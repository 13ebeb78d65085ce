"""The second step of a sign-in: a challenge, which a proof by one of the user's methods answers."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from accounts import challenges, throttle
from accounts.models import SignInChallenge, User
from accounts.services.methods import METHODS, Proof, methods_of
from accounts.services.passkeys import second_step_options
from accounts.webauthn import Options
from core.actor import Actor
from core.errors import Forbidden, Invalid, Unauthenticated


class SecondFactorRequired(Forbidden):
    """A sign-in whose password was right, by a user with a second factor. The challenge is good for one sign-in.

    `passkey` are the options by which a browser asks for a passkey.
    """

    code = "MFA_REQUIRED"
    message = _("Use your second factor to complete the sign-in")

    def __init__(self, challenge: str, methods: list[str], passkey: Options | None) -> None:
        self.challenge = challenge
        self.extra = {"challenge": challenge, "methods": methods, **({"passkey": passkey} if passkey else {})}
        super().__init__()


class BadChallenge(Unauthenticated):
    """A challenge that was used, expired, tried too often, or overtaken by a changed password."""

    def __init__(self) -> None:
        super().__init__(_("This sign-in is not good any more, begin again with your password"))


class WrongCode(Invalid):
    """A code that is wrong, was used, or is of a method that the user does not have."""

    def __init__(self) -> None:
        super().__init__({"code": [_("The code is not correct, or was used already")]})


def demand_factor(locked: User) -> SecondFactorRequired | None:
    """Return the error with a new challenge for a locked user who has a second factor.

    The caller raises it after the transaction, which would else take the challenge back.
    """
    methods = methods_of(locked)
    if not methods:
        return None
    challenge = challenges.issue(locked)
    passkey = second_step_options(locked, challenge) if "passkey" in methods else None
    return SecondFactorRequired(challenge, methods, passkey)


def passkey_options(challenge: str) -> Options | None:
    """Return the options by which a browser answers a challenge with a passkey, or None if it cannot."""
    row = challenges.find(challenge)
    return None if row is None else second_step_options(row.user, challenge)


def attempt_challenge(*, actor: Actor, token: str) -> SignInChallenge:
    """Count an attempt on a challenge and on its user's account, in a transaction of its own, and return the row.

    A failed attempt counts, because no later rollback takes it back. Raise BadChallenge and TooMany.
    """
    row = challenges.find(token)
    account = f"challenge {token}" if row is None else row.user.username
    throttle.attempt(account=account, address=actor.address)
    if row is None or not challenges.count_attempt(row):
        raise BadChallenge
    return row


def answer_challenge(*, actor: Actor, row: SignInChallenge, method: str, proof: Proof) -> User:
    """Use up a challenge and its proof, and return the user, locked. Of several requests at once, one succeeds.

    Raise BadChallenge, WrongCode and WrongPasskey, with which the caller's transaction must end: both stay good then.
    """
    user = User.objects.select_for_update().filter(pk=row.user_id).first()
    if user is None or not challenges.consume(row, user):
        raise BadChallenge
    if not METHODS[method].use(actor, user, proof):
        raise WrongCode
    return user
