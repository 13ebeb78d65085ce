"""The servers that maim is compared with. Each sends a constant response from one thread of Granian.

python -m bench.references django 18001
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server import Server

PATH = "/constant"
_ANSWER = b'{"constant":true}'
_LENGTH = str(len(_ANSWER))

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def constant(request: HttpRequest) -> HttpResponse:
    """Return a constant response, with its JSON already encoded.

    It sets Content-Length, as CommonMiddleware would. Without it the response is sent in chunks and takes twice as
    long, which would make maim look better than it is.
    """
    return HttpResponse(_ANSWER, content_type="application/json", headers={"Content-Length": _LENGTH})


urlpatterns = [path(PATH[1:], constant)]


def django_view() -> Application:
    """Django with one view and no middleware."""
    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1"], MIDDLEWARE=[])
    django.setup()
    return get_wsgi_application()


def wsgi_function() -> Application:
    """No framework at all."""

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", _LENGTH)])
        return [_ANSWER]

    return application


FACTORIES = {"django": django_view, "wsgi": wsgi_function}


def main(name: str, port: str) -> None:
    """Serve one of them on loopback until SIGTERM."""
    Server(
        f"bench.references:{FACTORIES[name].__name__}",
        factory=True,
        address="127.0.0.1",
        port=int(port),
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        websockets=False,
        workers=1,
        blocking_threads=1,
        log_level=LogLevels.error,
    ).serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
