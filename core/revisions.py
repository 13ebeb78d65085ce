"""Revisions: a number of each object that every change increases.

Clients get it as `revision` and as the object's ETag, and send it in `If-Match` to change only the state they saw.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from django.db import models
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.errors import PreconditionFailed
from core.prepared_writes import PreparedWrites

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The revision of rows that are inserted without one, by the version before.
UNKNOWN_REVISION = 10**12


def first_revision() -> int:
    """Return the revision of a new object: the time in milliseconds.

    So an object that is deleted and created again under the same id never has a revision twice, because no object
    changes a thousand times a second. Nor does an agent's revision equal a version of its config by chance.
    """
    return (timezone.now() - _EPOCH) // timedelta(milliseconds=1)


def revision_field(**options: Any) -> models.PositiveBigIntegerField[int, int]:
    """Return a model field for revisions."""
    return models.PositiveBigIntegerField(
        _("revision"), default=first_revision, db_default=UNKNOWN_REVISION, editable=False, **options
    )


class Revised(PreparedWrites):
    """A model with a revision, which every `save` of a stored row increases by one.

    Services save rows that they have locked. Writes that are no change of the object (uses, heartbeats, resealed
    secrets) use `QuerySet.update`, which keeps the revision.
    """

    revision = revision_field()

    class Meta:
        abstract = True

    def save(self, *args: Any, update_fields: Iterable[str] | None = None, **options: Any) -> None:
        """Save the row; increase the revision of a stored one."""
        if not self._state.adding:
            self.revision += 1
            update_fields = None if update_fields is None else [*update_fields, "revision"]
        super().save(*args, update_fields=update_fields, **options)


class HasRevision(Protocol):
    """An object with a revision: a `Revised` row, or the columns of one that a client sees."""

    @property
    def revision(self) -> int: ...


def raise_revisions(rows: Sequence[Revised]) -> None:
    """Increase the revisions of stored rows before a bulk write. Lock the rows."""
    if not rows:
        return
    stored = type(rows[0])._base_manager.filter(pk__in=[row.pk for row in rows])
    stored.update(revision=F("revision") + 1)
    revisions = dict(stored.values_list("pk", "revision"))
    for row in rows:
        row.revision = revisions.get(row.pk, row.revision)


def check_revision(row: Revised | None, expected: Container[int] | None) -> None:
    """Raise PreconditionFailed unless the revision of a locked row is an expected one.

    `expected` None accepts any row, or none.
    """
    if expected is not None and (row is None or row.revision not in expected):
        raise PreconditionFailed
