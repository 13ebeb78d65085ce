"""Taking over the people of another system, as they are there, with the passwords that they have there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import copy

from django.db.models import F

from accounts.hashers import FormerPasswordHasher
from accounts.models import TokenSession, User
from accounts.services import audit_state
from core import audit
from core.actor import Actor
from core.audit import AuditChange
from core.db import Wanted, overwrite, transactional

FIELDS = ("username", "username_folded", "email", "email_folded", "password", "is_active", "created_at")
# Each step of the cost doubles the time of a sign-in; the systems before used 12.
_MAX_COST = 15
# Of a salt's last character only two bits count; one with others set, bcrypt refuses to hash with.
_BCRYPT = re.compile(r"\$2[aby]\$(?P<cost>0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")


def former_password(text: str) -> str | None:
    """How a bcrypt hash is stored, so that the same password signs in; None for what is none, or costs too much."""
    match = _BCRYPT.fullmatch(text)
    if match is None or int(match["cost"]) > _MAX_COST:
        return None
    return f"{FormerPasswordHasher.algorithm}${text}"


def is_former(password: str) -> bool:
    """Whether a stored password is still the one that came over."""
    return password.startswith(f"{FormerPasswordHasher.algorithm}$")


@transactional
def import_users(*, actor: Actor, new: Sequence[User], changed: Sequence[Wanted[User]]) -> None:
    """Stores users whose names were made distinct, and makes others what they are to be.

    A changed password, and deactivation, end all sessions.
    """
    rows = _locked(changed)
    changing = [stored.pk for stored, wanted in rows if stored.password != wanted.password]
    leaving = [stored.pk for stored, wanted in rows if stored.is_active and not wanted.is_active]
    User.objects.filter(pk__in=leaving).update(deactivations=F("deactivations") + 1)
    TokenSession.objects.filter(user__in=[*changing, *leaving]).delete()
    before = [audit_state(stored) for stored, _wanted in rows]
    overwrite(rows, FIELDS, unique=[["username_folded"], ["email_folded"]])
    User.objects.bulk_create(new, batch_size=500)  # later, for they may have what others give up
    recorded = [AuditChange(user.id, None, after=audit_state(user)) for user in new]
    recorded += [
        AuditChange(row.stored.id, None, was, audit_state(row.stored)) for row, was in zip(rows, before, strict=True)
    ]
    audit.record_all(actor=actor, action="user.import", changes=recorded)
    audit.record_all(actor=actor, action="user.password", changes=[AuditChange(user_id, None) for user_id in changing])


def _locked(changed: Sequence[Wanted[User]]) -> list[Wanted[User]]:
    """Lock the rows, and return them as they are by now; those that are gone are left out.

    A sign-in at this moment waits, and is then refused. Where no other password is wanted, one that was set
    since the rows were read is kept.
    """
    ids = [stored.pk for stored, _wanted in changed]
    stored_now = {user.pk: user for user in User.objects.select_for_update().filter(pk__in=ids)}
    rows = list[Wanted[User]]()
    for stored, wanted in changed:
        now = stored_now.get(stored.pk)
        if now is None:
            continue
        target = copy(wanted)
        if wanted.password == stored.password:
            target.password = now.password
        rows.append(Wanted(now, target))
    return rows
