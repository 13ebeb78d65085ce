"""HTTP responses, written without Django as the views would write them."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
from django.utils import translation

from core.errors import DomainError, Unavailable
from core.http import request_id
from core.http.problems import Fault, plain_problem, problem_of
from core.http.request_context import RequestContext
from core.http.responses import ENVELOPE_LANGUAGE, problem_envelope, timestamp

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
    always = _headers(context.request_id, len(body))
    return Reply(status, [*always, *headers.items()] if headers else always, body, verdict)


def finished_reply(context: RequestContext, message: str, data: bytes, tenant_id: str, verdict: str) -> Reply:
    """Return a successful response whose `data` is finished JSON.

    It is what `json_reply` makes of `core.http.responses.envelope`, in a quarter of the time.
    """
    request_id = context.request_id
    body = b'{"success":true,"message":%b,"data":%b,"timestamp":"%b","request_id":"%b","tenant_id":%b,%b%.6f,%b' % (
        orjson.dumps(message),
        data,
        timestamp().encode(),
        request_id.encode(),  # of characters that JSON does not escape
        orjson.dumps(tenant_id),
        b'"execution_time":',
        time.perf_counter() - context.started,
        b'"error":null,"error_code":null}',
    )
    return Reply(200, _headers(request_id, len(body)), body, verdict)


def error_reply(context: RequestContext, error: DomainError, verdict: str | None = None) -> Reply:
    """Return the response that a view would make of the error."""
    with translation.override(ENVELOPE_LANGUAGE):
        problem = problem_of(error)
        assert problem is not None
        return json_reply(context, problem.status, problem_envelope(context, problem), problem.headers, verdict)


def unavailable_reply(context: RequestContext) -> Reply:
    """Return the response to a request for which the database or Redis is too slow."""
    problem = plain_problem(Unavailable, ENVELOPE_LANGUAGE)
    return json_reply(context, problem.status, problem_envelope(context, problem), problem.headers)


def fault_reply(context: RequestContext) -> Reply:
    """Log the exception that is being handled, which is a bug, and return the response to it."""
    request_id.enter(context.request_id)
    log.exception("a fault below Django")
    return error_reply(context, Fault())


def _headers(request_id: str, length: int) -> list[tuple[str, str]]:
    return [
        ("Content-Type", "application/json"),
        ("Content-Length", str(length)),
        ("X-Request-ID", request_id),
        NOSNIFF,
    ]
