"""The departure of a person from all tenants, before their account is deleted (settings.USER_DEPARTURE)."""

from __future__ import annotations

from accounts.models import User
from core.actor import Actor
from tenants import invitations, members


def leave_tenants(actor: Actor, user: User) -> None:
    """End what a person, whose row is locked, has in tenants. The audit log of each tells of it."""
    invitations.revoke_all_by(actor, user)
    members.remove_from_all(actor, user)
