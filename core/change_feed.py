"""The change feed: a log of changed agents that bots follow.

An entry has the epoch of its transaction. Epochs are assigned in the order of commits (core.epoch), so
a reader who has read up to one has missed none before it, even while others are being written.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from core import epoch
from core.models import FeedEntry
from core.prepared_writes import insert_all

KEPT_FOR = timedelta(days=7)


def publish(kind: FeedEntry.Kind, subjects: Iterable[str], *, tenant_id: str | None) -> None:
    """Add an entry for each subject, at the end of the service's transaction."""
    ids = list(subjects)

    def write(number: int) -> None:
        now = timezone.now()
        insert_all(
            [FeedEntry(epoch=number, kind=kind, subject=subject, tenant_id=tenant_id, at=now) for subject in ids]
        )

    if ids:
        epoch.on_epoch(write)


@transaction.atomic
def sweep() -> int:
    """Delete entries older than KEPT_FOR, and return their number. Store an entry that tells up to where."""
    old = FeedEntry.objects.filter(at__lt=timezone.now() - KEPT_FOR)
    newest: int | None = old.exclude(kind=FeedEntry.Kind.TRUNCATED).aggregate(epoch=Max("epoch"))["epoch"]
    if newest is None:
        return 0
    truncated = FeedEntry.objects.filter(epoch__lte=newest)
    last: int = truncated.order_by("epoch", "pk").values_list("pk", flat=True).last() or 0
    number = truncated.delete()[0]
    FeedEntry.objects.create(epoch=newest, kind=FeedEntry.Kind.TRUNCATED, subject=str(last), at=timezone.now())
    return number


def last_truncated(entry: FeedEntry) -> int | None:
    """Return the id of the last entry that `sweep` deleted when it stored this one; None for other entries."""
    is_known = entry.kind == FeedEntry.Kind.TRUNCATED and entry.subject  # the version before stored no id
    return int(entry.subject) if is_known else None
