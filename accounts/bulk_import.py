"""Bulk import of users from another system, with their passwords."""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import copy

from django.db.models import F

from accounts.fields import USER_FIELDS
from accounts.hashers import FormerPasswordHasher
from accounts.models import TokenSession, User
from core import audit
from core.actor import Actor
from core.audit import AuditChange
from core.db import Wanted, overwrite, transactional

IMPORTED_FIELDS = ("username", "username_folded", "email", "email_folded", "password", "is_active", "created_at")
# Each step of the cost doubles the time of a sign-in; the old systems used 12.
_MAX_COST = 15
# Only two bits of a salt's last character count; bcrypt refuses a hash in which others are set.
_BCRYPT = re.compile(r"\$2[aby]\$(?P<cost>0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")


def former_password(text: str) -> str | None:
    """Return a bcrypt hash in the form in which it is stored, or None if it is malformed or costs too much."""
    match = _BCRYPT.fullmatch(text)
    if match is None or int(match["cost"]) > _MAX_COST:
        return None
    return f"{FormerPasswordHasher.algorithm}${text}"


def is_former(password: str) -> bool:
    """Return whether a stored password is still the imported one."""
    return password.startswith(f"{FormerPasswordHasher.algorithm}$")


@transactional
def import_users(*, actor: Actor, new: Sequence[User], changed: Sequence[Wanted[User]]) -> None:
    """Insert the new users, whose names are distinct, and update the changed ones.

    A changed password and a deactivation end all sessions of the user.
    """
    rows = _locked(changed)
    changing = [stored.pk for stored, wanted in rows if stored.password != wanted.password]
    leaving = [stored.pk for stored, wanted in rows if stored.is_active and not wanted.is_active]
    User.objects.filter(pk__in=leaving).update(deactivations=F("deactivations") + 1)
    TokenSession.objects.filter(user__in=[*changing, *leaving]).delete()
    before = [USER_FIELDS.audit_state(stored) for stored, _wanted in rows]
    overwrite(rows, IMPORTED_FIELDS, unique=[["username_folded"], ["email_folded"]])
    User.objects.bulk_create(new, batch_size=500)  # after updating: a new row may reuse a name that an update freed
    recorded = [AuditChange(user.id, None, after=USER_FIELDS.audit_state(user)) for user in new]
    recorded += [
        AuditChange(row.stored.id, None, was, USER_FIELDS.audit_state(row.stored))
        for row, was in zip(rows, before, strict=True)
    ]
    audit.record_all(actor=actor, action="user.import", changes=recorded)
    audit.record_all(actor=actor, action="user.password", changes=[AuditChange(user_id, None) for user_id in changing])


def _locked(changed: Sequence[Wanted[User]]) -> list[Wanted[User]]:
    """Lock the rows and read them again; leave out those that are gone.

    A sign-in at this moment waits, and is then refused. A password that was set since the rows were read is kept unless
    the import changes it.
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
