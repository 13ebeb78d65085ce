"""A request of the server (maim.server.http1), and the response to it."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from core.http import request_id
from internal_api.fastpath import Headers, Request

HTTP_VERSIONS = frozenset({"1.0", "1.1"})  # of HTTP
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_STATUSES_WITHOUT_BODY = frozenset({204, 304})


class ClientGone(Exception):
    """A client that closed its connection, or sent what is not HTTP, before anything began to handle its request."""


class Peer(NamedTuple):
    """The address of a client."""

    host: str
    port: int


class Client(Protocol):
    """The connection that a request came on. `port` is the surface's."""

    peer: Peer
    port: str
    max_body_bytes: int

    @property
    def keeps_connections(self) -> bool:
        """True while the server keeps connections open after a response."""

    @property
    def has_too_many_connections(self) -> bool:
        """True while the server has more connections than it serves."""

    def write(self, data: bytes) -> None:
        """Send bytes. Do nothing if the connection is closed."""


class Exchange(Request):
    """A request whose head has arrived, and the response to it.

    `keeps_alive` tells whether the connection stays open after the response. It is False until the body has been read
    to its end, because a trailer may say `Connection: close`.
    """

    __slots__ = (
        "_change",
        "_chunks",
        "_client",
        "has_whole_body",
        "http_version",
        "is_answered",
        "is_client_gone",
        "is_late",
        "keeps_alive",
        "size",
    )

    def __init__(self, client: Client, method: str, target: bytes, http_version: str, headers: Headers) -> None:
        path, query, host = _parts_of(target)
        if host and len(headers.get_all("host")) == 1:
            headers.replace("host", host)  # as RFC 9112 demands, section 3.2.2
        super().__init__(method, path, query, client.port, headers)
        self._client = client
        self.http_version = http_version
        self.has_whole_body = self.keeps_alive = self.is_answered = self.is_client_gone = self.is_late = False
        self.size = 0
        self._chunks: list[bytes] = []
        self._change: asyncio.Future[None] | None = None

    @property
    def peer(self) -> Peer:
        """The address that the request came from."""
        return self._client.peer

    @property
    def has_too_many_connections(self) -> bool:
        """True while the server has more connections than it serves."""
        return self._client.has_too_many_connections

    @property
    def is_too_large(self) -> bool:
        """True if more has arrived than the surface accepts. The rest is dropped."""
        return self.size > self._client.max_body_bytes

    # ---- what the connection calls

    def add_to_body(self, chunk: bytes) -> None:
        if not self.is_too_large:
            self._chunks.append(chunk)
        self.size += len(chunk)
        if self.is_too_large:
            self._end_reading()

    def make_too_large(self) -> None:
        """Make the body too large, because too much has arrived around it, such as the sizes of a million chunks.

        Django refuses it by its length.
        """
        self._chunks = [bytes(self._client.max_body_bytes + 1)]
        self.size = len(self._chunks[0])
        self._end_reading()

    def end_body(self, *, keeps_alive: bool) -> None:
        self.has_whole_body, self.keeps_alive = True, keeps_alive
        self._end_reading()

    def lose_client(self) -> None:
        """Note that the client has gone, or sends what is not HTTP."""
        self.is_client_gone = True
        self._notify()

    def time_out(self) -> None:
        """Note that the body takes too long."""
        self.is_late = True
        self._notify()

    def _end_reading(self) -> None:
        self.body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._notify()

    # ---- what the application calls

    async def read_body(self) -> None:
        """Wait for the whole body, but not for the rest of one that is too large, which Django refuses.

        Raise ClientGone if it ends early, and TimeoutError if it takes too long.
        """
        if int(self.headers.get("content-length", "0")) > self._client.max_body_bytes:
            return  # its sender may be waiting for the refusal
        if self._expects_continue():
            self._client.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not (self.has_whole_body or self.is_too_large):
            if self.is_client_gone:
                raise ClientGone
            if self.is_late:
                raise TimeoutError
            await self._changed()

    def _expects_continue(self) -> bool:
        """Return whether the client waits for a word before it sends the body (RFC 9110, section 10.1.1)."""
        is_waiting = not self.has_whole_body and not self.size and self.http_version == "1.1"
        return is_waiting and (self.header("expect") or "").lower() == "100-continue"

    async def client_gone(self) -> None:
        """Return when the client has gone."""
        while not self.is_client_gone:
            await self._changed()

    def respond(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Send the response. If the body is left unread, the connection is not kept."""
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
        head = f"HTTP/1.1 {status} {_PHRASES.get(status, '')}\r\n{lines}Date: {_date(int(time.time()))}\r\n"
        if "\r\nContent-Length: " not in head and status not in _STATUSES_WITHOUT_BODY:
            head += f"Content-Length: {len(body)}\r\n"
        if not (self.keeps_alive and self._client.keeps_connections):
            self.keeps_alive = False
            head += "Connection: close\r\n"
        elif self.http_version == "1.0":
            head += "Connection: keep-alive\r\n"
        has_body = self.method != "HEAD" and status not in _STATUSES_WITHOUT_BODY
        self._client.write(b"%b\r\n%b" % (head.encode("latin-1"), body if has_body else b""))
        self.is_answered = True

    def _notify(self) -> None:
        if self._change is not None and not self._change.done():
            self._change.set_result(None)

    async def _changed(self) -> None:
        """Wait until more of the request, or the end of the client, is noted."""
        if self._change is None or self._change.done():
            self._change = asyncio.get_running_loop().create_future()
        await self._change


def refusal(status: int) -> bytes:
    """Return the response to a request that cannot be parsed, or that the server does not support."""
    lines = ["Content-Length: 0", "Connection: close", f"Date: {_date(int(time.time()))}"]
    lines.append(f"X-Request-ID: {request_id.choose(None)}")
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        lines.append("Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")  # here or there (RFC 9110, section 15.5.6)
    return "\r\n".join([f"HTTP/1.1 {status} {_PHRASES[status]}", *lines, "", ""]).encode()


def _parts_of(target: bytes) -> tuple[str, str, str]:
    """Return the decoded path and the raw query of a request's target, and the host if it is a whole URL."""
    text, host = target.decode("latin-1"), ""
    if not text.startswith("/"):
        try:
            parts = urlsplit(text)
        except ValueError:
            return text, "", ""
        host = parts.netloc
        text = f"{parts.path}?{parts.query}" if host else text
    path, _, query = text.partition("?")
    if "%" in path or not path.isascii():
        path = unquote(path.encode("latin-1").decode(errors="replace"), errors="replace")
    return path, query, host


@lru_cache(maxsize=2)
def _date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)
