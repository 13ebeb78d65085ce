"""What Django calls when no view answers; each surface's urlconf names these."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views import defaults

from core.errors import Forbidden, Invalid
from core.http.problems import Fault, UnknownPath
from core.http.responses import problem_response
from core.http.surfaces import PUBLIC, surface_of_port


def _is_page(request: HttpRequest) -> bool:
    """Whether a browser shows it: the admin, which only the public surface has."""
    return surface_of_port(request.META["SERVER_PORT"]) == PUBLIC and request.path_info.startswith("/admin")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_page(request):
        return defaults.bad_request(request, exception)
    return problem_response(request, Invalid({"body": [Invalid.message]}, detail=Invalid.message))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_page(request):
        return defaults.permission_denied(request, exception)
    return problem_response(request, Forbidden())


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_page(request):
        return defaults.page_not_found(request, exception)
    return problem_response(request, UnknownPath())


def server_error(request: HttpRequest) -> HttpResponse:
    if _is_page(request):
        return defaults.server_error(request)
    return problem_response(request, Fault())
