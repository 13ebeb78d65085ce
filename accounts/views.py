"""v1: registration, sign-in, one's own account."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from accounts import services, throttle
from accounts.models import User
from accounts.serializers import (
    LoginBody,
    PasswordBody,
    ProfileAnswer,
    ProfileBody,
    RefreshBody,
    RegisterBody,
    TokenAnswer,
    UserAnswer,
)
from accounts.tokens import TokenPair
from maim.http.openapi import operation
from maim.http.views import FORM_OR_JSON, AnonymousView, PlainView
from tenants import services as tenants


def _token_answer(pair: TokenPair) -> Response:
    return Response(
        {**TokenAnswer({**asdict(pair), "token_type": "bearer"}).data}, headers={"Cache-Control": "no-store"}
    )


class Register(AnonymousView):
    @operation("Register, with a personal tenant", tag="auth", request=RegisterBody, answer=UserAnswer, refusals=(429,))
    def post(self, request: Request) -> Response:
        body = self.body(RegisterBody)
        throttle.attempt(account=body["username"], address=self.actor.address)
        user = tenants.register(actor=self.actor, **body)
        return Response(UserAnswer(user).data)


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


class Me(PlainView):
    @operation("Who is signed in", tag="auth", answer=ProfileAnswer)
    def get(self, request: Request) -> Response:
        return _profile(request.user)

    @operation("Change one's e-mail address", tag="auth", request=ProfileBody, answer=ProfileAnswer)
    def patch(self, request: Request) -> Response:
        assert isinstance(request.user, User)
        user = services.update_user(actor=self.actor, user_id=request.user.id, changes=self.body(ProfileBody))
        return _profile(user)


def _profile(user: Any) -> Response:
    data = {**UserAnswer(user).data, "memberships": tenants.memberships_of(user.pk)}
    return Response(ProfileAnswer(data).data)
