"""Output of keys and verdicts: JSON for programs, text for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson
from django.conf import settings
from django.utils import timezone

from apikeys import keyformat
from apikeys.fields import KEY_FIELDS
from apikeys.models import ApiKey, KeySecret
from apikeys.permissions import Requirement
from apikeys.verification import EXPLANATIONS, PERMISSION_MISSING, VALID, Remaining, Verdict
from core.commands.formatting import quota_text, rate_limit_text, time_text
from core.http.responses import utc_text

KEY_HEADER = ["ID", "NAME", "AGENT", "TENANT", "STATUS", "KEY", "USES", "LAST USED", "EXPIRES"]


def key_row(key: ApiKey) -> Sequence[Any]:
    """Return a key's cells under KEY_HEADER."""
    return [
        key.id,
        key.name,
        key.agent,
        key.tenant,
        key.status_at(timezone.now()).value,
        keyformat.masked(key.current_secret.hint),
        key.usage_count,
        time_text(key.last_used_at),
        time_text(key.expires_at),
    ]


def key_members(key: ApiKey, secret: str | None = None) -> list[tuple[str, Any]]:
    """Return all of a key for a record. Show its secret masked unless it is given."""
    return [
        ("id", key.id),
        ("agent", f"{key.agent} ({key.agent_id})"),
        ("tenant", f"{key.tenant} ({key.tenant_id})"),
        *(_labelled(key, field) for field in KEY_FIELDS.changeable),
        ("uses", key.usage_count),
        ("last used", time_text(key.last_used_at)),
        ("created", time_text(key.created_at)),
        ("updated", time_text(key.updated_at)),
        *_secret_notes(key.secrets.order_by("-id")),
        ("key", secret or keyformat.masked(key.current_secret.hint)),
    ]


def _labelled(key: ApiKey, field: str) -> tuple[str, Any]:
    value = key.status_at(timezone.now()).value if field == "status" else getattr(key, field)
    text = _TEXTS[field](value) if field in _TEXTS else value
    return field.removesuffix("_at").replace("_", " "), text


def verdict_document(verdict: Verdict, requirement: Requirement | None) -> dict[str, Any]:
    """Return a verdict with the members of a validate-api-key response, all always present; null means unknown.

    Operators see the owners of a key that is refused, too. Verifying here consumes no limit, so the verdict never says
    that one is reached; its remaining uses do.
    """
    facts = verdict.facts
    has_permission = facts.grants.satisfy(requirement) if verdict.is_valid and facts and requirement else None
    code = PERMISSION_MISSING if has_permission is False else verdict.code
    return {
        "valid": verdict.is_valid,
        "code": code,
        "explanation": None if code == VALID else str(EXPLANATIONS[code]),
        "has_permission": has_permission,
        "api_key_id": facts and facts.key_id,
        "key_name": facts and facts.key_name,
        "agent_id": facts and facts.agent_id,
        "agent_name": facts and facts.agent_name,
        "tenant_id": facts and facts.tenant_id,
        "permissions": facts and list(facts.permissions),
        "status": facts and facts.key_status,
        "expires_at": utc_text(facts.expires_at) if facts and facts.expires_at else None,
        "good_until": utc_text(facts.valid_until) if facts and facts.valid_until else None,
        "rate_limit": _room(verdict.limit_status.rate_limit, is_known=bool(settings.REDIS_URL)),
        "quota": _room(verdict.limit_status.quota),
    }


def verdict_members(document: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return a document of `verdict_document` as a record for people."""
    explanation = document["explanation"]
    members: list[tuple[str, Any]] = [
        ("verdict", "VALID" if explanation is None else f"{document['code']}: {explanation}")
    ]
    if document["api_key_id"] is not None:
        members += [
            ("key", f"{document['key_name']} ({document['api_key_id']})"),
            ("agent", f"{document['agent_name']} ({document['agent_id']})"),
            ("tenant", document["tenant_id"]),
            ("permissions", ", ".join(document["permissions"])),
            ("status", document["status"]),
            ("expires", document["expires_at"]),
            ("good until", document["good_until"]),
            ("rate limit", _room_text(document["rate_limit"])),
            ("quota", _room_text(document["quota"])),
        ]
    return members


def _room(room: Remaining | None, *, is_known: bool = True) -> dict[str, Any] | None:
    """Return what remains of a limit; without Redis, rate limits are counted in the server, where no command sees."""
    if room is None:
        return None
    return {
        "limit": room.limit,
        "remaining": room.remaining if is_known else None,
        "reset": utc_text(room.reset) if is_known and room.reset else None,
    }


def _room_text(room: Mapping[str, Any] | None) -> str | None:
    if room is None:
        return None
    if room["remaining"] is None:
        return f"{room['limit']}; only the server knows how many are left"
    refill = f", more at {room['reset']}" if room["reset"] else ""
    return f"{room['remaining']} of {room['limit']} left{refill}"


def _json_text(value: Any) -> str | None:
    return orjson.dumps(value).decode() if value else None


_TEXTS: Mapping[str, Callable[[Any], str | None]] = {
    "permissions": ", ".join,
    "expires_at": time_text,
    "rate_limit": rate_limit_text,
    "quota": quota_text,
    "allowed_networks": ", ".join,
    "metadata": _json_text,
}


def _secret_notes(secrets: Iterable[KeySecret]) -> Iterator[tuple[str, str]]:
    """Yield a line for each secret that was rotated out and is still good, or that leaked."""
    now = timezone.now()
    for secret in secrets:
        mask = keyformat.masked(secret.hint)
        if secret.leaked_at is not None:
            where = secret.leaked_where or "unknown"
            yield "leaked", f"{mask} reported {time_text(secret.leaked_at)}, seen at: {where}"
        elif secret.expires_at is not None and secret.expires_at > now:
            used = time_text(secret.last_used_at) or "never"
            yield "old secret", f"{mask} good until {time_text(secret.expires_at)}, last used {used}"
