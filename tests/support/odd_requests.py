"""A generator of odd requests to the internal surface from a seed, and a search for the smallest that fails.

An HTTP parser accepts every request, because those that it refuses never reach the application.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from tests.support.odd_values import (
    ADDRESSES,
    CHUNKED,
    CONDITIONS,
    EXTRA_MEMBERS,
    HEADERS,
    HOSTS,
    JUNK,
    MEDIA_TYPES,
    METHODS,
    ODD_IDS,
    ODD_PARTS,
    ODD_PATHS,
    PERMISSIONS,
    QUERIES,
    REWRITTEN,
    SPOILED,
    TIMES,
    TOKENS,
)

Header = tuple[str, str]


@dataclass(frozen=True)
class OddRequest:
    """A request as the HTTP parser returns it: the path is decoded, the names of headers are in lower case."""

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
        """Yield requests from which something was left out."""
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
class RequestData:
    """The data that requests can name: secrets of keys of several kinds, ids of tenants and agents, and ETags."""

    secrets: Sequence[str]
    tenants: Sequence[str]
    agents: Sequence[str]
    etags: Sequence[str]


@dataclass
class OddRequests:
    """A generator of plain requests with one or two oddities each."""

    data: RequestData
    random: Random
    _headers: list[Header] = field(default_factory=list)

    def make(self) -> OddRequest:
        kinds = (self._key_request, self._agent_request, self._heartbeat, self._usage_report)
        (make,) = self.random.choices(kinds, (0.6, 0.2, 0.1, 0.1))
        return make()

    # ---- requests about keys

    def _key_request(self) -> OddRequest:
        name = self.random.choice(("validate-api-key", "validate-api-key", "check-permission", "parse-api-key"))
        return self._write("POST", f"/api/v2/auth/{name}", self._body(name))

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
        return self._spoiled(sent)

    def _maybe(self, sent: dict[str, Any], name: str, value: Callable[[], Any]) -> None:
        if self.random.random() < 0.4:
            sent[name] = value()

    def _secret(self) -> Any:
        secret = self.random.choice(self.data.secrets)
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

    # ---- reports

    def _heartbeat(self) -> OddRequest:
        seconds = self.random.choice((60, 60, 60, 1, 0, 366 * 86_400, 366 * 86_400 + 1, 60.0, "60"))
        sent = {
            "tenant_id": self._id(self.data.tenants),
            "agent_id": self._id(self.data.agents),
            "ttl_seconds": self.random.choice(JUNK) if self._rarely() else seconds,
        }
        return self._write("PUT", "/api/v2/agent-activity", self._spoiled(sent))

    def _usage_report(self) -> OddRequest:
        sent: dict[str, Any] = {"action": self._text()}
        self._maybe(sent, "tenant_id", lambda: self._id(self.data.tenants))
        self._maybe(sent, "agent_id", lambda: self._id(self.data.agents))
        self._maybe(sent, "user_id", self._text)
        self._maybe(sent, "platform", self._text)
        self._maybe(sent, "timestamp", lambda: self.random.choice(TIMES * 3 + JUNK))
        self._maybe(sent, "details", lambda: self.random.choice((*JUNK, {"text": self._text()}, "x" * 8191)))
        return self._write("POST", "/api/v1/usage/log", self._spoiled(sent))

    def _id(self, ids: Sequence[str]) -> Any:
        if self._rarely():
            return self.random.choice(JUNK)
        return self.random.choice(ODD_IDS)(self.random.choice(ids)) if self._rarely() else self.random.choice(ids)

    def _text(self) -> Any:
        """Return a text that may hold a key, or be too long."""
        if self._rarely():
            return self.random.choice((*JUNK, "x" * 100, "x" * 101))
        return self.random.choice(("chat", " 小明 ", f"{self.random.choice(self.data.secrets)[:90]} is mine"))

    # ---- reads of agents

    def _agent_request(self) -> OddRequest:
        agent = self.random.choice(self.data.agents)
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
        if method in ("PUT", "PATCH", "DELETE"):  # these change the data of later requests
            method = "OPTIONS"
        path = self._odd_path(f"/api/v2/agents/{agent}{part}")
        return OddRequest(method, path, self._query(), self._odd_headers(headers), body)

    def _condition(self) -> str:
        etag = self.random.choice(self.data.etags)
        return self.random.choice(CONDITIONS).replace("ETAG", etag)

    # ---- all of them

    def _write(self, usual_method: str, path: str, body: bytes) -> OddRequest:
        headers = [("host", self._host()), *self._media_type()]
        headers += [CHUNKED] if self._rarely() else self._length(len(body))
        method = self.random.choice(METHODS) if self._rarely() else usual_method
        return OddRequest(method, self._odd_path(path), self._query(), self._odd_headers(headers), body)

    def _spoiled(self, sent: dict[str, Any]) -> bytes:
        """Return a body, now and then with members that are unknown or without one that is required."""
        for member in EXTRA_MEMBERS if self._rarely() else ():
            sent[member] = self.random.choice(JUNK)
        if self._rarely():
            sent.pop(self.random.choice(list(sent)))
        return self._written(sent)

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
