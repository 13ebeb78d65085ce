"""The WSGI application, for `serve`, `runserver` and tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, cast

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "maim.settings")
django.setup(set_prefix=False)

# These modules read settings and models, which are ready only now.
from django.conf import settings  # noqa: E402  # see above
from django.contrib.staticfiles.finders import get_finders  # noqa: E402  # see above
from whitenoise import WhiteNoise  # noqa: E402  # see above

from core.http.surfaces import handler_of, surface_of_port  # noqa: E402  # see above

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Hand a request to the handler of the surface on whose port it arrived."""
    surface = surface_of_port(environ["SERVER_PORT"])
    if surface is None:
        start_response("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", "0")])
        return [b""]
    if environ["PATH_INFO"].startswith(settings.STATIC_URL):
        return cast(Iterable[bytes], static_files()(environ, start_response))
    return handler_of(surface, environ["PATH_INFO"])(environ, start_response)


def _no_such_file(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", "0")])
    return [b""]


def _refuse_sniffing(headers: Any, path: str, url: str) -> None:
    headers["X-Content-Type-Options"] = "nosniff"


@cache
def static_files() -> WhiteNoise:
    """Return an application that serves the assets of the admin and the API pages from the installed packages."""
    files = WhiteNoise(_no_such_file, max_age=3600, add_headers_function=_refuse_sniffing)
    for finder in get_finders():
        for storage in {storage for _, storage in finder.list([])}:
            files.add_files(storage.location, prefix=settings.STATIC_URL)
    return files
