"""Invitations into the tenants of the tests' people."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from accounts import email_tokens
from accounts.models import User
from tenants.models import Role, Tenant, TenantInvitation

SOMEBODY = "somebody@example.org"


def invite(inviter: User, tenant: Tenant, email: str = SOMEBODY, role: Role = Role.MEMBER) -> TenantInvitation:
    """Store an invitation into a tenant, whose link waits for the mail with it."""
    expires_at = timezone.now() + timedelta(days=1)
    return TenantInvitation.objects.create(
        tenant=tenant, inviter=inviter, email=email, role=role, expires_at=expires_at
    )


def invited_token(inviter: User, tenant: Tenant, user: User | None = None, role: Role = Role.MEMBER) -> str:
    """Return the token of an invitation of a user, who gets an address for it, or of somebody unknown."""
    if user is not None and not user.email:
        user.set_email(f"{user.username}@example.com")
        user.save(update_fields=["email", "email_folded"])
    email = SOMEBODY if user is None else user.email or SOMEBODY
    return email_tokens.issue_invitation(invite(inviter, tenant, email, role))
