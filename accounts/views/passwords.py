"""Views of passwords, and of the confirmation of e-mail addresses."""

from __future__ import annotations

from django.utils.translation import gettext
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import services
from accounts.models import User
from accounts.serializers import (
    EmailVerificationRequest,
    ForgottenPasswordRequest,
    MailRequestedResponse,
    PasswordRequest,
    PasswordResetRequest,
)
from core.http.operations import operation
from core.http.views import AnonymousView, V1View


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
