"""Tokens of links in mails, and of invitations: 256 random bits, stored as a digest."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone
from django.utils.crypto import constant_time_compare

from accounts.models import EmailToken, Invitation, User
from accounts.random_tokens import digest_of, new_token
from core.text import fold

LIFETIME = {EmailToken.Purpose.RESET: timedelta(hours=1), EmailToken.Purpose.VERIFY: timedelta(days=1)}
INVITATION_LIFETIME = timedelta(days=7)
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
    token = new_token()
    EmailToken.objects.create(
        digest=digest_of(token),
        purpose=purpose,
        user=user,
        email=email,
        session_hash=user.get_session_auth_hash(),
        created_at=now,
        expires_at=now + LIFETIME[purpose],
    )
    return token


def withdraw(token: str) -> None:
    """Delete a token that was issued for a mail that could not be sent. It does not count any more."""
    EmailToken.objects.filter(pk=digest_of(token)).delete()


def find(token: str, purpose: EmailToken.Purpose) -> EmailToken | None:
    """Return the row of a token with its user, or None if it is not good any more."""
    row = EmailToken.objects.select_related("user").filter(pk=digest_of(token), purpose=purpose).first()
    return row if row is not None and _is_good(row, row.user) else None


def consume(row: EmailToken, locked: User) -> bool:
    """Delete a token, and return whether it was still good for the locked user. Of several at once, one gets True."""
    is_mine = bool(EmailToken.objects.filter(pk=row.pk).delete()[0])
    return is_mine and _is_good(row, locked)


def issue_invitation(invitation: Invitation) -> str:
    """Return a new token of an invitation, which is good for INVITATION_LIFETIME from now. A former one ends."""
    token = new_token()
    invitation.digest, invitation.expires_at = digest_of(token), timezone.now() + INVITATION_LIFETIME
    invitation.save(update_fields=["digest", "expires_at"])
    return token


def find_invitation(token: str) -> Invitation | None:
    """Return the invitation of a token, or None if it is not good any more."""
    return Invitation.objects.filter(digest=digest_of(token), expires_at__gt=timezone.now()).first()


def consume_invitation(found: Invitation) -> bool:
    """Delete an invitation that was found, and return whether this succeeded. Of several at once, one gets True."""
    return bool(Invitation.objects.filter(pk=found.pk, digest=found.digest).delete()[0])


def sweep() -> int:
    """Delete expired tokens and invitations, and return their number."""
    return sum(model.objects.filter(expires_at__lt=timezone.now()).delete()[0] for model in (EmailToken, Invitation))


def _is_good(row: EmailToken, user: User) -> bool:
    known = {fold(address) for address in (user.email, user.pending_email) if address}
    return (
        row.expires_at > timezone.now()
        and user.is_active
        and fold(row.email) in known
        and constant_time_compare(row.session_hash, user.get_session_auth_hash())
    )
