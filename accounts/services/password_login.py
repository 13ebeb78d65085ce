"""The switch that turns sign-in by passwords off (MAIM_PASSWORD_LOGIN), and the ways that remain to a user."""

from __future__ import annotations

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from accounts import webauthn
from accounts.errors import PasswordLoginOff
from accounts.models import User
from core.errors import Conflict


def check_password_login() -> None:
    """Raise PasswordLoginOff where people sign in by providers alone."""
    if not settings.PASSWORD_LOGIN:
        raise PasswordLoginOff([provider.name for provider in settings.OIDC_PROVIDERS.values()])


def check_way_to_sign_in(user: User) -> None:
    """Raise Conflict, with which the caller's transaction must end, if a user has no way left to sign in."""
    has_password = settings.PASSWORD_LOGIN and user.has_usable_password()
    if not (has_password or _has_identity(user) or (webauthn.is_available() and user.passkeys.exists())):
        raise Conflict(_("You sign in with this alone; set a password or add another way first"))


def check_way_back(user: User) -> None:
    """Raise Conflict, with which the caller's transaction must end, if a user without passkeys could not come in again.

    A link in a mail sets a password. Where passwords are off, one still links an identity with the same address.
    """
    has_password, has_email = user.has_usable_password(), bool(user.email)
    if settings.PASSWORD_LOGIN:
        has_way = has_password or (has_email and settings.MAIL_IS_SET_UP)
    else:
        has_way = has_password and has_email
    if not (has_way or _has_identity(user)):
        raise Conflict(_NO_PASSWORD if settings.PASSWORD_LOGIN else _NO_LINK)


_NO_PASSWORD = _("This user could not sign in any more: set a password for them first")
_NO_LINK = _(
    "This user could not sign in any more: first set a password for them, and the e-mail address that their provider "
    "verifies; with both they can link the provider"
)


def _has_identity(user: User) -> bool:
    return user.identities.filter(provider__in=settings.OIDC_PROVIDERS).exists()
