"""Challenges of passkeys that no sign-in waits for: signed, so that a flood of requests for them stores nothing."""

from __future__ import annotations

from datetime import timedelta

from django.core.signing import BadSignature, TimestampSigner
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import UsedChallenge, User
from accounts.random_tokens import digest_of, new_token
from core.errors import Invalid

LIFETIME = timedelta(minutes=5)
SIGN_IN = "sign-in"


class BadPasskeyChallenge(Invalid):
    """A challenge that expired, was used, or is of another purpose."""

    def __init__(self) -> None:
        super().__init__({"challenge": [_("This took too long or was used already; begin again")]})


def purpose_of_adding(user: User) -> str:
    """Return the purpose of adding a passkey of this user, which a new password or a deactivation changes."""
    return f"add to {user.pk} {user.get_session_auth_hash()}"


def issue(purpose: str) -> str:
    """Return a new challenge, whose 256 random bits nobody can guess."""
    return _signer(purpose).sign(new_token())


def consume(challenge: str, purpose: str) -> None:
    """Use a challenge up, inside the transaction of what it is for. Of several at once, one succeeds.

    Raise BadPasskeyChallenge.
    """
    try:
        _signer(purpose).unsign(challenge, max_age=LIFETIME)
    except BadSignature as error:
        raise BadPasskeyChallenge from error
    digest = digest_of(challenge)
    until = timezone.now() + LIFETIME
    _row, is_first = UsedChallenge.objects.get_or_create(digest=digest, defaults={"expires_at": until})
    if not is_first:
        raise BadPasskeyChallenge


def sweep() -> int:
    """Delete the used challenges that have expired, and return their number."""
    return UsedChallenge.objects.filter(expires_at__lt=timezone.now()).delete()[0]


def _signer(purpose: str) -> TimestampSigner:
    return TimestampSigner(salt=f"accounts.passkeys: {purpose}")
