"""A log filter for the requests that Django refuses as suspicious."""

from __future__ import annotations

import logging

_MAX_LENGTH = 200


class RefusalFilter(logging.Filter):
    """Logs a refused request in one line: its traceback says no more, and its text is the client's."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith("django.security."):
            text = record.getMessage()[:_MAX_LENGTH]
            record.msg, record.args = text.encode("unicode_escape").decode("ascii"), None
            record.exc_info = None
        return True
