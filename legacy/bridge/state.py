"""The state of a bridge in maim's own database: the objects that it has written, and how far it has read changes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime

from django.db.models import QuerySet

from legacy.models import Bridge, Bridged, Imported
from legacy.sources import Source

_PAGE = 500


class BridgeState:
    """The state of one bridge. A dry run writes nothing."""

    def __init__(self, source: Source, *, is_dry: bool = False) -> None:
        self._target, self._label, self._is_dry = source.identity, str(source), is_dry

    def load(self) -> Bridge:
        """Return the bridge's row, which is created for a bridge that has never run."""
        if self._is_dry:
            return Bridge.objects.filter(pk=self._target).first() or Bridge(target=self._target)
        return Bridge.objects.update_or_create(target=self._target, defaults={"label": self._label[:500]})[0]

    def save(self, bridge: Bridge) -> None:
        if not self._is_dry:
            bridge.save(update_fields=["cursor", "current_at", "compared_at", "refused"])

    def record(self, kind: str, object_ids: Collection[str]) -> None:
        """Record objects that are on both sides, or are about to be."""
        if self._is_dry:
            return
        recorded = set(self._records(kind).filter(object_id__in=object_ids).values_list("object_id", flat=True))
        Bridged.objects.bulk_create(
            Bridged(target=self._target, kind=kind, object_id=object_id)
            for object_id in object_ids
            if object_id not in recorded
        )

    def delete(self, kind: str, object_ids: Collection[str]) -> None:
        """Delete the records of objects that are on neither side any more."""
        if not self._is_dry and object_ids:
            self._records(kind).filter(object_id__in=object_ids).delete()

    def known_ids(self, kind: str, object_ids: Collection[str]) -> set[str]:
        """Return the given ids of objects that maim has or had: those of written and of imported objects."""
        written = self._records(kind).filter(object_id__in=object_ids)
        imported = Imported.objects.filter(kind=kind, object_id__in=object_ids)
        return {*written.values_list("object_id", flat=True), *imported.values_list("object_id", flat=True)}

    def known_id_pages(self, kind: str) -> Iterator[list[str]]:
        """Yield the ids of all objects that maim has or had, in pages. The same id may come twice."""
        for rows in (self._records(kind), Imported.objects.filter(kind=kind)):
            last = ""
            while page := list(
                rows.filter(object_id__gt=last).order_by("object_id").values_list("object_id", flat=True)[:_PAGE]
            ):
                yield page
                last = page[-1]

    def _records(self, kind: str) -> QuerySet[Bridged]:
        return Bridged.objects.filter(target=self._target, kind=kind)


def delete_records(source: Source) -> int:
    """Delete the state of a bridge that has ended. Return the number of its objects."""
    target = source.identity
    number = Bridged.objects.filter(target=target).delete()[0]
    Bridge.objects.filter(pk=target).delete()
    return number


def first_run_at(source: Source) -> datetime | None:
    """Return when a bridge to this database first ran, or None if none ever did."""
    return Bridge.objects.filter(pk=source.identity).values_list("created_at", flat=True).first()
