"""A request and the response to it, with the interface of RSGI (see `maim.server.http1`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Protocol
from urllib.parse import unquote, urlsplit

from granian.rsgi import ProtocolClosed  # type: ignore[attr-defined]  # re-exported without saying so

_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_STATUSES_WITHOUT_BODY = frozenset({204, 304})


class Client(Protocol):
    """The connection that a request came on."""

    address: str
    max_body_bytes: int

    @property
    def is_stopping(self) -> bool:
        """True if the server stops, and keeps no connection."""

    def write(self, data: bytes) -> None:
        """Send bytes. Do nothing if the connection is closed."""


class Headers:
    """The headers of a request by their lower-case names, as Granian has them."""

    __slots__ = ("_values",)

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        values: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            lower = name.lower()
            if lower in values:
                values[lower].append(value)
            else:
                values[lower] = [value]
        self._values = values

    def __contains__(self, name: str) -> bool:
        return name.encode() in self._values

    def keys(self) -> list[str]:
        return [name.decode("latin-1") for name in self._values]

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of a header."""
        return next(iter(self.get_all(name)), default)

    def get_all(self, name: str) -> list[str]:
        """Return the values of a header, without those that are not ASCII."""
        return [value.decode() for value in self._values.get(name.encode(), ()) if value.isascii()]


class Exchange:
    """A request whose head has arrived, and the response to it: RSGI's scope and protocol in one.

    `keeps_alive` tells whether the connection stays open after the response.
    """

    __slots__ = (
        "_change",
        "_chunks",
        "_client",
        "has_whole_body",
        "headers",
        "http_version",
        "is_answered",
        "is_client_gone",
        "keeps_alive",
        "method",
        "path",
        "query_string",
        "size",
    )

    def __init__(  # noqa: PLR0917  # thousands of times a second, and keywords take time
        self, client: Client, method: str, target: bytes, http_version: str, headers: Headers, keeps_alive: bool
    ) -> None:
        self._client = client
        self.method, self.http_version, self.headers, self.keeps_alive = method, http_version, headers, keeps_alive
        self.path, self.query_string = _path_and_query(target)
        self.has_whole_body = self.is_answered = self.is_client_gone = False
        self.size = 0
        self._chunks: list[bytes] = []
        self._change: asyncio.Future[None] | None = None

    @property
    def client(self) -> str:
        """The address and port that the request came from."""
        return self._client.address

    @property
    def body(self) -> bytes:
        """What has arrived of the body, up to one byte more than is allowed."""
        body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        return body if self.size <= self._client.max_body_bytes else body[: self._client.max_body_bytes + 1]

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
            self._notify()

    def end_body(self) -> None:
        self.has_whole_body = True
        self._notify()

    def lose_client(self) -> None:
        """Note that the client has gone, or sends what is not HTTP."""
        self.is_client_gone = True
        self._notify()

    # ---- what the application calls

    async def __call__(self) -> bytes:
        """Return the whole body, or one byte more than is allowed. Raise ProtocolClosed if it ends early."""
        if not self.has_whole_body and not self.size and (self.headers.get("expect") or "").lower() == "100-continue":
            self._client.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not (self.has_whole_body or self.is_too_large):
            if self.is_client_gone:
                raise ProtocolClosed
            await self._changed()
        return self.body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body in one chunk, because its size is limited already."""
        yield await self()

    async def client_disconnect(self) -> None:
        """Return when the client has gone."""
        while not self.is_client_gone:
            await self._changed()

    def response_empty(self, status: int, headers: list[tuple[str, str]]) -> None:
        self.response_bytes(status, headers, b"")

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Send the response. With `Connection: close`, or a body that is left unread, the connection is not kept."""
        self.is_answered = True
        if not self.has_whole_body or self._client.is_stopping:
            self.keeps_alive = False
        lines = [f"HTTP/1.1 {status} {_PHRASES.get(status, '')}"]
        has_length = status in _STATUSES_WITHOUT_BODY
        for name, value in headers:
            if name == "Connection":
                self.keeps_alive = self.keeps_alive and value != "close"
                continue
            has_length = has_length or name == "Content-Length"
            lines.append(f"{name}: {value}")
        if not has_length:
            lines.append(f"Content-Length: {len(body)}")
        if not self.keeps_alive:
            lines.append("Connection: close")
        elif self.http_version == "1.0":
            lines.append("Connection: keep-alive")
        lines.append(f"Date: {_date(int(time.time()))}\r\n\r\n")
        head = "\r\n".join(lines).encode("latin-1")
        self._client.write(head if self.method == "HEAD" or status in _STATUSES_WITHOUT_BODY else head + body)

    def _notify(self) -> None:
        if self._change is not None and not self._change.done():
            self._change.set_result(None)

    async def _changed(self) -> None:
        """Wait until more of the request, or the end of the client, is noted."""
        if self._change is None or self._change.done():
            self._change = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._change)


def refusal(status: int) -> bytes:
    """Return the response to what is not HTTP."""
    return (
        f"HTTP/1.1 {status} {_PHRASES[status]}\r\nContent-Length: 0\r\nConnection: close\r\n"
        f"Date: {_date(int(time.time()))}\r\n\r\n"
    ).encode()


def _path_and_query(target: bytes) -> tuple[str, str]:
    """Return the decoded path and the raw query of a request's target, which may be a whole URL."""
    text = target.decode("latin-1")
    if not text.startswith("/"):
        try:
            parts = urlsplit(text)
        except ValueError:
            return text, ""
        text = f"{parts.path}?{parts.query}" if parts.netloc else text
    path, _, query = text.partition("?")
    if "%" in path or not path.isascii():
        path = unquote(path.encode("latin-1").decode(errors="replace"), errors="replace")
    return path, query


@lru_cache(maxsize=2)
def _date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)
