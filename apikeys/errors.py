from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from core.errors import Conflict, Invalid, NotFound, Text


class KeyNotFound(NotFound):
    code = "KEY_001"
    message = _("API key not found")


class KeyNameTaken(Conflict):
    code = "KEY_002"
    message = _("An API key of this name already exists in the tenant")


class BadPermissions(Invalid):
    message = _("The permissions are not valid")

    def __init__(self, sentence: Text) -> None:
        super().__init__({"permissions": [sentence]}, code="KEY_005")
