"""Small JSON bodies as the fast path takes them. All others are for Django to read or to refuse."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from core import strict_json
from internal_api.fastpath.base import Request


def has_small_json(request: Request, max_bytes: int) -> bool:
    """Return whether the request has a body of at most so many bytes, which its headers say is plain JSON."""
    return (
        len(request.body) <= max_bytes
        and _is_json(request.header("content-type") or "")
        and request.header("content-encoding") is None
    )


def json_object(content: bytes) -> dict[str, Any] | None:
    """Return the JSON object of a body, or None for anything else."""
    try:
        document = strict_json.loads(content)
    except strict_json.NotAcceptable:
        return None
    return document if isinstance(document, dict) else None


@lru_cache(maxsize=64)
def _is_json(content_type: str) -> bool:
    media_type, _, parameters = content_type.lower().partition(";")
    return (
        media_type.strip() == "application/json"
        and parameters.strip() in ("", "charset=utf-8")  # Django refuses some others
    )
