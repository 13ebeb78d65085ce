"""The bots' question: is this key good, and for what?

A key that is not good is an answer, not an error: 200 with `success: false` (RFC 7662 section 2.2).
"""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from apikeys import keyformat, verification
from apikeys.keyformat import MalformedKey
from apikeys.verification import EXPLANATIONS, MALFORMED, PERMISSION_MISSING, Bad
from internal_api.serializers import (
    CheckPermissionBody,
    ParsedKeyAnswer,
    ParseKeyBody,
    PermissionAnswer,
    ValidateKeyBody,
    VerdictAnswer,
)
from maim.http import metrics
from maim.http.openapi import operation
from maim.http.views import InternalView


class _KeyQuestion(InternalView):
    def refuse(self, verdict: Bad) -> Response:
        """Says that a key is not good, and no more about it than why."""
        return self.verdict(
            {"valid": False, "code": verdict.code},
            message=_("The API key is not valid"),
            error=EXPLANATIONS[verdict.code],
            code=verdict.code,
        )


class ParseKey(_KeyQuestion):
    @operation(
        "Read what a key says of itself, offline",
        tag="auth",
        request=ParseKeyBody,
        answer=ParsedKeyAnswer,
        offline=True,
    )
    def post(self, request: Request) -> Response:
        try:
            parsed = keyformat.parse(self.body(ParseKeyBody)["api_key"])
        except MalformedKey:
            return self.refuse(Bad(MALFORMED))
        data = {
            "tenant_id": parsed.tenant_id,
            "agent_id": parsed.agent_id,
            "random_hash": parsed.random,
            "version": parsed.version,
            "format_valid": True,
        }
        return self.answer(data, message=_("API key parsed"), tenant_id=parsed.tenant_id)


class ValidateKey(_KeyQuestion):
    @operation("Is this key good?", tag="auth", request=ValidateKeyBody, answer=VerdictAnswer)
    def post(self, request: Request) -> Response:
        body = self.body(ValidateKeyBody)
        verdict = verification.verify(body["api_key"])
        metrics.verifications.labels(verdict.code if isinstance(verdict, Bad) else "VALID").inc()
        if isinstance(verdict, Bad):
            return self.refuse(verdict)
        if body.get("check_rate_limit", True):
            verification.count_use(verdict)
        has_permission = verdict.allows(body.get("required_permission"))
        data = {
            "valid": True,
            "tenant_id": verdict.tenant_id,
            "agent_id": verdict.agent_id,
            "api_key_id": verdict.key_id,
            "permissions": verdict.permissions,
            "has_permission": has_permission,
            "status": verdict.status,
            "code": "VALID" if has_permission else PERMISSION_MISSING,
        }
        return self.answer(data, message=_("The API key is valid"), tenant_id=verdict.tenant_id)


class CheckPermission(_KeyQuestion):
    @operation("Does this key have a permission?", tag="auth", request=CheckPermissionBody, answer=PermissionAnswer)
    def post(self, request: Request) -> Response:
        body = self.body(CheckPermissionBody)
        verdict = verification.verify(body["api_key"])
        if isinstance(verdict, Bad):
            return self.refuse(verdict)
        has_permission = verdict.allows(body["permission"])
        data = {
            "has_permission": has_permission,
            "permission": body["permission"],
            "all_permissions": verdict.permissions,
            "tenant_id": verdict.tenant_id,
            "agent_id": verdict.agent_id,
            "api_key_status": verdict.status,
            "code": "VALID" if has_permission else PERMISSION_MISSING,
        }
        return self.answer(data, message=_("Permission checked"), tenant_id=verdict.tenant_id)
