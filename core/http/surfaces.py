"""The two surfaces, told apart by the port of the connection (docs/contract.md section 1).

The port is that of the server's own socket, never one that the client names. Each surface has its own Django handler
with its own URLs and middleware. A port of neither surface serves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from django.conf import settings
from django.core.handlers.exception import convert_exception_to_response
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.utils.http import parse_header_parameters
from django.utils.module_loading import import_string

from core.setting_types import Bind


@dataclass(frozen=True, kw_only=True, eq=False)
class Surface:
    """One of maim's two APIs: its address, URLs and middleware. There is one object for each."""

    name: str
    bind: Bind
    urlconf: str
    middleware: tuple[str, ...]
    threads: int


PUBLIC = Surface(
    name="public",
    bind=settings.ENV.public_bind,
    urlconf=settings.ROOT_URLCONF,
    middleware=tuple(settings.PUBLIC_MIDDLEWARE),
    # Password hashing may hold twenty of them (accounts.hashers); the others keep serving.
    threads=32,
)
INTERNAL = Surface(
    name="internal",
    bind=settings.ENV.internal_bind,
    urlconf=settings.INTERNAL_URLCONF,
    middleware=tuple(settings.INTERNAL_MIDDLEWARE),
    threads=12,
)
SURFACES = (PUBLIC, INTERNAL)
_SURFACE_OF_PORT = {str(surface.bind.port): surface for surface in SURFACES}


def surface_of_port(port: str | int) -> Surface | None:
    """Return the surface that listens on this port, or None."""
    return _SURFACE_OF_PORT.get(str(port))


class Request(WSGIRequest):
    """A request that always decodes as UTF-8 and survives a malformed Content-Type.

    Django decodes by the codec that the header names, and raises before any handler runs if it is not a text codec
    (`charset=base64`).
    """

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        try:
            self.content_type, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))
        except ValueError:
            # Set for later readers, because a body of an unknown type gets 415, and one without a type does not.
            self.content_type, self.content_params = "application/octet-stream", {}
            meta["CONTENT_TYPE"] = self.content_type


class AdminHandler(WSGIHandler):
    """Django's handler with all of `settings.MIDDLEWARE`, and with our request class."""

    request_class = Request


class SurfaceHandler(AdminHandler):
    """Django's handler with its surface's middleware in place of `settings.MIDDLEWARE`.

    The loader is short because that middleware uses none of Django's view, template or exception hooks.
    """

    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        super().__init__()

    def load_middleware(self, is_async: bool = False) -> None:
        self._view_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []
        handler = convert_exception_to_response(self._get_response)  # type: ignore[attr-defined]  # not in the stubs
        for path in reversed(self._surface.middleware):
            handler = convert_exception_to_response(import_string(path)(handler))
        self._middleware_chain = handler


def handler_of(surface: Surface, path: str) -> WSGIHandler:
    """Return the Django handler of a path on a surface. The admin has one of its own."""
    return _admin_handler() if surface == PUBLIC and path.startswith("/admin") else _handler(surface)


# Each is built once in a process.
_admin_handler = cache(AdminHandler)
_handler = cache(SurfaceHandler)
