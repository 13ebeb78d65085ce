"""`manage.py keys` in this process."""

from __future__ import annotations

import re
from io import StringIO

from tests.support.commands import Outcome, run

SECRET = re.compile(r"mmc_[A-Za-z0-9+/]{112}")


def keys(*arguments: str, stdin: StringIO | None = None) -> Outcome:
    """Run `manage.py keys`."""
    return run("keys", *arguments, stdin=stdin)


def secrets_in(text: str) -> list[str]:
    """Return the secrets in clear in a text."""
    return SECRET.findall(text)
