"""Requests to the fast path, without a server."""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings

from core.http.surfaces import INTERNAL
from internal_api import fastpath
from internal_api.fastpath import Handler, Headers, Reply, Request
from maim.server.exchange import Exchange, Peer

Header = tuple[str, str]


def headers_of(headers: Iterable[Header]) -> Headers:
    """Return headers as they come from a socket."""
    return Headers((name.encode(), value.encode()) for name, value in headers)


class Client:
    """A connection whose client stays, and takes no response."""

    def __init__(self) -> None:
        self.peer, self.port = Peer("127.0.0.1", 54321), str(INTERNAL.bind.port)
        self.max_body_bytes: int = settings.MAX_BODY_BYTES
        self.keeps_connections, self.has_too_many_connections = True, False

    def write(self, data: bytes) -> None:
        """Take nothing, because tests read what was to be written (`Answered.reply`)."""


class Answered(Exchange):
    """A request without a connection, whose whole body is there, and the reply to it.

    One that gives its body no length has none (RFC 9112, section 6.3).
    """

    def __init__(self, method: str, target: str, headers: Iterable[Header], body: bytes = b"") -> None:
        super().__init__(Client(), method, target.encode(), "1.1", headers_of(headers))
        if "content-length" in self.headers or "transfer-encoding" in self.headers:
            self.add_to_body(body)
        self.end_body(keeps_alive=True)
        self.reply: Reply | None = None

    def respond(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.reply = Reply(status, headers, body)


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
    return fastpath.match(Request(method, path, query, str(port), headers_of(all_headers.items()), body))


def reply_to(handler: Handler) -> Reply | None:
    """Return the reply that the server would send, and count it. Return None if it would ask Django."""
    reply = handler.cached_reply() or type(handler).reply_all([handler])[0]
    if reply is not None:
        handler.record(reply)
    return reply
