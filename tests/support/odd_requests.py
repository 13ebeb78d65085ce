"""A generator of odd requests to the internal surface, made from a seed, and the smallest of a kind.

Every request is one that an HTTP parser lets through: what it refuses itself never reaches the application.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

Header = tuple[str, str]


@dataclass(frozen=True)
class OddRequest:
    """A request as it leaves the HTTP parser: the path is decoded, the names of headers are in lower case."""

    method: str
    path: str
    query: str = ""
    headers: tuple[Header, ...] = ()
    body: bytes = b""

    def __str__(self) -> str:
        """Return the request in bytes, as Python writes them."""
        target = self.path.encode() + (f"?{self.query}".encode() if self.query else b"")
        lines = [b"%s %s HTTP/1.1" % (self.method.encode(), target)]
        lines += [f"{name}: {value}".encode() for name, value in self.headers]
        return "\n".join(f"  {line!r}" for line in [*lines, b"", self.body])

    def smaller(self) -> Iterator[OddRequest]:
        """Yield requests with something less in them."""
        for number in range(len(self.headers)):
            yield replace(self, headers=(*self.headers[:number], *self.headers[number + 1 :]))
        if self.query:
            yield replace(self, query="")
        size = len(self.body) // 2
        while size:
            for start in range(0, len(self.body), size):
                yield self._with_body(self.body[:start] + self.body[start + size :])
            size //= 2

    def _with_body(self, body: bytes) -> OddRequest:
        length = str(len(body))
        headers = tuple((name, length if name == "content-length" else value) for name, value in self.headers)
        return replace(self, body=body, headers=headers)


def smallest(request: OddRequest, fails: Callable[[OddRequest], bool], *, tries: int = 500) -> OddRequest:
    """Return a request that still fails and from which nothing more can be left out."""
    candidates = request.smaller()
    while tries and (candidate := next(candidates, None)) is not None:
        tries -= 1
        if fails(candidate):
            request, candidates = candidate, candidate.smaller()
    return request


@dataclass(frozen=True)
class Site:
    """The data that requests can name: secrets of keys of several kinds, ids of agents, and ETags."""

    secrets: Sequence[str]
    agents: Sequence[str]
    etags: Sequence[str]


@dataclass
class OddRequests:
    """Makes requests, plain ones with one or two oddities each."""

    site: Site
    random: Random
    _headers: list[Header] = field(default_factory=list)

    def make(self) -> OddRequest:
        return self._key_request() if self.random.random() < 0.7 else self._agent_request()

    # ---- requests about keys

    def _key_request(self) -> OddRequest:
        name = self.random.choice(("validate-api-key", "validate-api-key", "check-permission", "parse-api-key"))
        body = self._body(name)
        headers = [("host", self._host()), *self._media_type()]
        headers += [CHUNKED] if self._rarely() else self._length(len(body))
        method = self.random.choice(METHODS) if self._rarely() else "POST"
        path = self._odd_path(f"/api/v2/auth/{name}")
        return OddRequest(method, path, self._query(), self._odd_headers(headers), body)

    def _body(self, name: str) -> bytes:
        sent: dict[str, Any] = {"api_key": self._secret()}
        if name == "validate-api-key":
            self._maybe(sent, "required_permission", self._permission)
            self._maybe(sent, "check_rate_limit", lambda: self.random.choice((True, False, None) * 20 + JUNK))
            self._maybe(sent, "client_ip", self._address)
        elif name == "check-permission":
            sent["permission"] = self._permission()
            if self._rarely():
                sent["client_ip"] = self._address()
        for member in EXTRA_MEMBERS if self._rarely() else ():
            sent[member] = self.random.choice(JUNK)
        if self._rarely():
            sent.pop(self.random.choice(list(sent)))
        return self._written(sent)

    def _maybe(self, sent: dict[str, Any], name: str, value: Callable[[], Any]) -> None:
        if self.random.random() < 0.4:
            sent[name] = value()

    def _secret(self) -> Any:
        secret = self.random.choice(self.site.secrets)
        if self.random.random() < 0.7:
            return secret
        if self._rarely():
            return self.random.choice(JUNK)
        return self.random.choice(SPOILED)(secret)

    def _permission(self) -> Any:
        if self._rarely():
            return self.random.choice((*JUNK, "x" * 500, "x" * 501, "chat".ljust(500), "chat".ljust(501)))
        number = self.random.choice((1, 1, 1, 2, 3, 3, 5, 9))
        if self.random.random() < 0.75:
            return self.random.choice(PERMISSIONS)
        return self.random.choice(("", " ")).join(self.random.choice(TOKENS) for _ in range(number))

    def _address(self) -> Any:
        return self.random.choice(ADDRESSES[:6] * 10 + ADDRESSES * 2 + JUNK)

    def _written(self, sent: dict[str, Any]) -> bytes:
        text = json.dumps(
            sent,
            ensure_ascii=self.random.random() < 0.5,
            separators=self.random.choice(((",", ":"), (", ", ": "), (" ,\n", " :\t"))),
        )
        content = text.encode("utf-8", "surrogatepass")
        if self.random.random() < 0.9:
            return content
        return self.random.choice(REWRITTEN)(content)

    # ---- reads of agents

    def _agent_request(self) -> OddRequest:
        agent = self.random.choice(self.site.agents)
        if self._rarely():
            agent = self.random.choice(ODD_IDS)(agent)
        part = self.random.choice(ODD_PARTS if self._rarely() else ("", "/config", "/config/effective"))
        headers = [("host", self._host())]
        if self.random.random() < 0.5:
            headers.append(("if-none-match", self._condition()))
        body = b""
        if self._rarely():
            body = self.random.choice((b"{}", b"x" * 100))
            headers += [*self._media_type(), *self._length(len(body))]
        elif self._rarely():
            body = self.random.choice((b"", b"{}", b"x" * (1024 * 1024 + 1)))
            headers.append(CHUNKED)
        elif self._rarely():
            headers.append(("content-length", self.random.choice(("0", "1048577"))))
        method = self.random.choice(METHODS) if self._rarely() else "GET"
        if method in ("PUT", "PATCH", "DELETE"):  # which change what later requests find
            method = "OPTIONS"
        path = self._odd_path(f"/api/v2/agents/{agent}{part}")
        return OddRequest(method, path, self._query(), self._odd_headers(headers), body)

    def _condition(self) -> str:
        etag = self.random.choice(self.site.etags)
        return self.random.choice(CONDITIONS).replace("ETAG", etag)

    # ---- all of them

    def _rarely(self) -> bool:
        return self.random.random() < 0.06

    def _host(self) -> str:
        return self.random.choice(HOSTS) if self._rarely() else "localhost:8000"

    def _media_type(self) -> list[Header]:
        if self.random.random() < 0.9:
            return [("content-type", "application/json")]
        return [("content-type", self.random.choice(MEDIA_TYPES))]

    def _length(self, length: int) -> list[Header]:
        text = self.random.choice((f"0{length}", f"00000{length}")) if self._rarely() else str(length)
        return [("content-length", text)] * (2 if self.random.random() < 0.02 else 1)

    def _query(self) -> str:
        return self.random.choice(QUERIES) if self._rarely() else ""

    def _odd_path(self, path: str) -> str:
        if self.random.random() < 0.1:
            return path + "/"
        return self.random.choice(ODD_PATHS)(path) if self._rarely() else path

    def _odd_headers(self, headers: list[Header]) -> tuple[Header, ...]:
        for _ in range(self.random.choice((0, 0, 0, 1, 1, 3))):
            name = self.random.choice(list(HEADERS))
            headers.append((name, self.random.choice(HEADERS[name])))
        if self._rarely():
            name, value = self.random.choice(headers)
            if name != "content-length":
                headers.append((name, self.random.choice((value, "", "x"))))
        if self.random.random() < 0.02:
            headers = [each for each in headers if each[0] != "host"]
        if self._rarely():
            self.random.shuffle(headers)
        return tuple(headers)


CHUNKED = ("transfer-encoding", "chunked")
METHODS = ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "post", "get", "PROPFIND", "POST", "GET")
HOSTS = (
    "localhost",
    "LOCALHOST:8000",
    "127.0.0.1",
    "[::1]:8000",
    "maim",
    "maim.:8000",
    "localhost:",
    "localhost:99999",
    "localhost:123456",
    "evil.example",
    "evil.example:8000",
    "",
    "a b",
    "user@localhost",
    "localhost,localhost",
    "127.1",
    "10.0.0.256",
    "0x7f000001",
    "é",
)
MEDIA_TYPES = (
    "application/json;charset=utf-8",
    "application/json; charset=utf-8",
    "Application/JSON; Charset=UTF-8",
    'application/json; charset="utf-8"',
    "application/json;charset=utf-16",
    "application/json; charset=latin-1",
    "application/json; charset=base64",
    "application/json;charset=",
    "application/json;",
    "application/json ; charset=utf-8",
    "application/json; charset = utf-8",
    "application/json;\tcharset=utf-8",
    "appli cation/json",
    "application/ json",
    "application/json; charset=ut f-8",
    "application/json charset=utf-8",
    " application/json ",
    "application/json, application/json",
    "application/json; a*=no-such''%ff",
    "application/jsonx",
    "application/vnd.api+json",
    "text/json",
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "multipart/form-data",
    "*/*",
    "json",
    "",
    "é",
)
QUERIES = (
    "x=1",
    "format=json",
    "format=api",
    "explain=1",
    "explain=no",
    "reveal_secrets=1",
    "&",
    "=",
    "api_key=x",
    "%",
)
JUNK: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 1.0, 2**63 - 1, 2**63, 10**400, -0.0, 1e308, float("nan"), float("inf"),
    "", " ", "true", "null", "\u0000", "\ud800", "\ufeff", "小明 🤖", [], {}, ["x"], [[]], {"a": {"b": [None]}},
    "x" * 5000,
)  # fmt: skip
EXTRA_MEMBERS = ("API_KEY", "api_key ", "explain", "reveal_secrets", "__proto__", "", "items", "use")
SPOILED: tuple[Callable[[str], str], ...] = (
    lambda secret: f" {secret}",
    lambda secret: f"{secret} ",
    lambda secret: f"{secret}\n",
    lambda secret: f"\u3000{secret}",
    lambda secret: f"\ufeff{secret}",
    lambda secret: f"{secret}\u0000",
    lambda secret: f"Bearer {secret}",
    str.lower,
    str.upper,
    str.swapcase,
    lambda secret: secret[:-1],
    lambda secret: secret[1:],
    lambda secret: secret + "=",
    lambda secret: secret + "==",
    lambda secret: secret.rstrip("="),
    lambda secret: secret.replace("mmc_", "MMC_"),
    lambda secret: secret.replace("mmc_", ""),
    lambda secret: secret + secret,
    lambda secret: secret[:20] + "-_" + secret[22:],
    lambda secret: secret[:-3] + "é" + secret[-2:],
    lambda secret: secret.ljust(5000),
    lambda secret: "mmc_",
)
PERMISSIONS = (
    "chat",
    "write",
    " chat ",
    "config.read",
    "chat and read",
    "chat or (write and read)",
    "(chat)",
    "密",
    "",
)
TOKENS = (
    "chat", "read", "write", "config", "config.", "config.read", "config.*", "*", "and", "or", "AND", "not", "(", ")",
    "((",
    " ", "\u3000", "\t", "\n", "\x1f", "\x7f", "\x85", "\u0000", "\u200b", "密", "chat,read", "-", "x" * 64, "x" * 65,
)  # fmt: skip
ADDRESSES = (
    "10.1.2.3", "11.1.2.3", "::ffff:10.1.2.3", "2001:DB8::7", "2001:db8::7%eth0", "::", "::ffff:a01:203", " 10.1.2.3",
    "10.1.2.3\n", "010.1.2.3", "10.1.2", "10.0.0.0/8", "fe80::1%", "[::1]", "1", "１０.1.2.3", "10.1.2.3:80",
)  # fmt: skip
REWRITTEN: tuple[Callable[[bytes], bytes], ...] = (
    lambda body: b"\xef\xbb\xbf" + body,
    lambda body: body.decode("utf-8", "replace").encode("utf-16"),
    lambda body: body.decode("utf-8", "replace").encode("utf-16-le"),
    lambda body: body.decode("utf-8", "replace").encode("utf-32"),
    lambda body: body[:-1],
    lambda body: body[:-1] + b",}",
    lambda body: body + b"x",
    lambda body: body + body,
    lambda body: body + b"\x00",
    lambda body: b" \r\n\t" + body + b"\n ",
    lambda body: b"\x0c" + body,
    lambda body: b"\xc2\xa0" + body,
    lambda body: b"/* */" + body,
    lambda body: body.replace(b'"', b"'"),
    lambda body: body.replace(b'"api_key"', b'"api\\u005fkey"'),
    lambda body: body.replace(b'"api_key"', b'"api_key":"x","api_key"'),
    lambda body: body[:-1] + b',"a":1,"a":1}',
    lambda body: body[:-1] + b',"a":NaN}',
    lambda body: body[:-1] + b',"a":-Infinity}',
    lambda body: body[:-1] + b',"a":1e999}',
    lambda body: body[:-1] + b',"a":' + b"9" * 5000 + b"}",
    lambda body: body[:-1] + b',"a":01}',
    lambda body: body[:-1] + b',"a":"\\ud800"}',
    lambda body: body[:-1] + b',"a":"\\ud83e\\udd16"}',
    lambda body: body[:-1] + b',"\\ud800":1}',
    lambda body: body[:-1] + b',"a":"\xff"}',
    lambda body: body[:-1] + b',"a":"\xed\xa0\x80"}',
    lambda body: body[:-1] + b',"a":"\n"}',
    lambda body: body[:-1] + b',"a":"\\x"}',
    lambda body: body[:-1] + b',"a":' + b"[" * 28 + b"]" * 28 + b"}",
    lambda body: body[:-1] + b',"a":' + b"[" * 29 + b"]" * 29 + b"}",
    lambda body: body[:-1] + b',"a":' + b"[" * 1500 + b"]" * 1500 + b"}",
    lambda body: b"[" + body + b"]",
    lambda body: b"",
    lambda body: b"null",
    lambda body: b'"x"',
    lambda body: b"5",
    lambda body: b"{}",
    lambda body: body.ljust(4096),
    lambda body: body.ljust(4097),
    lambda body: body.ljust(9999),
    lambda body: body.ljust(1024 * 1024 + 1),
)
ODD_IDS: tuple[Callable[[str], str], ...] = (
    str.upper,
    str.title,
    lambda agent: agent + " ",
    lambda agent: agent + "\n",
    lambda agent: agent + "é",
    lambda agent: agent + "\u0000",
    lambda agent: agent + "%",
    lambda agent: agent + ".",
    lambda agent: "x" * 50,
    lambda agent: "x" * 51,
    lambda agent: "import",
    lambda agent: "imports",
    lambda agent: ".",
    lambda agent: "..",
    lambda agent: "",
    lambda agent: "'",
)
ODD_PARTS = (
    "/config/versions",
    "/config/diff",
    "/usage",
    "/export",
    "/configs",
    "/Config",
    "/config/effective/x",
    "/x",
)
ODD_PATHS: tuple[Callable[[str], str], ...] = (
    lambda path: path + "//",
    lambda path: "/" + path,
    lambda path: path.replace("/v2", "//v2"),
    lambda path: path.replace("/v2", "/./v2"),
    lambda path: path.replace("/v2", "/v1/../v2"),
    lambda path: path.replace("/api", "/API"),
    lambda path: path.upper(),
    lambda path: path + "/x",
    lambda path: path + ";x=1",
    lambda path: path + " ",
    lambda path: path + "\n",
    lambda path: path + "\u0000",
    lambda path: path + "é",
    lambda path: path + "\ufffd",
    lambda path: path.replace("-", "_"),
    lambda path: path.replace("key", "%6bey"),
    lambda path: path[:-1],
)
CONDITIONS = (
    '"ETAG"', 'W/"ETAG"', 'w/"ETAG"', "ETAG", '"other", "ETAG"', '"other","ETAG",', ',,"ETAG"', '"other" "ETAG"',
    '"ETAG', '"ETAG" x',
    "*", " * ", '*, "ETAG"', '"*"', "", '"', '""', '"other"', '"ETAG", "é"', '\t"ETAG"\t', '"ETAG",,  ,W/"ETAG"',
)  # fmt: skip
HEADERS: dict[str, tuple[str, ...]] = {
    "x-request-id": ("from.the-client_1", "a b", "", "x" * 64, "x" * 65, "é", "a,b", "a\t", "req_1"),
    "origin": ("null", "", "http://localhost:8000", "https://evil.example", "http://[", "é"),
    "sec-fetch-site": ("cross-site", "same-site", "same-origin", "none", "Cross-Site", "", "é"),
    "accept": ("text/html", "application/xml", "*/*;q=0", "", "image/*", "é"),
    "accept-language": ("en", "zh-Hans", "de, en;q=0.1", "*", "é"),
    "accept-encoding": ("gzip",),
    "accept-charset": ("utf-16",),
    "content-encoding": ("gzip",),
    "content-language": ("en",),
    "x-forwarded-for": ("10.1.2.3", "é"),
    "x-forwarded-proto": ("https",),
    "x-forwarded-host": ("evil.example",),
    "forwarded": ("for=10.1.2.3;host=evil.example",),
    "x-http-method-override": ("DELETE",),
    "authorization": ("Bearer x",),
    "cookie": ("sessionid=x; django_language=en",),
    "prefer": ("handling=strict",),
    "idempotency-key": ("once",),
    "if-match": ('"1"',),
    "if-none-match": ("*", '"x"'),
    "if-modified-since": ("Thu, 01 Jan 2099 00:00:00 GMT",),
    "if-unmodified-since": ("Thu, 01 Jan 1970 00:00:00 GMT",),
    "range": ("bytes=0-1",),
    "expect": ("100-continue",),
    "connection": ("close",),
    "upgrade": ("websocket",),
    "te": ("trailers",),
    "x_request_id": ("with.underscores",),
    "x-request_id": ("with.an-underscore",),
    "content_type": ("text/plain",),
    "content_length": ("5",),
    "sec_fetch_site": ("cross-site",),
    "if_none_match": ("*",),
    "host_": ("evil.example",),
    "x-csrftoken": ("x",),
    "x-requested-with": ("XMLHttpRequest",),
}
