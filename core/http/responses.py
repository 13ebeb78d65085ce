"""The shapes of responses: v1's error object and v2's envelope (docs/contract.md sections 3 and 8)."""

from __future__ import annotations

import time
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.urls import is_valid_path
from django.utils import translation

from core.errors import DomainError, Text
from core.http.problems import Problem, problem_of
from core.http.request_context import RequestContext
from core.http.surfaces import INTERNAL, PUBLIC, Surface, surface_of_port

ENVELOPE_LANGUAGE = "zh-hans"  # the bots' operators read Chinese, whatever their HTTP library sends


def utc_text(moment: datetime) -> str:
    """Return a time in ISO 8601, in UTC with `Z`, with microseconds only if there are any."""
    in_utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return f"{in_utc.isoformat().removesuffix('+00:00')}Z"


def timestamp() -> str:
    """Return the time of a response, in whole seconds."""
    return _whole_second(int(time.time()))


@lru_cache(maxsize=2)
def _whole_second(seconds: int) -> str:
    return utc_text(datetime.fromtimestamp(seconds, UTC))


def error_body(problem: Problem) -> dict[str, Any]:
    """Return v1's error object."""
    return {"detail": problem.detail, "code": problem.code, **_members(problem)}


def _members(problem: Problem) -> dict[str, Any]:
    errors = {} if problem.errors is None else {"errors": problem.errors}
    return {**errors, **problem.extra}


def envelope(
    context: RequestContext,
    *,
    success: bool,
    message: Text,
    data: Any = None,
    tenant_id: str | None = None,
    error: Text | None = None,
    error_code: str | None = None,
) -> dict[str, Any]:
    """Return v2's envelope: all nine keys, in this order."""
    return {
        "success": success,
        "message": str(message),
        "data": data,
        "timestamp": timestamp(),
        "request_id": context.request_id,
        "tenant_id": tenant_id,
        "execution_time": round(time.perf_counter() - context.started, 6),
        "error": None if error is None else str(error),
        "error_code": error_code,
    }


def problem_envelope(context: RequestContext, problem: Problem) -> dict[str, Any]:
    """Return v2's envelope of an error."""
    return envelope(
        context,
        success=False,
        message=problem.message,
        data=_members(problem) or None,
        error=problem.detail,
        error_code=problem.code,
    )


_ENVELOPED_ON_PUBLIC = ("/api/v1/tenants", "/api/v1/api-keys")
_PLAIN_ON_INTERNAL = "/api/v1/plugins"


def is_enveloped(surface: Surface, path: str) -> bool:
    """Return whether responses of a path use the envelope, also where there is no view.

    Paths of the APIs are not resolved: an overloaded server asks for thousands a second, with an id of its own in each.
    """
    if surface == PUBLIC:
        return path.startswith(_ENVELOPED_ON_PUBLIC)
    if path.startswith("/api/"):
        return not path.startswith(_PLAIN_ON_INTERNAL)
    return not _is_of_internal_view(path)


@lru_cache(maxsize=256)
def _is_of_internal_view(path: str) -> bool:
    return bool(is_valid_path(path, INTERNAL.urlconf))


def problem_response(request: HttpRequest, error: DomainError) -> JsonResponse:
    """Return the response for an error outside of a view, in the surface's shape."""
    enveloped = is_enveloped(surface_of_port(request.META["SERVER_PORT"]) or PUBLIC, request.path_info)
    with translation.override(ENVELOPE_LANGUAGE) if enveloped else nullcontext():
        problem = problem_of(error)
    assert problem is not None
    body = problem_envelope(RequestContext.of(request), problem) if enveloped else error_body(problem)
    return JsonResponse(body, status=problem.status, headers=problem.headers, json_dumps_params={"ensure_ascii": False})
