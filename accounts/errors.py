"""The errors of sign-in by OpenID Connect, and of confirmation where passwords are missing or switched off."""

from __future__ import annotations

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from core.errors import Conflict, Forbidden, Invalid, Unavailable
from core.setting_types import OidcProvider


class PasswordLoginOff(Forbidden):
    """A password where people sign in by providers alone (MAIM_PASSWORD_LOGIN)."""

    code = "PASSWORD_LOGIN_OFF"

    def __init__(self, providers: list[str]) -> None:
        super().__init__(
            format_lazy(_("Passwords are switched off; sign in with: {names}"), names=", ".join(providers))
        )


class SignInAgain(Forbidden):
    """A session that began too long ago to confirm a change."""

    code = "SIGN_IN_AGAIN"
    message = _("Sign in again to confirm this change; it has to be made within ten minutes")


class AccountInactive(Forbidden):
    """A user who was deactivated, and proved who they are."""

    message = _("This account is deactivated; ask an operator")


class ProviderUnavailable(Unavailable):
    """A provider that does not answer, or not as OpenID Connect has it."""

    def __init__(self, provider: OidcProvider) -> None:
        sentence = _("{name} does not answer as it should, try again shortly or sign in another way")
        super().__init__(format_lazy(sentence, name=provider.name), retry_after=5)


class SignInRefused(Invalid):
    """A code that the provider does not take, or an ID token that proves nothing."""

    def __init__(self, provider: OidcProvider) -> None:
        sentence = format_lazy(_("{name} did not confirm who you are; start the sign-in again"), name=provider.name)
        super().__init__({"code": [sentence]}, detail=sentence)


class BadFlow(Invalid):
    """A sign-in that was not begun by this browser, or has ended."""

    def __init__(self) -> None:
        super().__init__({"flow": [_("This sign-in has expired, was used, or began elsewhere; start it again")]})


class BadLinkChallenge(Invalid):
    """A challenge to link an identity that was used or has expired."""

    def __init__(self) -> None:
        super().__init__({"challenge": [_("This challenge has expired or was used; start the sign-in again")]})


class IdentityTaken(Conflict):
    """An identity of another user."""

    message = _("You sign in to another account with this identity already")


class LinkRequired(Forbidden):
    """An unknown identity whose e-mail address a user has, who is to prove that they are the same person."""

    code = "LINK_REQUIRED"
    message = _("An account has this e-mail address already; enter its password to link it")

    def __init__(self, challenge: str) -> None:
        super().__init__()
        self.extra = {"challenge": challenge}
