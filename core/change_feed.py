"""The feed of changes that bots follow: which agents are no longer what they were.

An entry has the epoch of its transaction, and epochs are given out in the order of commits
(core.epoch): whoever has read up to one has missed none before it, whatever else is being written.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from core import epoch
from core.models import Change

KEPT_FOR = timedelta(days=7)


def publish(kind: Change.Kind, subjects: Iterable[str], *, tenant_id: str | None) -> None:
    """Adds an entry for each subject; part of a transactional service."""
    listed = list(subjects)

    def write(number: int) -> None:
        now = timezone.now()
        Change.objects.bulk_create(
            [Change(epoch=number, kind=kind, subject=subject, tenant_id=tenant_id, at=now) for subject in listed],
            batch_size=500,
        )

    if listed:
        epoch.on_epoch(write)


@transaction.atomic
def sweep() -> int:
    """Deletes entries that are older than KEPT_FOR; how many there were. One stays to say up to where."""
    old = Change.objects.filter(at__lt=timezone.now() - KEPT_FOR)
    reached: int | None = old.exclude(kind=Change.Kind.SWEPT).aggregate(epoch=Max("epoch"))["epoch"]
    if reached is None:
        return 0
    swept = Change.objects.filter(epoch__lte=reached)
    last: int = swept.order_by("epoch", "pk").values_list("pk", flat=True).last() or 0
    number = swept.delete()[0]
    Change.objects.create(epoch=reached, kind=Change.Kind.SWEPT, subject=str(last), at=timezone.now())
    return number


def last_swept(row: Change) -> int | None:
    """Return which entry was the last that `sweep` deleted, of the row that it left; None of another row."""
    is_known = row.kind == Change.Kind.SWEPT and row.subject  # which the version before left empty
    return int(row.subject) if is_known else None
