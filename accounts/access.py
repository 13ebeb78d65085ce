"""Access to sessions, identities and tokens. Each person has their own; others' and missing ones raise NotFound."""

from __future__ import annotations

from django.db.models import QuerySet

from accounts.models import Identity, PersonalToken, TokenSession
from core.actor import Actor, ActorKind


def sessions_of(actor: Actor) -> QuerySet[TokenSession]:
    """Return the sessions of the person who acts, the latest first; none for anybody else."""
    if actor.kind != ActorKind.USER:
        return TokenSession.objects.none()
    return TokenSession.objects.filter(user=actor.id).order_by("-created_at", "-id")


def identities_of(actor: Actor) -> QuerySet[Identity]:
    """Return the identities by which the person who acts signs in, the latest first; none for anybody else."""
    if actor.kind != ActorKind.USER:
        return Identity.objects.none()
    return Identity.objects.filter(user=actor.id).order_by("-created_at", "-id")


def personal_tokens_of(actor: Actor) -> QuerySet[PersonalToken]:
    """Return the personal access tokens of the person who acts, the latest first; none for anybody else."""
    if actor.kind != ActorKind.USER:
        return PersonalToken.objects.none()
    return PersonalToken.objects.filter(user=actor.id).order_by("-created_at", "-id")
