"""The second factors of a person: added and removed by themselves, or removed by an operator."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import recovery_codes, throttle, totp
from accounts.mail.texts import FactorChange
from accounts.models import Passkey, QueuedMail, TotpFactor, User
from accounts.services.confirmation import confirm_password, lock_confirmed
from accounts.services.methods import METHODS, methods_of
from accounts.services.notices import notify
from accounts.services.password_login import check_way_back
from accounts.services.second_step import WrongCode
from accounts.services.users import lock_user
from core import audit, sealing
from core.actor import Actor
from core.db import transactional
from core.errors import Conflict, NotFound

# For how long the secret of an app that was not confirmed is kept.
UNCONFIRMED_FOR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class TotpEnrolment:
    """The secret of an app that is to be confirmed by its first code. Never log it."""

    secret: str
    uri: str

    @property
    def qr_code(self) -> str:
        """The address as a QR code: a data URI of an SVG."""
        return totp.qr_code(self.uri).svg_data_uri(scale=4)

    @property
    def qr_svg(self) -> str:
        """The QR code as an element for an HTML page."""
        return totp.qr_code(self.uri).svg_inline(scale=4)

    def __repr__(self) -> str:
        return "TotpEnrolment(…)"


def begin_totp(*, actor: Actor, user: User, password: str | None = None) -> TotpEnrolment:
    """Return a new secret for an app, which counts when `confirm_totp` has seen a code.

    It replaces an earlier unconfirmed secret.

    Raise Conflict if the user has an app already, and what `confirm_password` does.
    """
    confirm_password(actor=actor, user=user, password=password)
    secret = totp.new_secret()
    _store_secret(user, secret)
    return TotpEnrolment(secret, totp.uri(user, secret))


def confirm_totp(*, actor: Actor, user: User, code: str) -> list[str]:
    """Make an app a factor by its first code. Return the user's recovery codes if it is the first factor, else none.

    Raise WrongCode, Conflict if no app waits for its confirmation, and TooMany.
    """
    throttle.attempt(account=user.username, address=actor.address)
    return _confirm_totp(actor, user, code)


def remove_totp(*, actor: Actor, user: User, password: str | None = None) -> None:
    """Remove a user's app, and with the last factor the recovery codes.

    Raise NotFound without one, and what `confirm_password` does.
    """
    confirm_password(actor=actor, user=user, password=password)
    _remove_totp(actor, user)


def renew_recovery_codes(*, actor: Actor, user: User, password: str | None = None) -> list[str]:
    """Return new recovery codes, which replace those before.

    Raise Conflict for a user without a factor, and what `confirm_password` does.
    """
    confirm_password(actor=actor, user=user, password=password)
    return _renew_recovery_codes(actor, user)


@transactional
def remove_factors(*, actor: Actor, user: User) -> None:
    """Remove every factor of a user who has lost them, and the recovery codes.

    Raise Conflict if there is none, or if the user signs in by passkeys alone and could not come in again.
    """
    locked = lock_user(user.pk)
    before = methods_of(locked)
    if not before:
        raise Conflict(_("This user has no second factor"))
    for method in METHODS.values():
        method.rows.filter(user=locked).delete()
    check_way_back(locked)
    record_factor_change(actor, locked, "factors_remove", FactorChange.ALL_REMOVED, before={"methods": before})


def factors_of(user: User) -> dict[str, Any]:
    """Return the factors of a user, and how many recovery codes are left."""
    app = TotpFactor.objects.filter(user=user, confirmed_at__isnull=False).first()
    factors: list[dict[str, Any]] = [] if app is None else [{"method": "totp", "added_at": app.confirmed_at}]
    factors += [passkey_state(passkey) for passkey in user.passkeys.order_by("created_at", "id")]
    return {"factors": factors, "recovery_codes": user.recovery_codes.count()}


def passkey_state(passkey: Passkey) -> dict[str, Any]:
    """Return a passkey as its owner sees it among their factors."""
    return {
        "method": "passkey",
        "added_at": passkey.created_at,
        "id": passkey.id,
        "name": passkey.name,
        "last_used_at": passkey.last_used_at,
        "is_backed_up": passkey.backed_up,
    }


def sweep_unconfirmed() -> int:
    """Delete the secrets that were not confirmed in time, and return their number."""
    return TotpFactor.objects.filter(confirmed_at=None, created_at__lt=_unconfirmed_since()).delete()[0]


@transactional
def _store_secret(user: User, secret: str) -> None:
    locked = lock_confirmed(user)
    if TotpFactor.objects.filter(user=locked, confirmed_at__isnull=False).exists():
        raise Conflict(_("You have an authenticator app already; remove it first"))
    values = {"secret": sealing.seal(secret), "created_at": timezone.now()}
    TotpFactor.objects.update_or_create(user=locked, defaults=values)


@transactional
def _confirm_totp(actor: Actor, user: User, code: str) -> list[str]:
    locked = lock_user(user.pk)
    waiting = TotpFactor.objects.filter(user=locked, confirmed_at=None, created_at__gte=_unconfirmed_since()).first()
    if waiting is None:
        raise Conflict(_("No authenticator app waits to be confirmed; begin again"))
    if not totp.use(waiting, code):
        raise WrongCode
    is_first = not methods_of(locked)
    TotpFactor.objects.filter(pk=waiting.pk).update(confirmed_at=timezone.now())
    record_factor_change(actor, locked, "factor_add", FactorChange.TOTP_ADDED, after={"method": "totp"})
    return recovery_codes.issue(locked) if is_first else []


@transactional
def _remove_totp(actor: Actor, user: User) -> None:
    locked = lock_confirmed(user)
    if not TotpFactor.objects.filter(user=locked, confirmed_at__isnull=False).delete()[0]:
        raise NotFound(_("You have no authenticator app"))
    if not methods_of(locked):
        locked.recovery_codes.all().delete()
    record_factor_change(actor, locked, "factor_remove", FactorChange.TOTP_REMOVED, before={"method": "totp"})


@transactional
def _renew_recovery_codes(actor: Actor, user: User) -> list[str]:
    locked = lock_confirmed(user)
    if not methods_of(locked):
        raise Conflict(_("You have no second factor that recovery codes could stand in for"))
    record_factor_change(actor, locked, "recovery_codes", FactorChange.CODES_RENEWED)
    return recovery_codes.issue(locked)


def record_factor_change(actor: Actor, user: User, action: str, change: FactorChange, **states: audit.State) -> None:
    """Write the audit entry of a change, and tell the user by mail."""
    audit.record(actor=actor, action=f"user.{action}", object_id=user.id, tenant_id=None, **states)
    notify(QueuedMail.Kind.FACTORS_CHANGED, actor=actor, user=user, to=user.email, about=change)


def _unconfirmed_since() -> datetime:
    return timezone.now() - UNCONFIRMED_FOR
