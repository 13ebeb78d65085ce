"""Databases on a command line."""

from __future__ import annotations

import os

from django.core.management.base import CommandError

from core.commands.exit_codes import ExitCode
from legacy.sources import Source

ENV = "env:"


def parse_source(text: str) -> Source:
    """Return the database of a URL, or of the URL in an environment variable, `env:NAME`. Raise CommandError."""
    if not text.startswith(ENV):
        return Source(text)
    name = text.removeprefix(ENV)
    if name not in os.environ:
        raise CommandError(f"There is no environment variable {name}", returncode=ExitCode.USAGE)
    return Source(os.environ[name])
