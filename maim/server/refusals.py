"""Replies of the event loop to requests that nothing handles, in the shape and language that Django would choose.

They cost little, because an overloaded server sends thousands of them a second.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from core.errors import DomainError, Unavailable
from core.http import metrics, responses
from core.http.problems import plain_problem
from core.http.responses import ENVELOPE_LANGUAGE, error_body, problem_envelope
from core.http.surfaces import PUBLIC, Surface
from internal_api.fastpath import Reply, Request
from internal_api.fastpath.replies import NOSNIFF, json_reply


class Busy(Unavailable):
    """More requests than the surface has threads for, or more connections than it serves."""

    message = _("Too many requests are waiting, try again shortly")


def refuse(surface: Surface, request: Request, error: Callable[[], DomainError]) -> Reply:
    """Return the reply to a request that is refused with this kind of error, and count it in the metrics."""
    context = request.context()
    is_enveloped = responses.is_enveloped(surface, request.path)
    language = ENVELOPE_LANGUAGE if is_enveloped else _language(request.header("accept-language") or "")
    problem = plain_problem(error, language)
    metrics.record_refusal(request.port, request.method, problem.status)
    headers = dict(problem.headers)
    if surface == PUBLIC:
        headers |= _headers_for_browsers(request)
    if surface == PUBLIC and request.path.startswith("/admin"):
        return _page(context.request_id, problem.status, problem.detail, headers)
    document = problem_envelope(context, problem) if is_enveloped else error_body(problem)
    return json_reply(context, problem.status, document, headers)


def _headers_for_browsers(request: Request) -> dict[str, str]:
    """Return headers that Django's middleware for languages and that for other origins would set."""
    headers = {"Vary": "Accept-Language"}
    if re.match(settings.CORS_URLS_REGEX, request.path):
        headers["Vary"] += ", origin"
        origin = request.header("origin")
        if origin in settings.CORS_ALLOWED_ORIGINS:
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Expose-Headers"] = ", ".join(settings.CORS_EXPOSE_HEADERS)
    return headers


def _page(request_id: str, status: int, text: str, headers: dict[str, str]) -> Reply:
    """Return a sentence to be read in a browser."""
    body = text.encode()
    always = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("X-Request-ID", request_id),
        NOSNIFF,
    ]
    return Reply(status, [*always, *headers.items()], body)


@lru_cache(maxsize=256)
def _language(accept_language: str) -> str:
    """Return the language that LocaleMiddleware would choose by this header."""
    request = HttpRequest()
    request.META["HTTP_ACCEPT_LANGUAGE"] = accept_language
    return translation.get_language_from_request(request)
