"""The bots' question: is this key good, and for what?"""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from core.http.openapi import operation
from core.http.request_context import RequestScope
from core.http.views import InternalView
from internal_api import key_auth
from internal_api.key_auth import Answer, Check, Validate
from internal_api.serializers import (
    CheckPermissionBody,
    ParsedKeyAnswer,
    ParseKeyBody,
    PermissionAnswer,
    ValidateKeyBody,
    ValidateKeysBody,
    VerdictAnswer,
    VerdictsAnswer,
)


class _KeyQuestion(InternalView):
    def say(self, answer: Answer) -> Response:
        return Response(answer.enveloped(RequestScope.of(self.request)))


class ParseKey(_KeyQuestion):
    @operation(
        "Read what a key says of itself, offline",
        tag="auth",
        request=ParseKeyBody,
        answer=ParsedKeyAnswer,
        offline=True,
    )
    def post(self, request: Request) -> Response:
        return self.say(key_auth.parsed(**self.body(ParseKeyBody)))


class ValidateKey(_KeyQuestion):
    @operation("Is this key good?", tag="auth", request=ValidateKeyBody, answer=VerdictAnswer)
    def post(self, request: Request) -> Response:
        return self.say(key_auth.answered(Validate(**self.body(ValidateKeyBody))))


class ValidateKeys(_KeyQuestion):
    @operation(
        "Are these keys good? Up to 100, answered in order", tag="auth", request=ValidateKeysBody, answer=VerdictsAnswer
    )
    def post(self, request: Request) -> Response:
        items = [Validate(**item) for item in self.body(ValidateKeysBody)["items"]]
        return self.say(key_auth.all_answered(items))


class CheckPermission(_KeyQuestion):
    @operation("Does this key have a permission?", tag="auth", request=CheckPermissionBody, answer=PermissionAnswer)
    def post(self, request: Request) -> Response:
        return self.say(key_auth.answered(Check(**self.body(CheckPermissionBody))))
