"""The error for invalid configs."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from core.errors import FieldErrors, Invalid


class BadConfig(Invalid):
    """A config that breaks rules; `errors` maps JSON paths to sentences."""

    message = _("The agent's config is not valid")

    def __init__(self, errors: FieldErrors) -> None:
        super().__init__(errors, code="AGENT_004")
