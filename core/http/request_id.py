"""The id of a request, in its response, log lines and audit entries."""

from __future__ import annotations

import logging
import random
import re
from contextvars import ContextVar

_ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,64}")
_current: ContextVar[str] = ContextVar("request_id", default="-")


def choose(sent: str | None) -> str:
    """Return the client's `X-Request-ID` if it is well formed (docs/contract.md section 2), else a new id."""
    return sent if sent and _ACCEPTED.fullmatch(sent) else f"req_{random.getrandbits(64):016x}"


def enter(request_id: str) -> None:
    """Set the request id of this thread's log lines."""
    _current.set(request_id)


def current() -> str:
    """Return the id of the request that this thread serves, or `-` outside of a request."""
    return _current.get()


class RequestIdFilter(logging.Filter):
    """A logging filter that adds `request_id` to every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = current()
        return True
