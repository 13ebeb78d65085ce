"""Requests that verify a key, and the responses to them, for the views and for the fast path.

A key that is not valid is no error of the request: the response is 200 with `success: false` (RFC 7662 section 2.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import orjson
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy as _

from apikeys import keyformat, permissions, verification
from apikeys.keyformat import MalformedKey
from apikeys.permissions import BadExpression
from apikeys.verification import (
    EXPLANATIONS,
    LIMIT_EXCEEDED,
    MALFORMED,
    PERMISSION_MISSING,
    UNAVAILABLE,
    VALID,
    Address,
    KeyFacts,
    Remaining,
    Verdict,
    VerificationRequest,
)
from core.errors import Invalid, Text, Unavailable
from core.http import metrics
from core.http.request_context import RequestContext
from core.http.responses import ENVELOPE_LANGUAGE, envelope, utc_text


class KeyAuthResponse(NamedTuple):
    """The fields of the envelope that depend on the key."""

    success: bool
    message: str
    data: dict[str, Any]
    tenant_id: str | None = None
    error: str | None = None
    error_code: str | None = None

    def envelope(self, context: RequestContext) -> dict[str, Any]:
        """Return the whole body of the response."""
        return envelope(
            context,
            success=self.success,
            message=self.message,
            data=self.data,
            tenant_id=self.tenant_id,
            error=self.error,
            error_code=self.error_code,
        )


_SENTENCES: dict[str, Text] = {
    "parsed": _("API key parsed"),
    "valid": _("The API key is valid"),
    "all validated": _("API keys validated"),
    "checked": _("Permission checked"),
    "refused": _("The API key is not valid"),
    UNAVAILABLE: Unavailable.message,
    **EXPLANATIONS,
}


@cache
def _sentence(name: str) -> str:
    """Return a sentence in the envelope's language. It is always the same, so it is translated once."""
    with translation.override(ENVELOPE_LANGUAGE):
        return str(_SENTENCES[name])


def valid_message() -> str:
    """Return the message of the response to a valid key."""
    return _sentence("valid")


def parse_key(secret: str) -> KeyAuthResponse:
    """Respond with the parts of a key, without a query."""
    try:
        key = keyformat.parse(secret)
    except MalformedKey:
        return rejection(Verdict(MALFORMED))
    data = {
        "tenant_id": key.tenant_id,
        "agent_id": key.agent_id,
        "random_hash": key.random,
        "version": key.version,
        "format_valid": True,
    }
    return KeyAuthResponse(True, _sentence("parsed"), data, key.tenant_id)


class ValidateKey(NamedTuple):
    """A request to verify a key, and to tell whether it has a required permission."""

    verification: VerificationRequest

    @staticmethod
    def of(secret: str, required_permission: str | None, counts_use: bool, address: Address | None) -> ValidateKey:
        """Make a request. Raise BadExpression if the required permission is not a valid expression."""
        requirement = permissions.parse_optional(required_permission)
        return ValidateKey(VerificationRequest(secret, address, counts_use, requirement))

    @staticmethod
    def of_body(body: Mapping[str, Any]) -> ValidateKey:
        """Make a request from a validated body. Raise as `of` does."""
        return ValidateKey.of(
            body["api_key"],
            body.get("required_permission"),
            body.get("check_rate_limit", True),
            body.get("client_ip"),
        )

    def response(self, verdict: Verdict) -> KeyAuthResponse:
        """Return the response that follows from the verdict. Raise Unavailable if there is no verdict."""
        facts = verdict.facts
        if facts is None or not verdict.is_valid:
            return rejection(verdict)
        has_permission = facts.satisfy(self.verification.requirement)
        data = {
            "valid": True,
            "tenant_id": facts.tenant_id,
            "agent_id": facts.agent_id,
            "api_key_id": facts.key_id,
            "permissions": facts.permissions,
            "has_permission": has_permission,
            "status": facts.key_status,
            "key_name": facts.key_name,
            "expires_at": None if facts.expires_at is None else utc_text(facts.expires_at),
            "agent_name": facts.agent_name,
            "config_version": facts.config_version or None,
            "rate_limit": _remaining(verdict.limit_status.rate_limit),
            "quota": _remaining(verdict.limit_status.quota),
            "code": VALID if has_permission else PERMISSION_MISSING,
        }
        if verdict.stale:
            data["stale"] = True
        return KeyAuthResponse(True, valid_message(), data, facts.tenant_id)

    def finished_data(self, verdict: Verdict) -> bytes | None:
        """Return the `data` of the response in JSON, if it depends on the key alone. It is made once for a key.

        Return None for any other verdict, for a missing permission, and for a key with limits, whose state changes.
        """
        facts = verdict.facts
        if (
            facts is None
            or not verdict.is_valid
            or verdict.stale
            or facts.limits is not None
            or not facts.satisfy(self.verification.requirement)
        ):
            return None
        return facts.rendered(_data_of_valid_key)


def _data_of_valid_key(facts: KeyFacts) -> bytes:
    data = ValidateKey(VerificationRequest("")).response(Verdict(VALID, facts)).data
    return bytes(memoryview(orjson.dumps(data)))  # a copy, because orjson's own keeps a buffer of 8 KiB


class CheckPermission(NamedTuple):
    """A request to tell whether a key has one permission. No use is counted."""

    verification: VerificationRequest
    permission: str

    @staticmethod
    def of(secret: str, permission: str, address: Address | None = None) -> CheckPermission:
        return CheckPermission(VerificationRequest(secret, address), permission)

    @staticmethod
    def of_body(body: Mapping[str, Any]) -> CheckPermission:
        """Make a request from a validated body."""
        return CheckPermission.of(body["api_key"], body["permission"], body.get("client_ip"))

    def response(self, verdict: Verdict) -> KeyAuthResponse:
        """Return the response that follows from the verdict. Raise Unavailable if there is no verdict."""
        facts = verdict.facts
        if facts is None or not verdict.is_valid:
            return rejection(verdict)
        has_permission = self.permission in facts.grants
        data = {
            "has_permission": has_permission,
            "permission": self.permission,
            "all_permissions": facts.permissions,
            "tenant_id": facts.tenant_id,
            "agent_id": facts.agent_id,
            "api_key_status": facts.key_status,
            "code": VALID if has_permission else PERMISSION_MISSING,
        }
        if verdict.stale:
            data["stale"] = True
        return KeyAuthResponse(True, _sentence("checked"), data, facts.tenant_id)


KeyAuthRequest = ValidateKey | CheckPermission


def respond(request: KeyAuthRequest, request_id: str) -> KeyAuthResponse:
    """Respond to one request. Raise Unavailable if there is no verdict."""
    verdict = verification.verify_all([request.verification])[0]
    if isinstance(request, ValidateKey):
        metrics.record_verification(verdict.code)
    return respond_to_verdict(request, verdict, request_id)


def respond_to_verdict(request: KeyAuthRequest, verdict: Verdict, request_id: str) -> KeyAuthResponse:
    """Respond to a request by its verdict, and note why a known key was refused. Raise Unavailable if there is none."""
    response = request.response(verdict)
    if response.data["code"] != VALID and verdict.facts is not None:
        address = request.verification.address
        verification.note_refusal(verdict, response.data["code"], address=address, request_id=request_id)
    return response


def respond_to_all(bodies: Sequence[Mapping[str, Any]], request_id: str) -> KeyAuthResponse:
    """Respond to several validated bodies, in their order. Raise Invalid before any use is counted."""
    requests = [_numbered_request(number, body) for number, body in enumerate(bodies)]
    verdicts = verification.verify_all([request.verification for request in requests])
    for verdict in verdicts:
        metrics.record_verification(verdict.code)
    items = [_item(request, verdict, request_id) for request, verdict in zip(requests, verdicts, strict=True)]
    return KeyAuthResponse(True, _sentence("all validated"), {"items": items})


def _numbered_request(number: int, body: Mapping[str, Any]) -> ValidateKey:
    """Make one of several requests. Raise Invalid with the number of the item in the field's path."""
    try:
        return ValidateKey.of_body(body)
    except BadExpression as error:
        raise Invalid({f"items.{number}.{field}": sentences for field, sentences in error.errors.items()}) from error


def _item(request: ValidateKey, verdict: Verdict, request_id: str) -> dict[str, Any]:
    """Return one of several responses, with the fields that depend on the key."""
    if verdict.code == UNAVAILABLE:
        return {"success": False, "error": _sentence(UNAVAILABLE), "error_code": UNAVAILABLE, "data": None}
    response = respond_to_verdict(request, verdict, request_id)
    return {
        "success": response.success,
        "error": response.error,
        "error_code": response.error_code,
        "data": response.data,
    }


def rejection(verdict: Verdict) -> KeyAuthResponse:
    """Respond that a key is not valid, with nothing about it but the code, and why if it is the secret alone.

    Raise Unavailable if there is no verdict.
    """
    if verdict.code == UNAVAILABLE:
        raise Unavailable
    data: dict[str, Any] = {"valid": False, "code": verdict.code}
    if verdict.facts is not None and (reason := verdict.facts.secret_reason_at(timezone.now())):
        data["reason"] = reason
    if verdict.code == LIMIT_EXCEEDED:
        data["retry_after"] = verdict.limit_status.retry_after
    if verdict.stale:
        data["stale"] = True
    return KeyAuthResponse(False, _sentence("refused"), data, None, _sentence(verdict.code), verdict.code)


def _remaining(left: Remaining | None) -> dict[str, Any] | None:
    if left is None:
        return None
    return {
        "limit": left.limit,
        "remaining": left.remaining,
        "reset": None if left.reset is None else utc_text(left.reset),
    }
