"""Views that verify keys."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from core.http.operations import operation
from core.http.request_context import RequestContext
from core.http.views import InternalV2View
from internal_api import key_auth
from internal_api.key_auth import CheckPermission, KeyAuthRequest, KeyAuthResponse, ValidateKey
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


class KeyAuthView(InternalV2View):
    """The base of views whose responses come from `internal_api.key_auth`."""

    def respond_with(self, response: KeyAuthResponse) -> Response:
        return Response(response.envelope(RequestContext.of(self.request)))

    def respond_to(self, request: KeyAuthRequest) -> Response:
        """Verify the key of a request and respond."""
        return self.respond_with(key_auth.respond(request, RequestContext.of(self.request).request_id))


class ParseKeyView(KeyAuthView):
    @operation(
        "Read what a key says of itself, offline",
        tag="auth",
        request=ParseKeyRequest,
        response=ParsedKeyResponse,
        offline=True,
    )
    def post(self, request: Request) -> Response:
        return self.respond_with(key_auth.parse_key(self.validated_data(ParseKeyRequest)["api_key"]))


class ValidateKeyView(KeyAuthView):
    @operation("Is this key good?", tag="auth", request=ValidateKeyRequest, response=VerdictResponse)
    def post(self, request: Request) -> Response:
        return self.respond_to(ValidateKey.of_body(self.validated_data(ValidateKeyRequest)))


class ValidateKeysView(KeyAuthView):
    @operation(
        "Are these keys good? Up to 100, answered in order",
        tag="auth",
        request=ValidateKeysRequest,
        response=VerdictsResponse,
    )
    def post(self, request: Request) -> Response:
        bodies = self.validated_data(ValidateKeysRequest)["items"]
        return self.respond_with(key_auth.respond_to_all(bodies, RequestContext.of(self.request).request_id))


class CheckPermissionView(KeyAuthView):
    @operation(
        "Does this key have a permission?", tag="auth", request=CheckPermissionRequest, response=PermissionResponse
    )
    def post(self, request: Request) -> Response:
        return self.respond_to(CheckPermission.of_body(self.validated_data(CheckPermissionRequest)))
