"""Views of sign-in and of the password."""

from __future__ import annotations

from dataclasses import asdict

from rest_framework.request import Request
from rest_framework.response import Response

from accounts import services
from accounts.models import User
from accounts.serializers import (
    LoginRequest,
    PasswordRequest,
    RefreshRequest,
    TokenResponse,
)
from accounts.tokens import TokenPair
from core.http.operations import operation
from core.http.views import FORM_OR_JSON, AnonymousView, V1View


def _token_response(pair: TokenPair) -> Response:
    return Response(
        {**TokenResponse({**asdict(pair), "token_type": "bearer"}).data}, headers={"Cache-Control": "no-store"}
    )


class LoginView(AnonymousView):
    parser_classes = FORM_OR_JSON

    @operation("Sign in", tag="auth", request=LoginRequest, response=TokenResponse, errors=(429,))
    def post(self, request: Request) -> Response:
        user = services.authenticate(**self.validated_data(LoginRequest), address=self.actor.address)
        return _token_response(services.sign_in(actor=self.actor, user=user))


class TokenRefreshView(AnonymousView):
    @operation(
        "Trade a refresh token for new tokens",
        tag="auth",
        request=RefreshRequest,
        response=TokenResponse,
        errors=(401,),
    )
    def post(self, request: Request) -> Response:
        return _token_response(services.refresh(**self.validated_data(RefreshRequest)))


class LogoutView(AnonymousView):
    @operation("Sign out", tag="auth", request=RefreshRequest, response=None, status=204, errors=(401,))
    def post(self, request: Request) -> Response:
        services.sign_out(actor=self.actor, **self.validated_data(RefreshRequest))
        return Response(status=204)


class PasswordChangeView(V1View):
    @operation(
        "Change the password; all other sessions end",
        tag="auth",
        request=PasswordRequest,
        response=None,
        status=204,
        errors=(429,),
    )
    def post(self, request: Request) -> Response:
        assert isinstance(request.user, User)
        assert isinstance(request.auth, str)
        services.change_password(
            actor=self.actor, user=request.user, keep_session=request.auth, **self.validated_data(PasswordRequest)
        )
        return Response(status=204)
