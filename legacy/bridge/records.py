"""What a bridge has written, and how far it has read, in maim's own database."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime

from django.db.models import QuerySet

from legacy.models import Bridge, Bridged, Imported
from legacy.sources import Source

_BATCH = 500


class Records:
    """The records of one bridge. With `is_dry` nothing is written."""

    def __init__(self, source: Source, *, is_dry: bool = False) -> None:
        self._target, self._label, self._is_dry = source.identity, str(source), is_dry

    def bridge(self) -> Bridge:
        """Return how far the bridge has come; a new row where it has never run."""
        if self._is_dry:
            return Bridge.objects.filter(pk=self._target).first() or Bridge(target=self._target)
        return Bridge.objects.update_or_create(target=self._target, defaults={"label": self._label[:500]})[0]

    def save(self, bridge: Bridge) -> None:
        if not self._is_dry:
            bridge.save(update_fields=["cursor", "current_at", "compared_at", "refused"])

    def remember(self, kind: str, object_ids: Collection[str]) -> None:
        """Record objects that are on both sides, or about to be."""
        if self._is_dry:
            return
        known = set(self._rows(kind).filter(object_id__in=object_ids).values_list("object_id", flat=True))
        Bridged.objects.bulk_create(
            Bridged(target=self._target, kind=kind, object_id=object_id)
            for object_id in object_ids
            if object_id not in known
        )

    def forget(self, kind: str, object_ids: Collection[str]) -> None:
        """Drop the records of objects that are on neither side any more."""
        if not self._is_dry and object_ids:
            self._rows(kind).filter(object_id__in=object_ids).delete()

    def known(self, kind: str, object_ids: Collection[str]) -> set[str]:
        """Return those of the ids that are of objects which were here: bridged, or imported."""
        bridged = self._rows(kind).filter(object_id__in=object_ids)
        imported = Imported.objects.filter(kind=kind, object_id__in=object_ids)
        return {*bridged.values_list("object_id", flat=True), *imported.values_list("object_id", flat=True)}

    def pages(self, kind: str) -> Iterator[list[str]]:
        """Return the ids of all objects that were here, some at a time; the same id may come twice."""
        for rows in (self._rows(kind), Imported.objects.filter(kind=kind)):
            last = ""
            while page := list(
                rows.filter(object_id__gt=last).order_by("object_id").values_list("object_id", flat=True)[:_BATCH]
            ):
                yield page
                last = page[-1]

    def _rows(self, kind: str) -> QuerySet[Bridged]:
        return Bridged.objects.filter(target=self._target, kind=kind)


def forget(source: Source) -> int:
    """Drop all records of a bridge, which has ended; return how many objects it had."""
    target = source.identity
    number = Bridged.objects.filter(target=target).delete()[0]
    Bridge.objects.filter(pk=target).delete()
    return number


def since_when(source: Source) -> datetime | None:
    """Return when a bridge first ran to this database, or None if none ever did."""
    return Bridge.objects.filter(pk=source.identity).values_list("created_at", flat=True).first()
