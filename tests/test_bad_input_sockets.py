"""Malformed requests that only a socket can send, which the HTTP parser or the server refuses."""

from __future__ import annotations

import json
import socket
from http.client import HTTPException, HTTPResponse

import pytest

from tests.support.instances import WAIT
from tests.support.server import MaimServer

pytestmark = pytest.mark.embedded

MEBIBYTE = 1024 * 1024
PATH = {"public": "/api/v1/auth/login", "internal": "/api/v2/auth/parse-api-key"}
BODY = b'{"username": "nobody", "password": "password123", "api_key": "x"}'
JSON = "Content-Type: application/json"
CLOSED = 0
UNFINISHED = b"unfinished"  # after which the client closes its side of the connection


def post(path: str, *headers: str, body: bytes = BODY, length: bool = True) -> bytes:
    """Return a POST request as bytes."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def get(target: str, *headers: str, method: str = "GET") -> bytes:
    """Return a request without a body as bytes."""
    return "\r\n".join(
        [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close", *headers, "", ""]
    ).encode("latin-1")


def send(server: MaimServer, surface: str, request: bytes) -> tuple[int, bytes]:
    """Return the status (or CLOSED) and the body of the response to raw bytes."""
    port = server.public_port if surface == "public" else server.internal_port
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT) as connection:
        response = HTTPResponse(connection)
        try:
            connection.sendall(request)
            if request.endswith(UNFINISHED):
                connection.shutdown(socket.SHUT_WR)
            response.begin()
            return response.status, response.read()
        except (HTTPException, ConnectionError):
            return CLOSED, b""


def chunked(*chunks: bytes) -> bytes:
    return b"".join(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in (*chunks, b""))


def requests(path: str) -> dict[str, tuple[bytes, set[int]]]:
    """Return requests with the allowed statuses of their responses."""
    expected_statuses = {200, 400}  # login with a wrong password, or a verdict on a malformed key
    many = "&".join(["a"] * 2000)
    return {
        "charset=base64": (post(path, f"{JSON}; charset=base64"), expected_statuses),
        "charset=utf-16": (post(path, f"{JSON}; charset=utf-16"), expected_statuses),
        "charset=\xff": (post(path, f"{JSON}; charset=\xff"), {*expected_statuses, 415}),
        "charset=base64 and a query": (post(f"{path}?a=%C3", f"{JSON}; charset=base64"), expected_statuses),
        "charset and 2,000 parameters": (post(f"{path}?{many}", f"{JSON}; charset=utf-8"), expected_statuses),
        "charset on a GET": (get("/health?a=%C3", f"{JSON}; charset=base64"), {200}),
        "an unknown RFC 2231 charset": (post(path, f"{JSON}; a*=no-such''%ff"), {415}),
        "an RFC 2231 codec that is none": (post(path, f"{JSON}; a*=base64''%ff"), {*expected_statuses, 415}),
        "an endless RFC 2231 number": (post(path, f"{JSON}; a*{'9' * 5000}=x"), {*expected_statuses, 415}),
        "a form in base64": (
            post(path, "Content-Type: application/x-www-form-urlencoded; charset=base64", body=b"username=%C3"),
            {400, 415},
        ),
        "a multipart form without a boundary": (post(path, "Content-Type: multipart/form-data"), {400, 415}),
        "a good chunked body": (
            post(path, JSON, "Transfer-Encoding: chunked", body=chunked(BODY[:9], BODY[9:]), length=False),
            expected_statuses,
        ),
        "a chunked body of 2 MiB": (
            post(path, JSON, "Transfer-Encoding: chunked", body=chunked(*[b" " * 65536] * 32, b"{}"), length=False),
            {413},
        ),
        "a broken chunk": (
            post(path, JSON, "Transfer-Encoding: chunked", body=b"zz\r\n{}\r\n0\r\n\r\n", length=False),
            {400, CLOSED},
        ),
        "2 MiB announced and sent": (post(path, JSON, body=b" " * 2 * MEBIBYTE), {413}),
        "2 MiB announced, none sent": (
            post(path, JSON, f"Content-Length: {2 * MEBIBYTE}", body=b"", length=False),
            {413},
        ),
        "more announced than sent": (
            post(path, JSON, "Content-Length: 1000", body=UNFINISHED, length=False),
            {400, CLOSED},
        ),
        "Content-Length: -1": (post(path, JSON, "Content-Length: -1", length=False), {400, CLOSED}),
        "Content-Length: x": (post(path, JSON, "Content-Length: x", length=False), {400, CLOSED}),
        "Content-Length: 10^30": (post(path, JSON, f"Content-Length: 1{'0' * 30}", length=False), {400, CLOSED}),
        "two lengths": (post(path, JSON, "Content-Length: 2"), {400, CLOSED}),
        "a length and chunks": (
            post(path, JSON, "Transfer-Encoding: chunked", body=chunked(BODY)),
            {*expected_statuses, CLOSED},
        ),
        "an unknown transfer coding": (post(path, JSON, "Transfer-Encoding: gzip", length=False), {400, 501, CLOSED}),
        "TRACE": (get("/health", method="TRACE"), {405}),
        "BREW": (get("/health", method="BREW"), {405}),
        "a method in lower case": (get("/health", method="get"), {200, 405}),
        "CONNECT": (get("localhost:80", method="CONNECT"), {400, 404, 405, CLOSED}),
        "a whole URL": (get("http://localhost/health"), {200, 403, 404}),
        "another's URL": (get("http://example.org/health"), {200, 403, 404}),
        "an asterisk": (get("*", method="OPTIONS"), {400, 404, 405, CLOSED}),
        "raw bytes in the path": (get("/api/v1/\xff\xfe"), {400, 404, CLOSED}),
        "dots in the path": (get("/../../../../etc/passwd"), {404}),
        "dots under static": (get("/static/../manage.py"), {404}),
        "encoded dots under static": (get("/static/%2e%2e/%2e%2e/manage.py"), {404}),
        "a NUL under static": (get("/static/%00"), {404}),
        "a path of 60,000": (get("/" + "x" * 60_000), {404, 414, CLOSED}),
        "a header of 200,000": (get("/health", f"X-Long: {'x' * 200_000}"), {200, 400, 431, CLOSED}),
        "2,000 headers": (get("/health", *(f"X-{number}: x" for number in range(2000))), {200, 400, 431, CLOSED}),
        "a raw NUL in a header": (get("/health", "X-Any: \x00"), {400, CLOSED}),
        "no Host": (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", {400}),
        "two Hosts": (get("/", "Host: example.org"), {400}),
        "HTTP/0.9": (b"GET /health\r\n\r\n", {400, CLOSED}),
        "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), {400, CLOSED}),
        "noise": (bytes(range(256)) * 40, {400, CLOSED}),
    }


@pytest.mark.parametrize("surface", ["public", "internal"])
@pytest.mark.parametrize("title", requests(""))
def test_malformed_request_gets_an_error_or_a_closed_connection(server: MaimServer, surface: str, title: str) -> None:
    request, right = requests(PATH[surface])[title]

    status, body = send(server, surface, request)

    assert status in right, f"{status} {body!r:.300}"
    if body.startswith(b"{") and status >= 400:
        found = json.loads(body)
        assert "error_code" in found or {"detail", "code"} <= set(found)
    assert b"Traceback" not in body
    assert send(server, surface, get("/health"))[0] == 200


def test_log_has_no_traceback(server: MaimServer) -> None:
    assert "Traceback" not in server.log
