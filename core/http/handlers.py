"""The error handlers of both surfaces, which Django calls where no view responds."""

from __future__ import annotations

import sys

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext_lazy as _

from core.errors import DomainError, Forbidden, Invalid, Unavailable
from core.http.problems import NOT_REACHABLE, Fault, UnknownPath, problem_of
from core.http.responses import problem_response
from core.http.surfaces import PUBLIC, surface_of_port

_FORM_NOT_TRUSTED = _(
    "The form was not accepted, and nothing was saved: it is too old, or came from another page. Open the page again. "
    "If that does not help, an operator should check whether MAIM_PUBLIC_URL is what the browser shows, and whether "
    "the browser keeps cookies."
)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _respond(request, Invalid({"body": [Invalid.message]}, detail=Invalid.message))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _respond(request, Forbidden())


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Respond to a form without a valid token. Django logs the reason."""
    return _respond(request, Forbidden(_FORM_NOT_TRUSTED))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _respond(request, UnknownPath())


def server_error(request: HttpRequest) -> HttpResponse:
    """Respond to an exception outside of API views: 503 if a dependency does not answer, and otherwise 500."""
    return _respond(request, Unavailable() if isinstance(sys.exc_info()[1], NOT_REACHABLE) else Fault())


def _respond(request: HttpRequest, error: DomainError) -> HttpResponse:
    """Return the response in the surface's shape; for the admin, which only the public surface has, a page."""
    is_for_admin = surface_of_port(request.META["SERVER_PORT"]) == PUBLIC and request.path_info.startswith("/admin")
    return _page(error) if is_for_admin else problem_response(request, error)


def _page(error: DomainError) -> HttpResponse:
    """Return an error as a page. It asks neither database nor session, because these may be what has failed."""
    problem = problem_of(error)
    assert problem is not None
    return HttpResponse(
        render_to_string("maim/error.html", {"problem": problem}), status=problem.status, headers=problem.headers
    )
