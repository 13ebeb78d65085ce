"""v1: sign-in and one's own password."""

from __future__ import annotations

from dataclasses import asdict

from rest_framework.request import Request
from rest_framework.response import Response

from accounts import services
from accounts.models import User
from accounts.serializers import (
    LoginBody,
    PasswordBody,
    RefreshBody,
    TokenAnswer,
)
from accounts.tokens import TokenPair
from core.http.openapi import operation
from core.http.views import FORM_OR_JSON, AnonymousView, PlainView


def _token_answer(pair: TokenPair) -> Response:
    return Response(
        {**TokenAnswer({**asdict(pair), "token_type": "bearer"}).data}, headers={"Cache-Control": "no-store"}
    )


class Login(AnonymousView):
    parser_classes = FORM_OR_JSON

    @operation("Sign in", tag="auth", request=LoginBody, answer=TokenAnswer, refusals=(429,))
    def post(self, request: Request) -> Response:
        user = services.authenticate(**self.body(LoginBody), address=self.actor.address)
        return _token_answer(services.sign_in(actor=self.actor, user=user))


class Refresh(AnonymousView):
    @operation(
        "Trade a refresh token for new tokens", tag="auth", request=RefreshBody, answer=TokenAnswer, refusals=(401,)
    )
    def post(self, request: Request) -> Response:
        return _token_answer(services.refresh(**self.body(RefreshBody)))


class Logout(AnonymousView):
    @operation("Sign out", tag="auth", request=RefreshBody, answer=None, status=204, refusals=(401,))
    def post(self, request: Request) -> Response:
        services.sign_out(actor=self.actor, **self.body(RefreshBody))
        return Response(status=204)


class Password(PlainView):
    @operation(
        "Change the password; all other sessions end",
        tag="auth",
        request=PasswordBody,
        answer=None,
        status=204,
        refusals=(429,),
    )
    def post(self, request: Request) -> Response:
        assert isinstance(request.user, User)
        assert isinstance(request.auth, str)
        services.change_password(
            actor=self.actor, user=request.user, keep_session=request.auth, **self.body(PasswordBody)
        )
        return Response(status=204)
