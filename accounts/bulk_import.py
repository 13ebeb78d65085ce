"""Bulk import of the users of another system, with their passwords."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from copy import copy

from django.conf import settings
from django.db.models import F
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from accounts.fields import USER_FIELDS
from accounts.hashers import FormerPasswordHasher
from accounts.models import PersonalToken, TokenSession, User
from accounts.services.personal_tokens import end_tokens
from accounts.services.users import lock_admins
from core import audit, epoch
from core.actor import Actor
from core.audit import AuditChange
from core.db import RowUpdate, bulk_overwrite, transactional_and_propagated
from core.errors import Conflict

IMPORTED_FIELDS = ("username", "username_folded", "email", "email_folded", "password", "is_active", "created_at")
# Each step of the cost doubles the time of a sign-in; the old systems used 12.
_MAX_COST = 15
# Only two bits of a salt's last character count. bcrypt refuses a salt in which others are set.
_BCRYPT = re.compile(r"\$2[aby]\$(?P<cost>0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")


def former_password(text: str) -> str | None:
    """Return a bcrypt hash as it is stored, so that the same password signs in; None if it is invalid or too costly."""
    match = _BCRYPT.fullmatch(text)
    if match is None or int(match["cost"]) > _MAX_COST:
        return None
    return f"{FormerPasswordHasher.algorithm}${text}"


def is_former(password: str) -> bool:
    """Return whether a stored password is still the imported one."""
    return password.startswith(f"{FormerPasswordHasher.algorithm}$")


@transactional_and_propagated
def import_users(*, actor: Actor, new: Sequence[User], changed: Sequence[RowUpdate[User]]) -> None:
    """Store new users, whose names must be free by then, and overwrite existing ones.

    A changed password and a deactivation end all sessions of the user, and a deactivation their personal access tokens.
    Raise Conflict for a deactivation of the last active admin.
    """
    rows = _lock(changed)
    with_new_password = [existing.pk for existing, target in rows if existing.password != target.password]
    deactivated = [existing.pk for existing, target in rows if existing.is_active and not target.is_active]
    if deactivated:
        _check_an_admin_stays(deactivated)
    User.objects.filter(pk__in=deactivated).update(deactivations=F("deactivations") + 1)
    TokenSession.objects.filter(user__in=[*with_new_password, *deactivated]).delete()
    if deactivated:
        end_tokens(actor, PersonalToken.objects.filter(user__in=deactivated))
    activity_changed = [existing.pk for existing, target in rows if existing.is_active != target.is_active]
    if settings.KEYS_OFF_WITH_OWNER and activity_changed:
        epoch.invalidate(*activity_changed)
    before = [USER_FIELDS.audit_state(existing) for existing, _target in rows]
    bulk_overwrite(rows, IMPORTED_FIELDS, unique=[["username_folded"], ["email_folded"]])
    # Insert after updating: a new row may reuse a name that an update freed.
    User.objects.bulk_create(new, batch_size=500)
    recorded = [AuditChange(user.id, None, after=USER_FIELDS.audit_state(user)) for user in new]
    recorded += [
        AuditChange(row.existing.id, None, was, USER_FIELDS.audit_state(row.existing))
        for row, was in zip(rows, before, strict=True)
    ]
    audit.record_all(actor=actor, action="user.import", changes=recorded)
    audit.record_all(
        actor=actor, action="user.password", changes=[AuditChange(user_id, None) for user_id in with_new_password]
    )


def _check_an_admin_stays(deactivated: Collection[str]) -> None:
    admins = {user.pk: user.username for user in lock_admins()}
    if admins and admins.keys() <= set(deactivated):
        names = ", ".join(sorted(admins.values()))
        raise Conflict(
            format_lazy(_("No admin would be active without {names}; make somebody else one first"), names=names)
        )


def _lock(changed: Sequence[RowUpdate[User]]) -> list[RowUpdate[User]]:
    """Lock the rows, and return them as they are stored now, without deleted ones.

    A sign-in at this moment waits, and is then refused. Where the password is not to change, keep one that was set
    since the rows were read.
    """
    ids = [existing.pk for existing, _target in changed]
    locked = {user.pk: user for user in User.objects.select_for_update().filter(pk__in=ids)}
    rows = list[RowUpdate[User]]()
    for existing, target in changed:
        current = locked.get(existing.pk)
        if current is None:
            continue
        new = copy(target)
        if target.password == existing.password:
            new.password = current.password
        rows.append(RowUpdate(current, new))
    return rows
