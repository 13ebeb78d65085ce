from __future__ import annotations

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts import services
from accounts.models import TokenSession, User


class SessionTokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer <access token>` (RFC 6750). Loads the user at every request."""

    def authenticate(self, request: Request) -> tuple[User, TokenSession] | None:
        scheme, _, token = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        try:
            session = services.session_of_access_token(token.strip().decode("ascii"))
        except UnicodeDecodeError as error:
            raise AuthenticationFailed from error
        return session.user, session

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"
