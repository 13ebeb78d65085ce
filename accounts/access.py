"""Access to sessions. Each person has their own; another's and a missing one both raise NotFound."""

from __future__ import annotations

from django.db.models import QuerySet

from accounts.models import TokenSession
from core.actor import Actor, ActorKind


def sessions_of(actor: Actor) -> QuerySet[TokenSession]:
    """Return the sessions of the person who acts, the latest first; none for anybody else."""
    if actor.kind != ActorKind.USER:
        return TokenSession.objects.none()
    return TokenSession.objects.filter(user=actor.id).order_by("-created_at", "-id")
