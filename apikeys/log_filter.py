"""A log filter that keeps secrets out of the log."""

from __future__ import annotations

import logging

from core.scrubbing import scrubbed

_formatter = logging.Formatter()


class SecretsFilter(logging.Filter):
    """Masks API keys and tokens in log lines, because one that is sent in place of an id in a path would be logged.

    Tracebacks are masked too: a database quotes the values that it refuses.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if (masked := scrubbed(text)) != text:
            record.msg, record.args = masked, None
        if record.exc_info:
            traceback = _formatter.formatException(record.exc_info)
            if (masked := scrubbed(traceback)) != traceback:
                record.exc_text, record.exc_info = masked, None
        return True
