"""The switch that turns sign-in by passwords off (MAIM_PASSWORD_LOGIN), and the ways that remain to a user."""

from __future__ import annotations

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from accounts import passkeys
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
    identities = user.identities.filter(provider__in=settings.OIDC_PROVIDERS)
    if not (has_password or identities.exists() or (passkeys.is_available() and user.passkeys.exists())):
        raise Conflict(_("You sign in with this alone; set a password or add another way first"))
