"""What is known of a request before anybody looks at its content."""

from __future__ import annotations

from typing import NamedTuple

from django.http import HttpRequest

_ATTRIBUTE = "maim_scope"


class RequestContext(NamedTuple):
    """`started` is a `time.perf_counter()` reading; `address` the client's, behind trusted proxies."""

    started: float
    request_id: str
    address: str

    def attach_to(self, request: HttpRequest) -> None:
        setattr(request, _ATTRIBUTE, self)

    @staticmethod
    def of(request: HttpRequest) -> RequestContext:
        """The scope that RequestContextMiddleware attached."""
        scope: RequestContext = getattr(request, _ATTRIBUTE)
        return scope
