"""The middleware of the admin: from where it answers, and what other sites may do with its pages."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from core.http.addresses import may_reach_admin
from core.http.problems import UnknownPath
from core.http.request_context import RequestContext
from core.http.responses import problem_response

GetResponse = Callable[[HttpRequest], HttpResponse]


class AdminNetworksMiddleware:
    """Middleware that answers clients outside of MAIM_ADMIN_NETWORKS as if there were no admin, first of all."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not may_reach_admin(RequestContext.of(request).address):
            return problem_response(request, UnknownPath())
        return self.get_response(request)


class CrossOriginMiddleware:
    """Middleware that keeps other sites from loading the admin's responses, and the admin from loading theirs.

    Cross-Origin-Opener-Policy is Django's, on the whole public surface.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response["Cross-Origin-Resource-Policy"] = "same-origin"
        response["Cross-Origin-Embedder-Policy"] = "require-corp"
        return response
