"""The bots' question: is this key good, and for what?"""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from core.http.operations import operation
from core.http.request_context import RequestContext
from core.http.views import InternalV2View
from internal_api import key_auth
from internal_api.key_auth import Answer, Check, Validate
from internal_api.serializers import (
    CheckPermissionRequest,
    ParsedKeyResponse,
    ParseKeyRequest,
    PermissionResponse,
    ValidateKeyRequest,
    ValidateKeysRequest,
    VerdictResponse,
    VerdictsResponse,
)


class _KeyQuestion(InternalV2View):
    def say(self, answer: Answer) -> Response:
        return Response(answer.enveloped(RequestContext.of(self.request)))


class ParseKey(_KeyQuestion):
    @operation(
        "Read what a key says of itself, offline",
        tag="auth",
        request=ParseKeyRequest,
        response=ParsedKeyResponse,
        offline=True,
    )
    def post(self, request: Request) -> Response:
        return self.say(key_auth.parsed(**self.validated_data(ParseKeyRequest)))


class ValidateKey(_KeyQuestion):
    @operation("Is this key good?", tag="auth", request=ValidateKeyRequest, response=VerdictResponse)
    def post(self, request: Request) -> Response:
        return self.say(key_auth.answered(Validate(**self.validated_data(ValidateKeyRequest))))


class ValidateKeys(_KeyQuestion):
    @operation(
        "Are these keys good? Up to 100, answered in order",
        tag="auth",
        request=ValidateKeysRequest,
        response=VerdictsResponse,
    )
    def post(self, request: Request) -> Response:
        items = [Validate(**item) for item in self.validated_data(ValidateKeysRequest)["items"]]
        return self.say(key_auth.all_answered(items))


class CheckPermission(_KeyQuestion):
    @operation(
        "Does this key have a permission?", tag="auth", request=CheckPermissionRequest, response=PermissionResponse
    )
    def post(self, request: Request) -> Response:
        return self.say(key_auth.answered(Check(**self.validated_data(CheckPermissionRequest))))
