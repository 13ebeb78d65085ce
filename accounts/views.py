"""Views of sign-in, of the password, and of the confirmation of e-mail addresses."""

from __future__ import annotations

from dataclasses import asdict

from django.utils.translation import gettext
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import services
from accounts.models import User
from accounts.serializers import (
    EmailVerificationRequest,
    ForgottenPasswordRequest,
    LoginRequest,
    MailRequestedResponse,
    PasswordRequest,
    PasswordResetRequest,
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


class PasswordForgottenView(AnonymousView):
    @operation(
        "Ask for a link to set a new password",
        tag="auth",
        request=ForgottenPasswordRequest,
        response=MailRequestedResponse,
        status=202,
        errors=(429,),
    )
    def post(self, request: Request) -> Response:
        services.request_reset(actor=self.actor, **self.validated_data(ForgottenPasswordRequest))
        message = gettext("If an account has this address, a mail with a link is on its way")
        return Response({"message": message}, status=202)


class PasswordResetView(AnonymousView):
    @operation(
        "Set a new password by the token of a link; all sessions end",
        tag="auth",
        request=PasswordResetRequest,
        response=None,
        status=204,
        errors=(429,),
    )
    def post(self, request: Request) -> Response:
        services.reset_password(actor=self.actor, **self.validated_data(PasswordResetRequest))
        return Response(status=204)


class EmailVerificationView(V1View):
    @operation(
        "Ask again for the link that confirms one's e-mail address",
        tag="auth",
        response=MailRequestedResponse,
        status=202,
        errors=(409, 429),
    )
    def post(self, request: Request) -> Response:
        assert isinstance(request.user, User)
        services.request_verification(actor=self.actor, user=request.user)
        return Response({"message": gettext("A mail with a link is on its way")}, status=202)


class EmailVerifyView(AnonymousView):
    @operation(
        "Confirm an e-mail address by the token of a link",
        tag="auth",
        request=EmailVerificationRequest,
        response=None,
        status=204,
        errors=(429,),
    )
    def post(self, request: Request) -> Response:
        services.verify_email(actor=self.actor, **self.validated_data(EmailVerificationRequest))
        return Response(status=204)
