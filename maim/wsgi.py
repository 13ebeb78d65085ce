"""The one WSGI application: `serve`, `runserver` and tests all run this."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterable
from functools import cache, partial
from http import HTTPStatus
from typing import Any, cast

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "maim.settings")
django.setup(set_prefix=False)

# What follows reads the settings and the models, which exist from here on.
from django.conf import settings  # noqa: E402
from django.contrib.staticfiles.finders import get_finders  # noqa: E402
from whitenoise import WhiteNoise  # noqa: E402

from core.http.surfaces import INTERNAL, handler_of, surface_of_port  # noqa: E402
from internal_api.fastpath import keys as shortcut  # noqa: E402

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Hands a request to the handler of the surface whose port it came in on."""
    surface = surface_of_port(environ["SERVER_PORT"])
    if surface is None:
        start_response("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", "0")])
        return [b""]
    if environ["PATH_INFO"].startswith(settings.STATIC_URL):
        return cast(Iterable[bytes], static_files()(environ, start_response))
    if surface == INTERNAL:
        asked = shortcut.request(
            environ["REQUEST_METHOD"],
            environ["PATH_INFO"],
            environ["SERVER_PORT"],
            partial(_header, environ),
            partial(_keep_body, environ),
        )
        if asked is not None:
            reply = asked.recalled() or shortcut.answered([asked])[0]
            asked.tally(reply)
            start_response(f"{reply.status} {HTTPStatus(reply.status).phrase}", reply.headers)
            return [reply.body]
    if not environ.get("CONTENT_LENGTH") and environ.get("wsgi.input_terminated"):
        _measure_body(environ)
    return handler_of(surface, environ["PATH_INFO"])(environ, start_response)


def _header(environ: Environ, name: str) -> str | None:
    """A header by its lower-case name."""
    variable = name.upper().replace("-", "_")
    found: str | None = environ.get(variable if variable.startswith("CONTENT_") else f"HTTP_{variable}")
    return found


def _keep_body(environ: Environ) -> bytes:
    """The body, which can be read once more after this."""
    body: bytes = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    environ["wsgi.input"] = io.BytesIO(body)
    return body


PIECE_BYTES = 4096
# A body of the largest size takes some milliseconds; one that comes byte by byte would take seconds.
MAX_READING_SECONDS = 0.1


def _measure_body(environ: Environ) -> None:
    """Give a chunked body the length that WSGI, and so Django, needs to see it at all.

    One byte past the limit is enough for the surface's middleware to refuse it. A body in so many chunks that reading
    it takes this thread more than MAX_READING_SECONDS of processor time counts as such a one.
    """
    pieces: list[bytes] = []
    left, began = settings.MAX_BODY_BYTES + 1, time.thread_time()
    while left and (piece := environ["wsgi.input"].read(min(left, PIECE_BYTES))):
        pieces.append(piece)
        left -= len(piece)
        if time.thread_time() - began > MAX_READING_SECONDS:
            left = 0
    environ["CONTENT_LENGTH"] = str(settings.MAX_BODY_BYTES + 1 - left)
    environ["wsgi.input"] = io.BytesIO(b"".join(pieces))


def _no_such_file(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", "0")])
    return [b""]


@cache
def static_files() -> WhiteNoise:
    """The assets of the admin and of the API pages, straight out of the installed packages."""
    files = WhiteNoise(_no_such_file, max_age=3600)
    for finder in get_finders():
        for storage in {storage for _, storage in finder.list([])}:
            files.add_files(storage.location, prefix=settings.STATIC_URL)
    return files
