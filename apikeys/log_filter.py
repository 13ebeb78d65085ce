"""Keeps secrets out of the log."""

from __future__ import annotations

import logging

from apikeys.keyformat import PREFIX, scrubbed


class SecretsFilter(logging.Filter):
    """Masks the API keys in log lines: a key that is sent where a path has an id would stand in the access log."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if PREFIX in text:
            record.msg, record.args = scrubbed(text), None
        return True
