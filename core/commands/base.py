"""The base class of maim's commands."""

from __future__ import annotations

from django.core.checks import Tags
from django.core.management.base import BaseCommand


class MaimCommand(BaseCommand):
    """A command that starts quickly: it runs the system checks of the environment alone.

    The other checks are about the code, and import all of its views. `check`, `serve` and `migrate` run them.
    """

    # The tag of the checks in core/checks.py, which are about the environment.
    requires_system_checks = (Tags.security,)
