"""The passkeys of a person: added, renamed and removed by themselves."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from accounts import passkey_challenges, recovery_codes, throttle, webauthn
from accounts.mail.texts import FactorChange
from accounts.models import Passkey, User
from accounts.services.confirmation import confirm_password, lock_confirmed
from accounts.services.factors import passkey_state, record_factor_change
from accounts.services.methods import methods_of
from accounts.services.password_login import check_way_to_sign_in
from accounts.services.sign_ins import PasskeyRequest
from accounts.services.users import lock_user
from accounts.webauthn import Credential, NewPasskey, WrongPasskey
from core import audit
from core.actor import Actor
from core.db import transactional
from core.errors import Conflict, Invalid, NotFound
from core.text import name_error

# The response to a right password names them all.
MAX_PASSKEYS = 20


@dataclass(frozen=True, slots=True)
class AddedPasskey:
    """A passkey that was added, and with the first factor the recovery codes, shown this once. Never log it."""

    id: str
    recovery_codes: list[str]

    def __repr__(self) -> str:
        return "AddedPasskey(…)"


def begin_passkey(*, actor: Actor, user: User, password: str | None = None) -> PasskeyRequest:
    """Return what a browser needs to make a passkey for `add_passkey`, within five minutes. Nothing is stored.

    Raise Conflict if the user has MAX_PASSKEYS, NoPasskeysHere, and what `confirm_password` does.
    """
    confirm_password(actor=actor, user=user, password=password)
    existing = list(user.passkeys.all())
    _check_number(len(existing))
    challenge = passkey_challenges.issue(passkey_challenges.purpose_of_adding(user))
    return PasskeyRequest(challenge, webauthn.creation_options(user, challenge, existing))


def add_passkey(*, actor: Actor, user: User, challenge: str, credential: Credential, name: str) -> AddedPasskey:
    """Add the passkey that a browser made. It counts as a factor from now on, and signs its owner in alone.

    Raise Invalid for a bad name, BadPasskeyChallenge (also after a new password or a deactivation),
    WrongPasskey, NoPasskeysHere, Conflict, and TooMany.
    """
    _check_name(name)
    throttle.attempt(account=user.username, address=actor.address)
    return _add(actor, user, challenge, webauthn.register(challenge, credential), name)


@transactional
def rename_passkey(*, actor: Actor, user: User, passkey_id: str, name: str) -> dict[str, Any]:
    """Give a passkey another name, and return it as in `factors_of`. Raise Invalid for a bad name, and NotFound."""
    _check_name(name)
    passkey = _get(lock_user(user.pk), passkey_id)
    before = _audit_state(passkey)
    passkey.name = name
    passkey.save(update_fields=["name"])
    after = _audit_state(passkey)
    if after != before:
        audit.record(
            actor=actor,
            action="user.factor_rename",
            object_id=user.id,
            tenant_id=None,
            before=before,
            after=after,
            identity=("passkey",),
        )
    return passkey_state(passkey)


def remove_passkey(*, actor: Actor, user: User, passkey_id: str, password: str | None = None) -> None:
    """Remove a passkey, and with the last factor the recovery codes.

    Raise NotFound, Conflict for the last way to sign in, and as `confirm_password`.
    """
    confirm_password(actor=actor, user=user, password=password)
    _remove(actor, user, passkey_id)


@transactional
def _add(actor: Actor, user: User, challenge: str, new: NewPasskey, name: str) -> AddedPasskey:
    locked = lock_user(user.pk)
    passkey_challenges.consume(challenge, passkey_challenges.purpose_of_adding(locked))
    _check_number(locked.passkeys.count())
    is_first = not methods_of(locked)
    passkey, is_new = Passkey.objects.get_or_create(
        credential_digest=new.credential_digest, defaults={**asdict(new), "user": locked, "name": name}
    )
    if not is_new:
        raise WrongPasskey
    after = {"method": "passkey", **_audit_state(passkey)}
    record_factor_change(actor, locked, "factor_add", FactorChange.PASSKEY_ADDED, after=after)
    return AddedPasskey(passkey.id, recovery_codes.issue(locked) if is_first else [])


@transactional
def _remove(actor: Actor, user: User, passkey_id: str) -> None:
    locked = lock_confirmed(user)
    passkey = _get(locked, passkey_id)
    before = {"method": "passkey", **_audit_state(passkey)}
    passkey.delete()
    check_way_to_sign_in(locked)
    if not methods_of(locked):
        locked.recovery_codes.all().delete()
    record_factor_change(actor, locked, "factor_remove", FactorChange.PASSKEY_REMOVED, before=before)


def _get(locked: User, passkey_id: str) -> Passkey:
    passkey = locked.passkeys.filter(pk=passkey_id).first()
    if passkey is None:
        raise NotFound(_("You have no passkey with this id"))
    return passkey


def _audit_state(passkey: Passkey) -> dict[str, str]:
    return {"passkey": passkey.id, "name": passkey.name}


def _check_name(name: str) -> None:
    if error := name_error(name):
        raise Invalid({"name": [error]})


def _check_number(number: int) -> None:
    if number >= MAX_PASSKEYS:
        raise Conflict(_("You have as many passkeys as are possible; remove one first"))
