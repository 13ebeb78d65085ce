"""The error handlers of both surfaces, which Django calls where no view responds."""

from __future__ import annotations

import sys

from django.http import HttpRequest, HttpResponse
from django.views import defaults

from core.errors import Forbidden, Invalid, Unavailable
from core.http.problems import NOT_REACHABLE, Fault, UnknownPath
from core.http.responses import problem_response
from core.http.surfaces import PUBLIC, surface_of_port


def _is_for_admin(request: HttpRequest) -> bool:
    """Return whether the request is for the admin, whose errors are pages. Only the public surface has it."""
    return surface_of_port(request.META["SERVER_PORT"]) == PUBLIC and request.path_info.startswith("/admin")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_for_admin(request):
        return defaults.bad_request(request, exception)
    return problem_response(request, Invalid({"body": [Invalid.message]}, detail=Invalid.message))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_for_admin(request):
        return defaults.permission_denied(request, exception)
    return problem_response(request, Forbidden())


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_for_admin(request):
        return defaults.page_not_found(request, exception)
    return problem_response(request, UnknownPath())


def server_error(request: HttpRequest) -> HttpResponse:
    """Respond to an exception outside of API views: 503 if a dependency does not answer, and otherwise 500."""
    is_unavailable = isinstance(sys.exc_info()[1], NOT_REACHABLE)
    if not _is_for_admin(request):
        return problem_response(request, Unavailable() if is_unavailable else Fault())
    if not is_unavailable:
        return defaults.server_error(request)
    error = Unavailable()
    headers = {"Retry-After": str(error.retry_after)}
    return HttpResponse(str(error.detail), content_type="text/plain; charset=utf-8", status=503, headers=headers)
