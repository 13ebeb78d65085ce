"""A log filter for the requests that Django refuses as suspicious."""

from __future__ import annotations

import logging

from core.text import printable

_MAX_LENGTH = 200


class RefusalFilter(logging.Filter):
    """A filter that logs a refused request in one line: its traceback says no more, and its text is the client's."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith("django.security."):
            record.msg, record.args = printable(record.getMessage()[:_MAX_LENGTH]), None
            record.exc_info = None
        return True
