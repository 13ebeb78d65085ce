"""The methods by which somebody completes a sign-in. Another method is one more entry of METHODS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from accounts import recovery_codes, totp
from accounts.mail.texts import FactorChange
from accounts.models import Passkey, QueuedMail, RecoveryCode, TotpFactor, User
from accounts.services.notices import notify
from accounts.services.passkeys import use_passkey
from accounts.webauthn import Credential, WrongPasskey
from core import audit
from core.actor import Actor
from core.errors import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The answer to a challenge: a code, or the credential of a passkey. Never log it."""

    challenge: str
    code: str = ""
    credential: Credential | None = None

    def __repr__(self) -> str:
        return "Proof(…)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A method: its name for people, the rows that allow it to their users, and the check that uses a proof up."""

    label: Text
    rows: QuerySet[Any]
    use: Callable[[Actor, User, Proof], bool]
    # Whether it is a factor of its own. Recovery codes stand in for one.
    is_factor: bool = True


def _use_totp(actor: Actor, user: User, proof: Proof) -> bool:
    factor = TotpFactor.objects.filter(user=user, confirmed_at__isnull=False).first()
    return factor is not None and totp.use(factor, proof.code)


def _use_passkey(actor: Actor, user: User, proof: Proof) -> bool:
    if proof.credential is None:
        raise WrongPasskey
    use_passkey(user, proof.challenge, proof.credential)
    return True


def _use_recovery_code(actor: Actor, user: User, proof: Proof) -> bool:
    if not recovery_codes.use(user, proof.code):
        return False
    notify(QueuedMail.Kind.FACTORS_CHANGED, actor=actor, user=user, to=user.email, about=FactorChange.CODE_USED)
    left = {"left": user.recovery_codes.count()}
    audit.record(actor=actor, action="user.recovery_code", object_id=user.id, tenant_id=None, after=left)
    return True


METHODS = {
    "totp": Method(
        label=_("authenticator app"), rows=TotpFactor.objects.filter(confirmed_at__isnull=False), use=_use_totp
    ),
    "passkey": Method(label=_("passkey"), rows=Passkey.objects.all(), use=_use_passkey),
    "recovery_code": Method(
        label=_("recovery codes"), rows=RecoveryCode.objects.all(), use=_use_recovery_code, is_factor=False
    ),
}


def with_factor(user: str) -> Q:
    """Return the condition that the user whom this column names has a factor of their own."""
    held = (
        Q(**{f"{user}__in": method.rows.filter(user=OuterRef(user)).values("user")})
        for method in METHODS.values()
        if method.is_factor
    )
    return reduce(or_, held)


def has_factor(user_id: str) -> bool:
    """Return whether a user has a factor of their own."""
    return User.objects.filter(with_factor("pk"), pk=user_id).exists()


def methods_of(user: User) -> list[str]:
    """Return the names of the methods that a user has, in one query; none without a factor."""
    held = {name: Exists(method.rows.filter(user=OuterRef("pk"))) for name, method in METHODS.items()}
    names = [name for name, is_held in User.objects.filter(pk=user.pk).values(**held).get().items() if is_held]
    return names if any(METHODS[name].is_factor for name in names) else []
