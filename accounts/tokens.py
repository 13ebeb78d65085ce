"""Access and refresh tokens: JWTs with the id of a session (RFC 7519)."""

from __future__ import annotations

import hmac
import time
from dataclasses import dataclass
from functools import lru_cache

from django.conf import settings
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token

from accounts.models import TokenSession

SESSION_CLAIM = "sid"
# Of people who are busy at the same time in one worker. Each takes less than a kilobyte.
VERIFIED_ACCESS_TOKENS = 1024


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


def new_refresh_token(token_id: str | None = None) -> RefreshToken:
    """Return a refresh token without a session yet, under a new id unless one is given."""
    token = RefreshToken()
    if token_id is not None:
        token["jti"] = token_id
    return token


def successor_id(token_id: str) -> str:
    """Return the id of the refresh token that replaces another.

    It follows from the other's id, so that requests which race with the same token get the same successor.
    """
    return hmac.digest(settings.SECRET_KEY.encode(), f"successor of {token_id}".encode(), "sha256").hex()[:32]


def issue(refresh: RefreshToken, session: TokenSession) -> TokenPair:
    """Return a signed refresh token and its access token for the session."""
    refresh["sub"] = session.user_id
    refresh[SESSION_CLAIM] = session.id
    return TokenPair(
        access=str(refresh.access_token),
        refresh=str(refresh),
        expires_in=int(settings.ACCESS_TOKEN_LIFETIME.total_seconds()),
    )


def read_refresh_token(text: str) -> Claims:
    """Return the claims of a refresh token. Raise BadToken."""
    return _unexpired(_verify(RefreshToken, text))


def read_access_token(text: str) -> Claims:
    """Return the claims of an access token. Raise BadToken."""
    return _unexpired(_verify_access_token(text))


@lru_cache(maxsize=VERIFIED_ACCESS_TOKENS)
def _verify_access_token(text: str) -> Claims:
    """Return the claims of an access token, which may have expired.

    Cached, because a signature that is good stays good, and verifying one takes as long as reading its session. A bad
    token raises, so that nobody fills the cache with those.
    """
    return _verify(AccessToken, text)


def _verify(kind: type[Token], text: str) -> Claims:
    try:
        token = kind(text)  # type: ignore[arg-type]  # the stubs want a Token where the library takes text
        return Claims(session_id=str(token[SESSION_CLAIM]), token_id=str(token["jti"]), expires_at=token["exp"])
    except (TokenError, KeyError, UnicodeError) as error:
        raise BadToken from error


def _unexpired(claims: Claims) -> Claims:
    """Return the claims of a token that has not expired. SIMPLE_JWT's LEEWAY, which is for `iat`, does not count."""
    if claims.expires_at <= time.time():
        raise BadToken
    return claims
