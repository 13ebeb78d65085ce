"""Responses that tell of a change that somebody else made."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from rest_framework.permissions import SAFE_METHODS

from core import approvals

# The statuses of refusals that can reveal the change of another request.
_STATUSES = frozenset({404, 409, 410, 412})


class PropagationMiddleware:
    """Middleware that lets no response tell sooner of a change than the response to the change itself.

    A service waits until no worker answers from before its change. Somebody else may find the change made while it
    waits: the key that they delete is gone, or the one that they disable has another revision. From that they conclude
    what the response to the change promises. Pages of the admin say such things with any status.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if _may_tell_of_a_change(request, response):
            approvals.wait_for_changes_of_others()
        return response


def _may_tell_of_a_change(request: HttpRequest, response: HttpResponse) -> bool:
    if request.method in SAFE_METHODS or request.resolver_match is None:  # without a view, nothing was looked up
        return False
    return response.status_code in _STATUSES or request.path_info.startswith("/admin/")
