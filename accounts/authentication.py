from __future__ import annotations

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts import services
from accounts.services import AuthenticatedSession
from core.http.request_context import RequestContext


class SessionTokenAuthentication(BaseAuthentication):
    """Authentication by `Authorization: Bearer <access token>` (RFC 6750). It loads the user at every request."""

    def authenticate(self, request: Request) -> AuthenticatedSession | None:
        scheme, _, token = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        try:
            return services.authenticate_token(
                token.strip().decode("ascii"), address=RequestContext.of(request._request).address
            )
        except UnicodeDecodeError as error:
            raise AuthenticationFailed from error

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"
