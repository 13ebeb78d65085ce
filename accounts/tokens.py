"""Access and refresh tokens: JWTs with the id of a session (RFC 7519).

They are signed with SECRET_KEY, whose id stands in their header (`kid`). Those signed with one of SECRET_KEY_FALLBACKS
are still good, so that the key can be changed without signing anybody out.
"""

from __future__ import annotations

import hmac
import time
import uuid
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache

import jwt
from django.conf import settings

from accounts.models import TokenSession

ALGORITHM = "HS256"
SESSION_CLAIM, KIND_CLAIM = "sid", "token_type"
_CLAIMS = ["exp", "iat", "jti", "sub", SESSION_CLAIM, KIND_CLAIM]
# A machine whose clock is ahead may issue a token.
_LEEWAY_OF_ISSUE = timedelta(minutes=1)
# Of people who are busy at the same time in one worker. Each takes less than a kilobyte.
VERIFIED_ACCESS_TOKENS = 1024


class Kind(StrEnum):
    """The kinds of tokens, as their claim `token_type` says."""

    ACCESS = "access"
    REFRESH = "refresh"


@dataclass(frozen=True, slots=True)
class TokenPair:
    """The tokens of a sign-in. Never log them."""

    access: str
    refresh: str
    expires_in: int  # of the access token, in seconds

    def __repr__(self) -> str:
        return "TokenPair(…)"


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a token whose signature is good."""

    session_id: str
    token_id: str
    expires_at: float


class BadToken(Exception):
    """A token that is forged, expired, or of the other kind."""


def new_id() -> str:
    """Return the id of a token that follows no other."""
    return uuid.uuid4().hex


def successor_id(token_id: str) -> str:
    """Return the id of the refresh token that replaces another.

    It follows from the other's id, so that requests which race with the same token get the same successor.
    """
    return hmac.digest(settings.SECRET_KEY.encode(), f"successor of {token_id}".encode(), "sha256").hex()[:32]


def issue(session: TokenSession) -> TokenPair:
    """Return a session's refresh token, under the id that the session knows, and an access token."""
    return TokenPair(
        access=_sign(Kind.ACCESS, session, new_id(), settings.ACCESS_TOKEN_LIFETIME),
        refresh=_sign(Kind.REFRESH, session, session.refresh_id, settings.REFRESH_TOKEN_LIFETIME),
        expires_in=int(settings.ACCESS_TOKEN_LIFETIME.total_seconds()),
    )


def read_refresh_token(text: str) -> Claims:
    """Return the claims of a refresh token. Raise BadToken."""
    return _unexpired(_verify(Kind.REFRESH, text))


def read_access_token(text: str) -> Claims:
    """Return the claims of an access token. Raise BadToken."""
    return _unexpired(_verify_access_token(text))


def _sign(kind: Kind, session: TokenSession, token_id: str, lifetime: timedelta) -> str:
    now = int(time.time())
    claims = {
        KIND_CLAIM: kind,
        "exp": now + int(lifetime.total_seconds()),
        "iat": now,
        "jti": token_id,
        "sub": session.user_id,
        SESSION_CLAIM: session.id,
    }
    return jwt.encode(claims, settings.SECRET_KEY, ALGORITHM, headers={"kid": _key_id(settings.SECRET_KEY)})


@lru_cache(maxsize=VERIFIED_ACCESS_TOKENS)
def _verify_access_token(text: str) -> Claims:
    """Return the claims of an access token, which may have expired.

    Cached, because a signature that is good stays good, and verifying one takes as long as reading its session. A bad
    token raises, so that nobody fills the cache with those.
    """
    return _verify(Kind.ACCESS, text)


def _verify(kind: Kind, text: str) -> Claims:
    """Return the claims of a token of this kind, which may have expired. Raise BadToken."""
    try:
        claims = jwt.decode(
            text,
            _signing_key(jwt.get_unverified_header(text).get("kid")),
            algorithms=[ALGORITHM],
            leeway=_LEEWAY_OF_ISSUE,
            options={"require": _CLAIMS, "verify_exp": False},
        )
    except (jwt.InvalidTokenError, UnicodeError) as error:
        raise BadToken from error
    if claims[KIND_CLAIM] != kind:
        raise BadToken
    return Claims(session_id=claims[SESSION_CLAIM], token_id=claims["jti"], expires_at=claims["exp"])


def _unexpired(claims: Claims) -> Claims:
    """Return the claims of a token that has not expired."""
    if claims.expires_at <= time.time():
        raise BadToken
    return claims


def _signing_key(key_id: object) -> str:
    """Return the key with this id. Tokens from before keys had ids are of the oldest key. Raise BadToken."""
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    if key_id is None:
        return keys[-1]
    for key in keys:
        if _key_id(key) == key_id:
            return key
    raise BadToken


@lru_cache(maxsize=8)
def _key_id(key: str) -> str:
    """Return the id of a key, which follows from it and does not tell it."""
    return hmac.digest(key.encode(), b"the id of this key", "sha256").hex()[:16]
