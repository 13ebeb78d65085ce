"""The bots' question: is this key good, and for what?"""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from internal_api import questions
from internal_api.questions import Answer, Check, Validate
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
from maim.http.openapi import operation
from maim.http.scope import RequestScope
from maim.http.views import InternalView


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
        return self.say(questions.parsed(**self.body(ParseKeyBody)))


class ValidateKey(_KeyQuestion):
    @operation("Is this key good?", tag="auth", request=ValidateKeyBody, answer=VerdictAnswer)
    def post(self, request: Request) -> Response:
        return self.say(questions.answered(Validate(**self.body(ValidateKeyBody))))


class ValidateKeys(_KeyQuestion):
    @operation(
        "Are these keys good? Up to 100, answered in order", tag="auth", request=ValidateKeysBody, answer=VerdictsAnswer
    )
    def post(self, request: Request) -> Response:
        items = [Validate(**item) for item in self.body(ValidateKeysBody)["items"]]
        return self.say(questions.all_answered(items))


class CheckPermission(_KeyQuestion):
    @operation("Does this key have a permission?", tag="auth", request=CheckPermissionBody, answer=PermissionAnswer)
    def post(self, request: Request) -> Response:
        return self.say(questions.answered(Check(**self.body(CheckPermissionBody))))
