"""The switch that turns sign-in by passwords off (MAIM_PASSWORD_LOGIN)."""

from __future__ import annotations

from django.conf import settings

from accounts.errors import PasswordLoginOff


def check_password_login() -> None:
    """Raise PasswordLoginOff where people sign in by providers alone."""
    if not settings.PASSWORD_LOGIN:
        raise PasswordLoginOff([provider.name for provider in settings.OIDC_PROVIDERS.values()])
