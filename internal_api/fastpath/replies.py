"""Whole HTTP answers, made below Django in the words of the views."""

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

log = logging.getLogger("core.http")


class Reply(NamedTuple):
    """A whole HTTP answer; `code` is the verdict in it, where one was asked for."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    code: str | None = None


def written(
    scope: RequestContext,
    status: int,
    document: Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
    code: str | None = None,
) -> Reply:
    """A document as JSON."""
    body = orjson.dumps(document)
    always = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("X-Request-ID", scope.request_id),
    ]
    return Reply(status, [*always, *headers.items()] if headers else always, body, code)


def refusal(scope: RequestContext, error: DomainError, code: str | None = None) -> Reply:
    """What a view would make of the error."""
    with translation.override(ENVELOPE_LANGUAGE):
        problem = problem_of(error)
        assert problem is not None
        return written(scope, problem.status, problem_envelope(scope, problem), problem.headers, code)


def fault(scope: RequestContext) -> Reply:
    """A bug of ours, whose exception is being handled: the log has it."""
    request_id.enter(scope.request_id)
    log.exception("a fault below Django")
    return refusal(scope, Fault())
