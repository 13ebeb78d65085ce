"""The pages that links in mails lead to, for installations without a console that has them.

The token comes in the fragment of the address, which no server sees. A script takes it from there and calls the API.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

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


class _Input(NamedTuple):
    """An input of a form, which is a field of the endpoint's request."""

    name: str
    label: Text
    is_password: bool = False


class _LinkPage(AnonymousView):
    """A form that sends the token of a link to an endpoint, as one of the fields of its request."""

    schema = None
    endpoint: ClassVar[str]
    field: ClassVar[str] = "token"
    inputs: ClassVar[tuple[_Input, ...]] = ()
    title: ClassVar[Text]
    button: ClassVar[Text]
    done: ClassVar[Text]
    joins: ClassVar[bool] = False  # shows an invitation into a tenant, and lets people with an account join

    def get(self, request: Request) -> HttpResponse:
        return HttpResponse(render_to_string("accounts/link.html", {"view": self}), headers=_HEADERS)


class AcceptInvitationPage(_LinkPage):
    endpoint = "/api/v1/auth/register"
    field = "invitation"
    inputs = (_Input("username", _("Username")), _Input("password", _("Password"), is_password=True))
    title = _("Open an account")
    button = _("Open the account")
    done = _("The account is open. Sign in with your username and password.")


class JoinTenantPage(_LinkPage):
    joins = True
    endpoint = "/api/v1/auth/register"
    field = "invitation"
    inputs = AcceptInvitationPage.inputs
    title = _("Join a tenant")
    button = _("Open an account and join")
    done = _("The account is open, and you are a member. Sign in with your username and password.")


class PasswordResetPage(_LinkPage):
    endpoint = "/api/v1/auth/password/reset"
    inputs = (_Input("new_password", _("New password"), is_password=True),)
    title = _("Set a new password")
    button = _("Set the password")
    done = _("The password is set, and all sessions have ended. Sign in again.")


class EmailVerifyPage(_LinkPage):
    endpoint = "/api/v1/auth/email/verify"
    title = _("Confirm your e-mail address")
    button = _("Confirm the address")
    done = _("The e-mail address is confirmed.")
