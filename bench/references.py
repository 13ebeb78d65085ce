"""The servers that maim is compared with: bare Django, and what Granian alone can do in one thread.

python -m bench.references django 18001
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import django
import orjson
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from granian.constants import Interfaces

from bench.one_worker import serve

PATH = "/constant"
_ANSWER = b'{"constant":true}'
_LENGTH = str(len(_ANSWER))
_HEADERS = [("Content-Type", "application/json"), ("Content-Length", _LENGTH)]

WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
RsgiApplication = Callable[[Any, Any], Awaitable[None]]


def constant(request: HttpRequest) -> HttpResponse:
    """Return a constant response, with its JSON already encoded.

    It sets Content-Length, as CommonMiddleware would. Without it the response is sent in chunks and takes twice as
    long, which would make maim look better than it is.
    """
    return HttpResponse(_ANSWER, content_type="application/json", headers={"Content-Length": _LENGTH})


urlpatterns = [path(PATH[1:], constant)]


def django_view() -> WsgiApplication:
    """Return Django with one view and no middleware."""
    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1"], MIDDLEWARE=[])
    django.setup()
    return get_wsgi_application()


def wsgi_function() -> WsgiApplication:
    """Return a function without any framework."""

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", _HEADERS)
        return [_ANSWER]

    return application


def rsgi_constant() -> RsgiApplication:
    """Return a constant from the event loop, without reading the body."""

    async def application(scope: Any, protocol: Any) -> None:
        protocol.response_bytes(200, _HEADERS, _ANSWER)

    return application


def rsgi_body() -> RsgiApplication:
    """Return a constant from the event loop after reading the body."""

    async def application(scope: Any, protocol: Any) -> None:
        await protocol()
        protocol.response_bytes(200, _HEADERS, _ANSWER)

    return application


def rsgi_json() -> RsgiApplication:
    """Read a JSON body on the event loop, and return a document as long as a verdict on a key: the least to be done."""

    async def application(scope: Any, protocol: Any) -> None:
        sent = orjson.loads(await protocol())
        body = orjson.dumps({**_VERDICT, "request_id": sent["api_key"][-20:]})
        protocol.response_bytes(200, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))], body)

    return application


_VERDICT = {
    "success": True,
    "message": "The API key is valid",
    "data": {
        "valid": True,
        "tenant_id": "tenant_0123456789ab",
        "agent_id": "agent_0123456789ab",
        "api_key_id": "key_0123456789ab",
        "permissions": ["chat", "config_read"],
        "has_permission": True,
        "status": "active",
        "key_name": "Key 1234",
        "expires_at": None,
        "agent_name": "Agent",
        "config_version": None,
        "rate_limit": None,
        "quota": None,
        "code": "VALID",
    },
    "timestamp": "2030-01-31T12:00:00Z",
    "tenant_id": "tenant_0123456789ab",
    "execution_time": 0.000123,
    "error": None,
    "error_code": None,
}

FACTORIES = {
    "django": (django_view, Interfaces.WSGI),
    "wsgi": (wsgi_function, Interfaces.WSGI),
    "rsgi": (rsgi_constant, Interfaces.RSGI),
    "rsgi_body": (rsgi_body, Interfaces.RSGI),
    "rsgi_json": (rsgi_json, Interfaces.RSGI),
}


def main(name: str, port: str) -> None:
    """Serve one of them on loopback until SIGTERM."""
    factory, interface = FACTORIES[name]
    serve(f"bench.references:{factory.__name__}", int(port), interface)


if __name__ == "__main__":
    main(*sys.argv[1:])
