"""A log filter that keeps secrets out of the log."""

from __future__ import annotations

import logging

from apikeys.keyformat import PREFIX, scrubbed


class SecretsFilter(logging.Filter):
    """Masks API keys in log lines, because one that is sent in place of an id in a path would be in the access log."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if PREFIX in text:
            record.msg, record.args = scrubbed(text), None
        return True
