"""Sign-in, sessions and their tokens."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db import DEFAULT_DB_ALIAS
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import throttle, tokens
from accounts.hashers import spellings
from accounts.models import TokenSession, User
from accounts.services.notices import note_sign_in
from accounts.tokens import BadToken, TokenPair
from core import audit, primary
from core.actor import Actor
from core.db import retry_if_disconnected, transactional
from core.errors import Invalid, Unauthenticated
from core.prepared import prepared_sql
from core.text import fold

REFRESH_RACE = timedelta(seconds=10)
# A machine whose clock is ahead may have refreshed. A later time is of a clock that was wrong, and no race.
CLOCK_DIFFERENCE = timedelta(minutes=1)


class BadCredentials(Invalid):
    """The same error for a wrong name, a wrong password and an inactive user, so that they cannot be told apart."""

    def __init__(self) -> None:
        sentence = _("Incorrect username or password")
        super().__init__({"body": [sentence]}, detail=sentence)


def authenticate(*, username: str, password: str, address: str) -> User:
    """Return the active user with this name and password, as stored when the password was verified.

    Pass the user to `sign_in`, which checks that they are unchanged, or to Django's `login`, whose session hash
    does. Raise BadCredentials, TooMany, or Unavailable when too many sign in at once.
    """
    throttle.attempt(account=username, address=address)
    user = User.objects.filter(username_folded=fold(username)).first()
    if user is None:
        for text in spellings(password):
            make_password(text)  # as long as a wrong password takes, so that names cannot be probed
        raise BadCredentials
    if not user.check_password(password) or not user.is_active:
        raise BadCredentials
    throttle.remember_address(account=username, address=address)
    return user


@transactional
def sign_in(*, actor: Actor, user: User) -> TokenPair:
    """Open a session for a user whose password was verified, and return its tokens.

    Raise BadCredentials if the password was changed or the user deactivated since `user` was read.
    """
    if lock_unchanged(user) is None:
        raise BadCredentials
    refresh = tokens.new_refresh_token()
    session = TokenSession(
        user=user, refresh_id=refresh["jti"], expires_at=timezone.now() + settings.REFRESH_TOKEN_LIFETIME
    )
    session.save(force_insert=True)
    note_sign_in(actor=actor, user=user)
    audit.record(actor=actor, action="session.create", object_id=session.id, tenant_id=None, after={"user": user.id})
    return tokens.issue(refresh, session)


class AuthenticatedSession(NamedTuple):
    """The user and the session of a valid access token."""

    user: User
    session_id: str


def authenticate_token(access_token: str) -> AuthenticatedSession:
    """Return the active user and the session of an access token, in one query. Raise Unauthenticated."""
    try:
        claims = tokens.read_access_token(access_token)
    except BadToken as error:
        raise Unauthenticated from error
    user = _user_of_session(claims.session_id)
    if user is None or not user.is_active:
        raise Unauthenticated
    return AuthenticatedSession(user, claims.session_id)


# The fields that requests of a signed-in user need, in the model's order. The others are deferred.
_USER_FIELDS = (
    "password",
    "id",
    "username",
    "email",
    "email_folded",
    "is_active",
    "verified_email",
    "pending_email",
    "deactivations",
)


@retry_if_disconnected
def _user_of_session(session_id: str) -> User | None:
    rows = primary.fetch_all(_select_by_session(), [session_id])
    if not rows:
        return None
    values = dict(zip(_USER_FIELDS, rows[0], strict=True))
    values["is_active"] = bool(values["is_active"])  # which is a number in MariaDB
    return User.from_db(DEFAULT_DB_ALIAS, _USER_FIELDS, list(values.values()))


@prepared_sql
def _select_by_session() -> QuerySet[User, Any]:
    return User.objects.filter(token_sessions="").values_list(*_USER_FIELDS)


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
    fresh = tokens.new_refresh_token(tokens.successor_id(token_id))
    # Compare and swap: if several requests present the same token at once, one wins.
    swapped = TokenSession.objects.filter(pk=session_id, refresh_id=token_id).update(
        refresh_id=fresh["jti"],
        refreshed_at=timezone.now(),
        expires_at=timezone.now() + settings.REFRESH_TOKEN_LIFETIME,
    )
    is_in_race = TokenSession.objects.filter(pk=session_id, refresh_id=fresh["jti"], refreshed_at__range=_race())
    return tokens.issue(fresh, session) if swapped or is_in_race.exists() else None


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
    session.delete()
    audit.record(
        actor=actor, action="session.delete", object_id=session_id, tenant_id=None, before={"user": session.user_id}
    )


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
