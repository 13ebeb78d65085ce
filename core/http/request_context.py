"""The context of a request: when it started, its id, and the client's address."""

from __future__ import annotations

from typing import NamedTuple

from django.http import HttpRequest

_ATTRIBUTE = "maim_context"


class RequestContext(NamedTuple):
    """A request's context. `started` is a `time.perf_counter()` value; `address` is the client's behind the proxies."""

    started: float
    request_id: str
    address: str

    def attach_to(self, request: HttpRequest) -> None:
        setattr(request, _ATTRIBUTE, self)

    @staticmethod
    def of(request: HttpRequest) -> RequestContext:
        """Return the context that RequestContextMiddleware attached."""
        context: RequestContext = getattr(request, _ATTRIBUTE)
        return context
