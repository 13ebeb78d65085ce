"""Sessions and their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.db.models import F, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import tokens
from accounts.access import sessions_of
from accounts.models import DEVICE_LENGTH, TokenSession, User
from accounts.tokens import BadToken, TokenPair
from core import audit, primary
from core.actor import Actor
from core.audit import AuditChange
from core.db import retry_if_disconnected, transactional
from core.errors import NotFound, Unauthenticated
from core.prepared import prepared_sql

REFRESH_RACE = timedelta(seconds=10)
# How often a session in use is recorded as such. Each record is a write.
SEEN_EVERY = timedelta(minutes=5)
# A machine whose clock is ahead may have refreshed. A later time is of a clock that was wrong, and no race.
CLOCK_DIFFERENCE = timedelta(minutes=1)


def open_session(*, actor: Actor, user: User, device: str) -> TokenPair:
    """Open a session inside the transaction of a sign-in, and return its tokens. `device` is the User-Agent."""
    session = TokenSession(
        user=user,
        refresh_id=tokens.new_id(),
        expires_at=timezone.now() + settings.REFRESH_TOKEN_LIFETIME,
        device=device[:DEVICE_LENGTH],
        address=actor.address,
        last_seen_at=timezone.now(),
    )
    session.save(force_insert=True)
    audit.record(actor=actor, action="session.create", object_id=session.id, tenant_id=None, after={"user": user.id})
    return tokens.issue(session)


class AuthenticatedSession(NamedTuple):
    """The user and the session of a valid access token."""

    user: User
    session_id: str


def authenticate_access_token(access_token: str, *, address: str) -> AuthenticatedSession:
    """Return the active user and the session of an access token, in one query. Raise Unauthenticated.

    Record the use of the session, and the address it came from, now and then.
    """
    try:
        claims = tokens.read_access_token(access_token)
    except BadToken as error:
        raise Unauthenticated from error
    user, last_seen_at = _user_of_session(claims.session_id)
    if user is None or not user.is_active:
        raise Unauthenticated
    if last_seen_at is None or not -SEEN_EVERY < timezone.now() - last_seen_at < SEEN_EVERY:
        # If several requests see the same old time, one writes.
        unseen = TokenSession.objects.filter(pk=claims.session_id, last_seen_at=last_seen_at)
        unseen.update(last_seen_at=timezone.now(), address=address)
    return AuthenticatedSession(user, claims.session_id)


# The fields that requests of a signed-in user need, in the model's order. The others are deferred.
USER_FIELDS = (
    "password",
    "id",
    "username",
    "email",
    "email_folded",
    "is_active",
    "verified_email",
    "pending_email",
    "deactivations",
    "admin_sign_outs",
    "key_notices",
)


def stored_user(row: Sequence[Any]) -> User:
    """Return the user whose USER_FIELDS these are, as the database driver returns them."""
    values = dict(zip(USER_FIELDS, row, strict=True))
    for flag in ("is_active", "key_notices"):
        values[flag] = bool(values[flag])  # which is a number in MariaDB
    return User.from_db(DEFAULT_DB_ALIAS, USER_FIELDS, list(values.values()))


@retry_if_disconnected
def _user_of_session(session_id: str) -> tuple[User | None, datetime | None]:
    """Return the user of a session, and when it was last recorded as in use."""
    rows = primary.fetch_all(_select_by_session(), [session_id])
    if not rows:
        return None, None
    *row, last_seen_at = rows[0]
    return stored_user(row), last_seen_at and last_seen_at.replace(tzinfo=UTC)  # stored times are UTC and do not say so


@prepared_sql
def _select_by_session() -> QuerySet[User, Any]:
    return User.objects.filter(token_sessions="").values_list(*USER_FIELDS, "token_sessions__last_seen_at")


def refresh(*, refresh_token: str) -> TokenPair:
    """Return new tokens for a refresh token, which can be used once.

    A used token that comes back was copied, so its session ends (RFC 9700 section 4.14.2). But within REFRESH_RACE the
    latest used one gets the tokens of its successor, because two windows of one browser may refresh together. Raise
    Unauthenticated.
    """
    session_id, token_id = _refresh_claims(refresh_token)
    pair = _rotate(session_id, token_id)
    if pair is None:
        TokenSession.objects.filter(pk=session_id).exclude(refreshed_at__range=_race()).delete()
        raise Unauthenticated(_("The refresh token is not good, sign in again"))
    return pair


@transactional
def _rotate(session_id: str, token_id: str) -> TokenPair | None:
    session = TokenSession.objects.select_related("user").filter(pk=session_id).first()
    if session is None or not session.user.is_active:
        return None
    session.refresh_id = tokens.successor_id(token_id)
    # Compare and swap: if several requests present the same token at once, one wins.
    swapped = TokenSession.objects.filter(pk=session_id, refresh_id=token_id).update(
        refresh_id=session.refresh_id,
        refreshed_at=timezone.now(),
        expires_at=timezone.now() + settings.REFRESH_TOKEN_LIFETIME,
    )
    is_in_race = TokenSession.objects.filter(pk=session_id, refresh_id=session.refresh_id, refreshed_at__range=_race())
    return tokens.issue(session) if swapped or is_in_race.exists() else None


def _race() -> tuple[datetime, datetime]:
    """Return between which times a refresh counts as one that others race with now."""
    now = timezone.now()
    return now - REFRESH_RACE, now + CLOCK_DIFFERENCE


@transactional
def sign_out(*, actor: Actor, refresh_token: str) -> None:
    """End the session of a refresh token, and with it the access token. Raise Unauthenticated."""
    session_id, _token_id = _refresh_claims(refresh_token)
    session = TokenSession.objects.select_for_update().filter(pk=session_id).first()
    if session is None:
        raise Unauthenticated
    _end(actor, [session])


@transactional
def end_session(*, actor: Actor, session_id: str) -> None:
    """End a session of the person who acts, and with it its tokens. Raise NotFound for any other."""
    session = sessions_of(actor).select_for_update().filter(pk=session_id).first()
    if session is None:
        raise NotFound
    _end(actor, [session])


@transactional
def end_other_sessions(*, actor: Actor, keep: str) -> None:
    """End every session of the person who acts, but for one; those in the admin, too."""
    User.objects.filter(pk=actor.id, is_staff=True).update(admin_sign_outs=F("admin_sign_outs") + 1)
    sessions = list(sessions_of(actor).select_for_update().exclude(pk=keep))
    _end(actor, sessions)


def _end(actor: Actor, sessions: list[TokenSession]) -> None:
    TokenSession.objects.filter(pk__in=[session.pk for session in sessions]).delete()
    changes = [AuditChange(session.id, None, before={"user": session.user_id}) for session in sessions]
    audit.record_all(actor=actor, action="session.delete", changes=changes)


def sweep_sessions() -> int:
    """Delete the sessions whose refresh token has expired, and return their number."""
    return TokenSession.objects.filter(expires_at__lt=timezone.now()).delete()[0]


def end_sessions(user: User, keep: str | None = None) -> None:
    """Delete the sessions of a user, but for the one to keep."""
    TokenSession.objects.filter(user=user).exclude(pk=keep or "").delete()


def lock_unchanged(user: User) -> User | None:
    """Lock and return the row of a user if they are active with the same password since `user` was read, else None."""
    stored = User.objects.select_for_update().filter(pk=user.pk).first()
    if stored is None or not stored.is_active:
        return None
    is_unchanged = (stored.password, stored.deactivations) == (user.password, user.deactivations)
    return stored if is_unchanged else None


def _refresh_claims(refresh_token: str) -> tuple[str, str]:
    try:
        claims = tokens.read_refresh_token(refresh_token)
    except BadToken as error:
        raise Unauthenticated(_("The refresh token is not good, sign in again")) from error
    return claims.session_id, claims.token_id
