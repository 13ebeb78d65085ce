"""Access and refresh tokens: JWTs with the id of a session (RFC 7519)."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token

from accounts.models import TokenSession

SESSION_CLAIM = "sid"


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
    """The claims of a valid token."""

    session_id: str
    token_id: str


class BadToken(Exception):
    """A token that is forged, expired, or of the other kind."""


def new_refresh_token() -> RefreshToken:
    """Return a refresh token with a new id and no session yet."""
    return RefreshToken()


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
    return _read(RefreshToken, text)


def read_access_token(text: str) -> Claims:
    """Return the claims of an access token. Raise BadToken."""
    return _read(AccessToken, text)


def _read(kind: type[Token], text: str) -> Claims:
    try:
        token = kind(text)  # type: ignore[arg-type]  # the stubs want a Token where the library takes text
        return Claims(session_id=str(token[SESSION_CLAIM]), token_id=str(token["jti"]))
    except (TokenError, KeyError, UnicodeError) as error:
        raise BadToken from error
