"""Django's test client, for a surface."""

from __future__ import annotations

import json
from typing import Any, cast

from django.http import HttpRequest, HttpResponse
from django.test.client import Client, ClientHandler

from core.http.surfaces import PUBLIC, Surface, handler_of, surface_of_port


class _SurfaceHandler(ClientHandler):
    """A handler that sends each request through that of its surface, as `maim.wsgi` does."""

    def load_middleware(self, is_async: bool = False) -> None:
        self._middleware_chain = _respond


def _respond(request: HttpRequest) -> HttpResponse:
    surface = surface_of_port(request.META["SERVER_PORT"])
    assert surface is not None, "a test request names a port that no surface has"
    return cast(HttpResponse, handler_of(surface, request.path_info).get_response(request))


class SurfaceClient(Client):
    """A client that speaks JSON to one surface, with a token if it is given one."""

    def __init__(self, surface: Surface = PUBLIC, token: str | None = None) -> None:
        super().__init__(raise_request_exception=False)
        self.handler = _SurfaceHandler(enforce_csrf_checks=False)
        self._environ = {"SERVER_PORT": str(surface.bind.port), "HTTP_HOST": f"localhost:{surface.bind.port}"}
        if token is not None:
            self._environ["HTTP_AUTHORIZATION"] = f"Bearer {token}"

    def generic(self, method: str, path: Any, *args: Any, **extra: Any) -> Any:
        return super().generic(method, path, *args, **{**self._environ, **extra})

    def send(self, method: str, path: str, body: Any = None, **extra: Any) -> Any:
        """Send `body` as JSON, or no body if it is None."""
        content = b"" if body is None else json.dumps(body).encode()
        return self.generic(method, path, content, "application/json", **extra)


def context_of(response: Any) -> dict[str, Any]:
    """Return what the view of a page gave its template."""
    context: dict[str, Any] = response.context_data
    return context
