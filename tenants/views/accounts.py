"""v1: registration and one's own account, with its personal tenant and its memberships."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from accounts import services as accounts
from accounts.models import User
from accounts.serializers import ProfileBody, RegisterBody, UserAnswer
from core.http.openapi import operation
from core.http.views import AnonymousView, PlainView
from tenants import services
from tenants.serializers import ProfileAnswer


class Register(AnonymousView):
    @operation("Register, with a personal tenant", tag="auth", request=RegisterBody, answer=UserAnswer, refusals=(429,))
    def post(self, request: Request) -> Response:
        user = services.register(actor=self.actor, **self.body(RegisterBody))
        return Response(UserAnswer(user).data)


class Me(PlainView):
    @operation("Who is signed in", tag="auth", answer=ProfileAnswer)
    def get(self, request: Request) -> Response:
        return _profile(request.user)

    @operation("Change one's e-mail address", tag="auth", request=ProfileBody, answer=ProfileAnswer)
    def patch(self, request: Request) -> Response:
        assert isinstance(request.user, User)
        user = accounts.update_user(actor=self.actor, user_id=request.user.id, changes=self.body(ProfileBody))
        return _profile(user)


def _profile(user: Any) -> Response:
    data = {**UserAnswer(user).data, "memberships": services.memberships_of(user.pk)}
    return Response(ProfileAnswer(data).data)
