"""HTTP responses, written without Django as the views would write them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
from django.utils import translation

from core.errors import DomainError
from core.http import request_id
from core.http.problems import Fault, problem_of
from core.http.request_context import RequestContext
from core.http.responses import ENVELOPE_LANGUAGE, problem_envelope

NOSNIFF = ("X-Content-Type-Options", "nosniff")
log = logging.getLogger("maim.http")


class Reply(NamedTuple):
    """A whole HTTP response. `verdict` is the code to count in the metrics of verifications, if it is one."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    verdict: str | None = None


def json_reply(
    context: RequestContext,
    status: int,
    document: Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
    verdict: str | None = None,
) -> Reply:
    body = orjson.dumps(document)
    always = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("X-Request-ID", context.request_id),
        NOSNIFF,
    ]
    return Reply(status, [*always, *headers.items()] if headers else always, body, verdict)


def error_reply(context: RequestContext, error: DomainError, verdict: str | None = None) -> Reply:
    """Return the response that a view would make of the error."""
    with translation.override(ENVELOPE_LANGUAGE):
        problem = problem_of(error)
        assert problem is not None
        return json_reply(context, problem.status, problem_envelope(context, problem), problem.headers, verdict)


def fault_reply(context: RequestContext) -> Reply:
    """Log the exception that is being handled, which is a bug, and return the response to it."""
    request_id.enter(context.request_id)
    log.exception("a fault below Django")
    return error_reply(context, Fault())
