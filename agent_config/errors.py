"""The error that a config's rules raise."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from core.errors import FieldErrors, Invalid


class BadConfig(Invalid):
    """The config breaks a rule; `errors` names the JSON paths."""

    message = _("The agent's config is not valid")

    def __init__(self, errors: FieldErrors) -> None:
        super().__init__(errors, code="AGENT_004")
