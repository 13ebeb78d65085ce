"""Tokens of links in mails: 256 random bits, stored as a digest."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from django.utils import timezone
from django.utils.crypto import constant_time_compare

from accounts.models import EmailToken, User
from core.text import fold

LIFETIME = {EmailToken.Purpose.RESET: timedelta(hours=1), EmailToken.Purpose.VERIFY: timedelta(days=1)}
# So that nobody fills another's mailbox by asking again and again.
AN_HOUR = 5


def issue(*, user: User, purpose: EmailToken.Purpose, email: str) -> str | None:
    """Return a new token, or None if the user got AN_HOUR of them within the last hour.

    Former ones stay good, so that a stranger who asks for a link does not end the one that its owner is about to use.
    """
    now = timezone.now()
    recent = EmailToken.objects.filter(user=user, purpose=purpose, created_at__gt=now - timedelta(hours=1))
    if recent.count() >= AN_HOUR:
        return None
    token = secrets.token_urlsafe(32)
    EmailToken.objects.create(
        digest=_digest(token),
        purpose=purpose,
        user=user,
        email=email,
        session_hash=user.get_session_auth_hash(),
        created_at=now,
        expires_at=now + LIFETIME[purpose],
    )
    return token


def find(token: str, purpose: EmailToken.Purpose) -> EmailToken | None:
    """Return the row of a token with its user, or None if it is not good any more."""
    row = EmailToken.objects.select_related("user").filter(pk=_digest(token), purpose=purpose).first()
    return row if row is not None and _is_good(row, row.user) else None


def consume(row: EmailToken, locked: User) -> bool:
    """Delete a token, and return whether it was still good for the locked user. Of several at once, one gets True."""
    is_mine = bool(EmailToken.objects.filter(pk=row.pk).delete()[0])
    return is_mine and _is_good(row, locked)


def sweep() -> int:
    """Delete expired tokens, and return their number."""
    return EmailToken.objects.filter(expires_at__lt=timezone.now()).delete()[0]


def _is_good(row: EmailToken, user: User) -> bool:
    known = {fold(address) for address in (user.email, user.pending_email) if address}
    return (
        row.expires_at > timezone.now()
        and user.is_active
        and fold(row.email) in known
        and constant_time_compare(row.session_hash, user.get_session_auth_hash())
    )


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
