"""Requests to the fast path, without a server."""

from __future__ import annotations

from collections.abc import Sequence

from core.http.surfaces import INTERNAL
from internal_api import fastpath
from internal_api.fastpath import Handler, Reply, Request

Header = tuple[str, str]


class Headers:
    """Headers as Granian has them: names in lower case; a value that is not ASCII is present and cannot be read."""

    def __init__(self, headers: Sequence[Header]) -> None:
        self._headers = headers

    def keys(self) -> list[str]:
        return list(dict(self._headers))

    def get_all(self, name: str) -> list[str]:
        return [value for each, value in self._headers if each == name and value.isascii()]

    def get(self, name: str, default: str | None = None) -> str | None:
        return next(iter(self.get_all(name)), default)

    def __contains__(self, name: object) -> bool:
        return name in dict(self._headers)


def match(
    method: str,
    path: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    *,
    query: str = "",
    port: int = INTERNAL.bind.port,
) -> Handler | None:
    """Return the handler of a request from this machine, as the server finds it."""
    all_headers = {"host": "localhost", **(headers or {})}
    if body:
        all_headers = {"content-type": "application/json", "content-length": str(len(body)), **all_headers}
    return fastpath.match(Request(method, path, query, str(port), Headers(list(all_headers.items())), body))


def reply_to(handler: Handler) -> Reply | None:
    """Return the reply that the server would send, and count it. Return None if it would ask Django."""
    reply = handler.cached_reply() or type(handler).reply_all([handler])[0]
    if reply is not None:
        handler.record(reply)
    return reply
