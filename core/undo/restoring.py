"""The restoration of deleted objects, and the sweep of those whose time is over."""

from __future__ import annotations

from collections import Counter

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core import audit, sealing
from core.actor import Actor
from core.db import delete_one_by_one, transactional, translate_unique_violation
from core.errors import Conflict, Forbidden, Gone, NotFound
from core.models import DeletedObject
from core.undo.chunks import read_rows, to_instances
from core.undo.parts import Restoration, parts_of


class DeletedObjectNotFound(NotFound):
    message = _("There is no such deleted object, or it was restored")


class UndoExpired(Gone):
    message = _("The time in which this could be restored is over")


class ExistsAgain(Conflict):
    message = _("It cannot be restored: an object with the same id exists again")


class SealedElsewhere(Conflict):
    message = _("A deleted object is sealed under a key that is not in MAIM_ENCRYPTION_KEYS here")


class DamagedCopy(Conflict):
    message = _("It cannot be restored: its stored copy lacks rows, or has those of something else")


# By the primary key, as MariaDB and SQLite name it, and by the one unique name that another writer can take meanwhile.
_TAKEN = {
    "PRIMARY": ExistsAgain(),
    ".id": ExistsAgain(),
    "name": Conflict(_("A name was taken this very moment; try again")),
}


def deleted_objects() -> QuerySet[DeletedObject]:
    """Return what can be restored, the newest deletion first."""
    return DeletedObject.objects.filter(expires_at__gt=timezone.now()).order_by("-deleted_at", "-id")


def find_deleted(actor: Actor, named: str) -> DeletedObject:
    """Return a deleted object by its own id, or by that of the tenant or agent; of several deletions the last.

    Raise DeletedObjectNotFound, and Forbidden for actors who are not trusted with every tenant.
    """
    if not actor.is_trusted:
        raise Forbidden
    found = DeletedObject.objects.filter(pk=named).first() or deleted_objects().filter(object_id=named).first()
    if found is None:
        raise DeletedObjectNotFound
    return found


@transactional
def restore(*, actor: Actor, deleted: DeletedObject) -> Restoration:
    """Put a deleted tenant or agent back: the same ids, config versions, members who still exist, and settings.

    Its keys come back disabled and without a secret: each has to be rotated and enabled. Names that were taken
    meanwhile get the object's id behind them. Raise Forbidden, DeletedObjectNotFound, UndoExpired, ExistsAgain,
    SealedElsewhere, DamagedCopy, TenantNotFound for an agent whose tenant is gone, TenantLimitReached, and Conflict for
    a tenant whose owner is gone.
    """
    if not actor.is_trusted:
        raise Forbidden
    row = DeletedObject.objects.select_for_update().filter(pk=deleted.pk).first()
    if row is None:
        raise DeletedObjectNotFound
    if row.expires_at <= timezone.now():
        raise UndoExpired
    restoration, counts = Restoration(row, actor), Counter[str]()
    parts = {part.label: part for part in parts_of(DeletedObject.Kind(row.kind))}
    try:
        _check_whole(row)
        with translate_unique_violation(_TAKEN):
            for stored in read_rows(row):
                part = parts[stored.label]
                counts[part.label] += part.put_back(to_instances(part, stored), restoration)
    except sealing.Unsealable as error:
        raise SealedElsewhere from error
    row.delete()
    after = {
        "name": row.name,
        "deleted_at": row.deleted_at.isoformat(),
        "counts": counts,
        "renamed": restoration.renamed,
    }
    audit.record(
        actor=actor, action=f"{row.kind}.restore", object_id=row.object_id, tenant_id=row.tenant_id, after=after
    )
    return restoration


def _check_whole(deleted: DeletedObject) -> None:
    """Raise DamagedCopy if stored rows are missing, and Unsealable if they cannot be decrypted.

    Before any is put back, because a row that another refers to may be the one that is missing.
    """
    found = Counter[str]()
    for stored in read_rows(deleted):
        found[stored.label] += len(stored.rows)
    if found != deleted.counts:
        raise DamagedCopy


def sweep() -> int:
    """Delete for good what can no longer be restored, and return the number of objects."""
    return delete_one_by_one(DeletedObject.objects.filter(expires_at__lte=timezone.now()))
