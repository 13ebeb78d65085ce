"""The bots' question, and what they are told: one place for the views and for the shortcut below Django.

A key that is not good is an answer, not an error: 200 with `success: false` (RFC 7662 section 2.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from ipaddress import ip_address
from typing import Any, NamedTuple

from django.utils import translation
from django.utils.translation import gettext_lazy as _

from apikeys import keyformat, permissions, verification
from apikeys.keyformat import MalformedKey
from apikeys.permissions import BadExpression, Requirement
from apikeys.verification import (
    EXPLANATIONS,
    MALFORMED,
    OVER_LIMIT,
    PERMISSION_MISSING,
    UNAVAILABLE,
    Address,
    Ask,
    Room,
    Verdict,
)
from core.errors import Invalid, Text, Unavailable
from core.http import metrics
from core.http.request_context import RequestContext
from core.http.responses import ENVELOPE_LANGUAGE, envelope, utc_text


class Answer(NamedTuple):
    """What goes into the envelope."""

    success: bool
    message: str
    data: dict[str, Any]
    tenant_id: str | None = None
    error: str | None = None
    error_code: str | None = None

    def enveloped(self, scope: RequestContext) -> dict[str, Any]:
        """The whole body of the answer."""
        return envelope(
            scope,
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
    """A sentence in the envelope's language; the same each time, so translated once."""
    with translation.override(ENVELOPE_LANGUAGE):
        return str(_SENTENCES[name])


def client_address(text: str) -> Address:
    """A caller's address; an IPv4 one written as IPv6 counts as IPv4. Raises ValueError."""
    address = ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def parsed(api_key: str) -> Answer:
    """What a key says of itself, offline."""
    try:
        key = keyformat.parse(api_key)
    except MalformedKey:
        return _refused(Verdict(MALFORMED))
    data = {
        "tenant_id": key.tenant_id,
        "agent_id": key.agent_id,
        "random_hash": key.random,
        "version": key.version,
        "format_valid": True,
    }
    return Answer(True, _sentence("parsed"), data, key.tenant_id)


class Validate(NamedTuple):
    """Is the key good, and has it what is required? With `check_rate_limit`, a good key's use is counted."""

    api_key: str
    required_permission: str | None = None
    check_rate_limit: bool = True
    client_ip: Address | None = None

    def ask(self) -> Ask:
        """What the answer takes a verdict on; raises BadExpression where what is required makes no sense."""
        self._requirement()
        return Ask(self.api_key, self.client_ip, self.check_rate_limit)

    def answer(self, verdict: Verdict) -> Answer:
        """The answer that follows from the verdict; raises Unavailable if there is none."""
        facts = verdict.facts
        if facts is None or not verdict.is_good:
            return _refused(verdict)
        requirement = self._requirement()
        has_permission = requirement is None or facts.grants.meet(requirement)
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
            "rate_limit": _room(verdict.standing.rate_limit),
            "quota": _room(verdict.standing.quota),
            "code": verification.VALID if has_permission else PERMISSION_MISSING,
        }
        if verdict.stale:
            data["stale"] = True
        return Answer(True, _sentence("valid"), data, facts.tenant_id)

    def _requirement(self) -> Requirement | None:
        """Return what the key has to grant; None where nothing is required, which a blank text says, too."""
        required = self.required_permission
        return None if required is None or not required.strip() else permissions.parse(required)


class Check(NamedTuple):
    """Has the key one permission? Nothing is counted."""

    api_key: str
    permission: str
    client_ip: Address | None = None

    def ask(self) -> Ask:
        """What the answer takes a verdict on."""
        return Ask(self.api_key, self.client_ip)

    def answer(self, verdict: Verdict) -> Answer:
        """The answer that follows from the verdict; raises Unavailable if there is none."""
        facts = verdict.facts
        if facts is None or not verdict.is_good:
            return _refused(verdict)
        has_permission = self.permission in facts.grants
        data = {
            "has_permission": has_permission,
            "permission": self.permission,
            "all_permissions": facts.permissions,
            "tenant_id": facts.tenant_id,
            "agent_id": facts.agent_id,
            "api_key_status": facts.key_status,
            "code": verification.VALID if has_permission else PERMISSION_MISSING,
        }
        if verdict.stale:
            data["stale"] = True
        return Answer(True, _sentence("checked"), data, facts.tenant_id)


Question = Validate | Check


def answered(question: Question) -> Answer:
    """The answer to one question; raises BadExpression and Unavailable."""
    verdict = verification.verify_all([question.ask()])[0]
    if isinstance(question, Validate):
        metrics.verified(verdict.code)
    return question.answer(verdict)


def all_answered(questions: Sequence[Validate]) -> Answer:
    """The answers to several questions, in their order. Raises Invalid before any use is counted."""
    asks = [_numbered_ask(number, question) for number, question in enumerate(questions)]
    verdicts = verification.verify_all(asks)
    for verdict in verdicts:
        metrics.verified(verdict.code)
    items = [_item(question, verdict) for question, verdict in zip(questions, verdicts, strict=True)]
    return Answer(True, _sentence("all validated"), {"items": items})


def _numbered_ask(number: int, question: Validate) -> Ask:
    """What one of several questions takes a verdict on; raises Invalid, which says of which it speaks."""
    try:
        return question.ask()
    except BadExpression as error:
        raise Invalid({f"items.{number}.{field}": sentences for field, sentences in error.errors.items()}) from error


def _item(question: Validate, verdict: Verdict) -> dict[str, Any]:
    """One of several answers: what would be the envelope's, were it alone."""
    if verdict.code == UNAVAILABLE:
        return {"success": False, "error": _sentence(UNAVAILABLE), "error_code": UNAVAILABLE, "data": None}
    answer = question.answer(verdict)
    return {"success": answer.success, "error": answer.error, "error_code": answer.error_code, "data": answer.data}


def _refused(verdict: Verdict) -> Answer:
    """That a key is not good, and no more about it than why; raises Unavailable if nobody can tell."""
    if verdict.code == UNAVAILABLE:
        raise Unavailable
    data: dict[str, Any] = {"valid": False, "code": verdict.code}
    if verdict.code == OVER_LIMIT:
        data["retry_after"] = verdict.standing.retry_after
    if verdict.stale:
        data["stale"] = True
    return Answer(False, _sentence("refused"), data, None, _sentence(verdict.code), verdict.code)


def _room(room: Room | None) -> dict[str, Any] | None:
    if room is None:
        return None
    return {
        "limit": room.limit,
        "remaining": room.remaining,
        "reset": None if room.reset is None else utc_text(room.reset),
    }
