"""The texts of mails, in English and Chinese."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.operator_roles import OperatorRole
from core.display import isolated
from core.errors import Text

_LIKE_A_LINK = re.compile(r"[./:@。．]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A mail's text. The subject holds nothing that people chose."""

    subject: str
    paragraphs: list[str]
    link: str | None = None
    link_text: str = ""

    def to(self, address: str) -> EmailMultiAlternatives:
        """Return the mail, as text and as HTML."""
        message = EmailMultiAlternatives(
            self.subject,
            render_to_string("accounts/mail/letter.txt", {"letter": self}),
            to=[address],
            headers={"Auto-Submitted": "auto-generated"},  # so that no automatic reply comes back (RFC 3834)
        )
        message.attach_alternative(render_to_string("accounts/mail/letter.html", {"letter": self}), "text/html")
        return message


def link(action: str, token: str) -> str:
    """Return the link with a token in its fragment, which browsers send to no server."""
    template: str = settings.EMAIL_LINKS
    return template.replace("{action}", action).replace("{token}", token)


def reset(user: User, token: str) -> Letter:
    return Letter(
        subject=gettext("Set a new password"),
        paragraphs=[
            gettext("Somebody asked for a new password for your account."),
            *account(user),
            gettext("The link works once, within an hour. It ends all sessions of the account."),
            gettext("If it was not you, ignore this mail; the password stays as it is."),
        ],
        link=link("reset-password", token),
        link_text=gettext("Set a new password"),
    )


def verify(token: str) -> Letter:
    return Letter(
        subject=gettext("Confirm your e-mail address"),
        paragraphs=[
            gettext("This address was entered for an account. Confirm that it is yours."),
            gettext("The link works once, within a day."),
            gettext("If it was not you, ignore this mail, and the address is not confirmed."),
        ],
        link=link("verify-email", token),
        link_text=gettext("Confirm the address"),
    )


def invitation(token: str) -> Letter:
    return Letter(
        subject=gettext("Invitation to register"),
        paragraphs=[
            gettext("You are invited to open an account with this e-mail address."),
            gettext("The link works once, within seven days."),
            gettext("If you did not expect it, ignore this mail."),
        ],
        link=link("accept-invitation", token),
        link_text=gettext("Open an account"),
    )


def password_changed(user: User) -> Letter:
    return Letter(
        subject=gettext("Your password was changed"),
        paragraphs=[
            gettext("The password of your account was changed."),
            *account(user),
            gettext("If it was not you, set a new password at once, and tell an operator."),
        ],
    )


def email_changed(user: User) -> Letter:
    return Letter(
        subject=gettext("Your e-mail address was changed"),
        paragraphs=[
            gettext("Your account does not use this e-mail address any more."),
            *account(user),
            gettext("If it was not you, tell an operator at once."),
        ],
    )


def new_sign_in(user: User, address: str, at: datetime) -> Letter:
    return Letter(
        subject=gettext("Sign-in from a new address"),
        paragraphs=[
            gettext("Somebody signed in to your account from an address that was not seen there before."),
            gettext("IP address: %(address)s, time: %(time)s UTC")
            % {"address": address, "time": f"{at:%Y-%m-%d %H:%M}"},
            *account(user),
            gettext("If it was not you, set a new password at once, and tell an operator."),
        ],
    )


class FactorChange(StrEnum):
    """A change of somebody's second factors."""

    TOTP_ADDED = "totp added"
    TOTP_REMOVED = "totp removed"
    PASSKEY_ADDED = "passkey added"
    PASSKEY_REMOVED = "passkey removed"
    CODES_RENEWED = "recovery codes renewed"
    CODE_USED = "recovery code used"
    ALL_REMOVED = "all removed"


_FACTOR_SENTENCES: dict[str, Text] = {
    FactorChange.TOTP_ADDED: _("An authenticator app was added to your account."),
    FactorChange.TOTP_REMOVED: _("The authenticator app of your account was removed."),
    FactorChange.PASSKEY_ADDED: _("A passkey was added to your account. It signs in to it alone."),
    FactorChange.PASSKEY_REMOVED: _("A passkey of your account was removed."),
    FactorChange.CODES_RENEWED: _("New recovery codes were made for your account. The former ones are void."),
    FactorChange.CODE_USED: _("A recovery code was used to sign in to your account."),
    FactorChange.ALL_REMOVED: _("An operator removed all second factors and recovery codes of your account."),
}


def factors_changed(user: User, change: str) -> Letter:
    """Return the notice of a FactorChange; "" is in mails that a version before has queued."""
    return Letter(
        subject=gettext("Your second factors were changed"),
        paragraphs=[
            str(_FACTOR_SENTENCES.get(change, _("Your second factors were changed."))),
            *account(user),
            gettext("If it was not you, set a new password, and tell an operator."),
        ],
    )


def identity_added(user: User, provider: str) -> Letter:
    provider = provider or gettext("another provider")
    return Letter(
        subject=gettext("A new way to sign in to your account"),
        paragraphs=[
            gettext("You can sign in to your account with %(provider)s from now on.") % {"provider": provider},
            *account(user),
            gettext("If it was not you, remove it at once, set a new password, and tell an operator."),
        ],
    )


def identity_removed(user: User, provider: str) -> Letter:
    provider = provider or gettext("another provider")
    return Letter(
        subject=gettext("A way to sign in to your account was removed"),
        paragraphs=[
            gettext("You cannot sign in to your account with %(provider)s any more.") % {"provider": provider},
            *account(user),
            gettext("If it was not you, set a new password at once, and tell an operator."),
        ],
    )


def token_created(user: User) -> Letter:
    return Letter(
        subject=gettext("A new personal access token for your account"),
        paragraphs=[
            gettext("A program can use your account with a personal access token that was created now."),
            *account(user),
            gettext("If it was not you, revoke it at once, set a new password, and tell an operator."),
        ],
    )


def operator_role(user: User, role: str) -> Letter:
    """Return the notice of an OperatorRole; "" is none any more."""
    if role:
        sentence = gettext("Your role in the admin is from now on: %(role)s.") % {"role": OperatorRole(role).label}
    else:
        sentence = gettext("You are no operator any more, and cannot use the admin.")
    return Letter(
        subject=gettext("Your role in the admin was changed"),
        paragraphs=[sentence, *account(user), gettext("If you did not expect it, tell an admin at once.")],
    )


def account_closed() -> Letter:
    return Letter(
        subject=gettext("Your account was closed"),
        paragraphs=[
            gettext("The account with this e-mail address was closed. Nobody can sign in to it any more."),
            gettext("If it was not you, tell an operator at once."),
        ],
    )


def key_leaked(details: Mapping[str, str]) -> Letter:
    return Letter(
        subject=gettext("An API key was reported as leaked"),
        paragraphs=[
            gettext("Somebody reported an API key as leaked. It is refused everywhere from now on."),
            *_key(details),
            gettext("Rotate the key, so that it gets a new secret, and remove the old one from where it was seen."),
        ],
    )


def key_expires(details: Mapping[str, str]) -> Letter:
    return Letter(
        subject=gettext("An API key expires soon"),
        paragraphs=[
            gettext("An API key expires at %(time)s, and is refused from then on.") % {"time": details["expires_at"]},
            *_key(details),
            gettext("Set a later time if it is still needed."),
            _switch_off(),
        ],
    )


def quota_reached(details: Mapping[str, str]) -> Letter:
    used_up = details["percent"] == "100"
    return Letter(
        subject=gettext("A quota is used up") if used_up else gettext("A quota is nearly used up"),
        paragraphs=[
            gettext("%(percent)s %% of a quota of %(limit)s uses are used. Beyond it, keys are refused.")
            % {"percent": details["percent"], "limit": details["limit"]},
            gettext("Quota of: %(name)s (%(id)s)") % {"name": _shown(details["name"]), "id": details["subject"]},
            *_tenant(details),
            _switch_off(),
        ],
    )


def _key(details: Mapping[str, str]) -> list[str]:
    named = {"name": _shown(details["key_name"]), "id": details["subject"]}
    return [gettext("API key: %(name)s (%(id)s)") % named, *_tenant(details)]


def _tenant(details: Mapping[str, str]) -> list[str]:
    return [
        gettext("Tenant: %(name)s (%(id)s)") % {"name": _shown(details["tenant"]), "id": details["tenant_id"]},
    ]


def _shown(name: str) -> str:
    """Return a name that members chose, or an ellipsis for one that mail programs would make a link of."""
    return "…" if looks_like_a_link(name) else isolated(name)


def _switch_off() -> str:
    return gettext("You get such mails as an owner or admin. Your profile in the console can switch them off.")


def account(user: User) -> list[str]:
    """Return a paragraph with the username, unless somebody may have chosen it for a stranger to read.

    Anybody may register an advertisement as a name, with somebody else's address. Mail programs make links of it.
    """
    is_harmless = user.email_verified or not looks_like_a_link(user.username)
    return [gettext("Account: %(user)s") % {"user": isolated(user.username)}] if is_harmless else []


def looks_like_a_link(name: str) -> bool:
    """Return whether a mail program may make a link of a name that somebody chose."""
    return bool(_LIKE_A_LINK.search(name))
