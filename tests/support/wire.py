"""Raw HTTP on a socket, with any Host, header and framing."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage
from typing import Any

from tests.support.instances import WAIT


@dataclass(frozen=True)
class Response:
    """A response."""

    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> Any:
        """The error code, in the shape of either surface."""
        return self.json["error_code"] if self.is_envelope else self.json.get("code")

    @property
    def message(self) -> Any:
        """The message of an error, in the shape of either surface."""
        return self.json["error"] if self.is_envelope else self.json.get("detail")

    def header_values(self, header: str) -> set[str]:
        """Return the values of a list header in lower case."""
        return {name.strip().lower() for name in (self.headers[header] or "").split(",") if name.strip()}

    @property
    def is_envelope(self) -> bool:
        """Return whether the body is v2's envelope, which has exactly these keys in this order."""
        return isinstance(self.json, dict) and list(self.json) == [
            "success",
            "message",
            "data",
            "timestamp",
            "request_id",
            "tenant_id",
            "execution_time",
            "error",
            "error_code",
        ]

    @property
    def is_plain_error(self) -> bool:
        """Return whether the body is v1's error object."""
        return isinstance(self.json, dict) and {"detail", "code"} <= set(self.json) <= {"detail", "code", "errors"}


def exchange(
    port: int,
    method: str,
    target: str,
    *,
    host: str | None = "127.0.0.1",
    headers: Mapping[str, str] | None = None,
    body: Any = None,
    content: bytes | None = None,
    chunked: bool = False,
) -> Response:
    """Send a request on a new connection: `body` as JSON, or `content` as it is. `host` None sends no Host."""
    if body is not None:
        content = json.dumps(body).encode()
    all_headers = {"Content-Type": "application/json"} if content is not None else {}
    all_headers.update(headers or {})
    connection = HTTPConnection("127.0.0.1", port, timeout=WAIT)
    try:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        if host is not None:
            connection.putheader("Host", host)
        for name, value in all_headers.items():
            connection.putheader(name, value)
        if chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        elif content is not None:
            connection.putheader("Content-Length", str(len(content)))
        connection.endheaders()
        try:
            for start in range(0, len(content or b""), 65536):
                piece = (content or b"")[start : start + 65536]
                connection.send(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            if chunked:
                connection.send(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server may refuse a body before reading all of it
        response = connection.getresponse()
        return Response(response.status, response.headers, response.read())
    finally:
        connection.close()


def read_all(connection: socket.socket) -> bytes:
    """Return what the server sends until it closes the connection."""
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


def read_until(connection: socket.socket, end: bytes) -> bytes:
    """Return what the server sends up to these bytes."""
    received = b""
    while end not in received:
        part = connection.recv(65536)
        assert part, received
        received += part
    return received
