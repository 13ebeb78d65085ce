"""Requests as the server receives them, and the interface of their handlers."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self

from apikeys import verification
from core.http import hosts, metrics, request_id
from core.http.request_context import RequestContext
from internal_api.fastpath.replies import Reply, unavailable_reply


class Headers:
    """The headers of a request by their lower-case names."""

    __slots__ = ("_values",)

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        values: dict[str, list[bytes]] = {}
        for name, value in headers:
            lower = name.decode("latin-1").lower()
            if lower in values:
                values[lower].append(value)
            else:
                values[lower] = [value]
        self._values = values

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def names(self) -> Iterable[str]:
        return self._values

    def get(self, name: str, default: str) -> str:
        """Return the first value of a header."""
        return next(iter(self.get_all(name)), default)

    def get_all(self, name: str) -> list[str]:
        """Return the values of a header, in which each byte is a character (PEP 3333)."""
        values = self._values.get(name)
        return [value.decode("latin-1") for value in values] if values else []

    def replace(self, name: str, value: str) -> None:
        """Put one value in place of those that were sent."""
        self._values[name] = [value.encode("latin-1")]


@dataclass(slots=True, eq=False)
class Request:
    """A request, with its whole body once that is read."""

    method: str
    path: str
    query: str
    port: str
    headers: Headers
    body: bytes = b""
    started: float = field(default_factory=time.perf_counter)

    def header(self, name: str) -> str | None:
        """Return a header by its lower-case name. Several values are joined by commas, as PEP 3333 does."""
        values = self.headers.get_all(name)
        if len(values) == 1:
            return values[0]
        return ",".join(values) if values else None

    def is_plain(self) -> bool:
        """Return whether no middleware would refuse the request because of its headers."""
        return not self.is_from_page() and hosts.is_private(self.header("host") or "")

    def is_from_page(self) -> bool:
        """Return whether a browser's page may have sent the request."""
        return "origin" in self.headers or "sec-fetch-site" in self.headers

    def context(self) -> RequestContext:
        return RequestContext(self.started, request_id.choose(self.header("x-request-id")), address="")


class Handler(ABC):
    """One request on the fast path, and the ways to reply to it."""

    __slots__ = ("context", "port", "route")
    method: ClassVar[str]
    # The second is for requests that come while the database or Redis holds up the first.
    max_concurrent_batches: ClassVar[int] = 2

    def __init__(self, request: Request, route: str) -> None:
        """Handle a request. `route` is the label in metrics, as Django names it."""
        self.context = request.context()
        self.port = request.port
        self.route = route

    def cached_reply(self) -> Reply | None:
        """Return the reply if that takes no I/O, else None."""
        return None

    @classmethod
    @abstractmethod
    def reply_all(cls, handlers: Sequence[Self]) -> Sequence[Reply | None]:
        """Return the replies to several requests of this kind, with as few queries as possible.

        None leaves a request to Django, as if it had not matched.
        """

    def timeout_reply(self) -> Reply:
        """Return the reply for when `reply_all` takes too long, or too many requests are waiting for it."""
        return unavailable_reply(self.context)

    def record(self, reply: Reply) -> None:
        """Count the reply that is sent. Another one, which came too late, is not counted."""
        seconds = time.perf_counter() - self.context.started
        metrics.record_fastpath_request(self.port, self.method, self.route, reply.status, seconds, reply.verdict)
        if reply.verdict is not None:
            verification.record_duration(seconds)
