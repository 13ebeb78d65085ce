"""Challenges of sign-ins: 256 random bits, stored as a digest, between a password and a second factor."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import F
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from accounts.models import SignInChallenge, User
from accounts.random_tokens import digest_of, new_token
from core.db import transactional

LIFETIME = timedelta(minutes=5)
ATTEMPTS = 5


def issue(user: User) -> str:
    """Return the token of a new challenge."""
    token = new_token()
    SignInChallenge.objects.create(
        digest=digest_of(token),
        user=user,
        session_hash=user.get_session_auth_hash(),
        expires_at=timezone.now() + LIFETIME,
    )
    return token


def find(token: str) -> SignInChallenge | None:
    """Return the challenge of a token with its user, or None if it is not good any more."""
    row = SignInChallenge.objects.select_related("user").filter(pk=digest_of(token)).first()
    return row if row is not None and _is_good(row, row.user) else None


@transactional
def count_attempt(row: SignInChallenge) -> bool:
    """Count an attempt before it is judged, and return whether there was one left. Of several at once, each counts."""
    left = SignInChallenge.objects.filter(pk=row.pk, attempts__lt=ATTEMPTS)
    return bool(left.update(attempts=F("attempts") + 1))


def consume(row: SignInChallenge, locked: User) -> bool:
    """Delete a challenge, and return whether it was good for the locked user. Of several at once, one gets True."""
    is_mine = bool(SignInChallenge.objects.filter(pk=row.pk).delete()[0])
    return is_mine and _is_good(row, locked)


def sweep() -> int:
    """Delete expired challenges, and return their number."""
    return SignInChallenge.objects.filter(expires_at__lt=timezone.now()).delete()[0]


def _is_good(row: SignInChallenge, user: User) -> bool:
    return (
        row.expires_at > timezone.now()
        and user.is_active
        and constant_time_compare(row.session_hash, user.get_session_auth_hash())
    )
