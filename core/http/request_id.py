"""The id that ties a request's answer, log lines and audit rows together."""

from __future__ import annotations

import logging
import random
import re
from contextvars import ContextVar

_ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,64}")
_current: ContextVar[str] = ContextVar("request_id", default="-")


def choose(sent: str | None) -> str:
    """The client's `X-Request-ID` if it is well formed (docs/contract.md section 2), else a fresh one."""
    return sent if sent and _ACCEPTED.fullmatch(sent) else f"req_{random.getrandbits(64):016x}"


def enter(request_id: str) -> None:
    """Makes `request_id` the one that this thread's log lines carry."""
    _current.set(request_id)


def current() -> str:
    """The id of the request this thread serves, or `-` outside of one."""
    return _current.get()


class RequestIdFilter(logging.Filter):
    """Gives every log record its `request_id`."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = current()
        return True
