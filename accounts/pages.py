"""The pages that links in mails lead to, for installations without a console that has them.

The token comes in the fragment of the address, which no server sees. A script takes it from there and calls the API.
"""

from __future__ import annotations

from typing import ClassVar

from django.http import HttpResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request

from core.errors import Text
from core.http.views import AnonymousView

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


class _LinkPage(AnonymousView):
    """A form that sends the token of a link to an endpoint."""

    schema = None
    endpoint: ClassVar[str]
    title: ClassVar[Text]
    button: ClassVar[Text]
    done: ClassVar[Text]
    takes_password: ClassVar[bool] = False

    def get(self, request: Request) -> HttpResponse:
        return HttpResponse(render_to_string("accounts/link.html", {"view": self}), headers=_HEADERS)


class PasswordResetPage(_LinkPage):
    endpoint = "/api/v1/auth/password/reset"
    title = _("Set a new password")
    button = _("Set the password")
    done = _("The password is set, and all sessions have ended. Sign in again.")
    takes_password = True


class EmailVerifyPage(_LinkPage):
    endpoint = "/api/v1/auth/email/verify"
    title = _("Confirm your e-mail address")
    button = _("Confirm the address")
    done = _("The e-mail address is confirmed.")
