from __future__ import annotations

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts import services
from accounts.services import AuthenticatedSession, AuthenticatedToken
from core.http.request_context import RequestContext
from core.scrubbing import TOKEN_PREFIX


class BearerAuthentication(BaseAuthentication):
    """Authentication by `Authorization: Bearer <access token>` (RFC 6750). It loads the user at every request.

    The token is that of a session, or a personal access token: `request.auth` is the session's id, or a TokenGrant,
    whose scope `BaseView.check_permissions` compares with the method's `@operation`.
    """

    def authenticate(self, request: Request) -> AuthenticatedSession | AuthenticatedToken | None:
        scheme, _, sent = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        try:
            token = sent.strip().decode("ascii")
        except UnicodeDecodeError as error:
            raise AuthenticationFailed from error
        address = RequestContext.of(request._request).address
        if token.startswith(TOKEN_PREFIX):
            return services.authenticate_personal_token(token, address=address)
        return services.authenticate_access_token(token, address=address)

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"
