"""Removals that an import makes: what came from the old system and is there no longer, and what goes with it.

They are found before anything is written, and refused when they are many, or when something would go that was
made or changed here since: a wrong database is missing almost everything.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from django.db.models import QuerySet

from core.actor import Actor
from core.models import AuditEntry
from legacy.grouping import groups
from legacy.importers import AnyKind, Kinds
from legacy.models import Imported
from legacy.reports import Report
from legacy.snapshot import Snapshot
from legacy.sources import SourceError

DEACTIVATED = ""  # the fingerprint of a user who is no longer there, and was deactivated here
_BATCH = 500
_SHARE = 4  # one in four of what came over


class Removal(NamedTuple):
    """An object that a run removes; a user is deactivated."""

    kind: str
    object_id: str
    tenant_id: str | None
    was_imported: bool
    audit_id: str  # by which the audit log names it


class Remover:
    """Removes what is no longer there or, where nothing is `applied`, notes what would be gone, by kind (`leaving`)."""

    def __init__(self, old: Snapshot, kinds: Kinds, actor: Actor, *, applied: bool) -> None:
        self._old, self._kinds, self._actor, self._is_applied = old, kinds, actor, applied
        self._counted: dict[str, set[str]] = defaultdict(set)
        self.leaving: dict[str, set[str]] = defaultdict(set)
        self.removals: list[Removal] = []

    def remove_users(self, report: Report) -> None:
        """Deactivate users who are no longer there."""
        self._remove_missing(self._kinds.users, (), report)

    def remove_tenants(self, report: Report) -> None:
        """Remove tenants that are no longer there, with all that they hold."""
        there = {row["id"] for row in self._old.rows("SELECT id FROM tenant_ids")}
        gone = set(imported(self._kinds.tenants).values_list("object_id", flat=True)) - there
        self._remove(self._kinds.tenants, gone, report)
        if self._is_applied and gone:
            Imported.objects.filter(tenant_id__in=gone).delete()

    def remove_within(self, tenants: Sequence[str], report: Report) -> None:
        """Remove from these tenants what they no longer hold there; what another tenant holds now is made anew."""
        for kind in reversed(self._kinds.within):
            self._remove_missing(kind, tenants, report)

    def _remove_missing(self, kind: AnyKind, tenants: Sequence[str], report: Report) -> None:
        if kind.is_lasting:
            there = set(kind.places(self._old, tenants))
            gone = self._places_before(kind, tenants, [object_id for object_id, _tenant in there]) - there
            self._remove(kind, {object_id for object_id, _tenant in gone}, report)

    def _places_before(
        self, kind: AnyKind, tenants: Sequence[str], object_ids: Sequence[str]
    ) -> set[tuple[str, str | None]]:
        """Return id and tenant of what was imported into these tenants, and of these objects wherever they were."""
        records = imported(kind).values_list("object_id", "tenant_id")
        if not tenants:
            return set(records)
        found = set(records.filter(tenant_id__in=tenants))
        for first in range(0, len(object_ids), _BATCH):
            found.update(records.filter(object_id__in=object_ids[first : first + _BATCH]))
        gone = self.leaving[self._kinds.tenants.name]
        return {(object_id, tenant) for object_id, tenant in found if tenant not in gone}

    def _remove(self, kind: AnyKind, gone: Collection[str], report: Report) -> None:
        if not gone:
            return
        self._count(kind, kind.rows(gone), report)
        for other in self._kinds.within if kind.holds_others else ():
            self._count(other, other.rows_within(kind.name, gone), report)
        # What ends by itself leaves nothing behind when its owner goes.
        passing = [other.name for other in self._kinds.within if kind.holds_others and not other.is_lasting]
        if not self._is_applied:
            for name in (kind.name, *passing):
                self.leaving[name].update(gone)
            return
        kind.remove(actor=self._actor, object_ids=gone)
        records = Imported.objects.filter(kind__in=[kind.name, *passing], object_id__in=gone)
        if kind is self._kinds.users:
            records.update(fingerprint=DEACTIVATED)
        else:
            records.delete()

    def _count(self, kind: AnyKind, rows: QuerySet[Any], report: Report) -> None:
        """Count rows that go, each once: some go by themselves, and with what holds them."""
        found = {kind.identity(row): row for row in rows}
        new = sorted(found.keys() - self._counted[kind.name])
        self._counted[kind.name].update(new)
        report.removed[kind.name] += len(new)
        came_over = set(imported(kind).filter(object_id__in=new).values_list("object_id", flat=True))
        self.removals += [
            Removal(kind.name, one, getattr(found[one], "tenant_id", None), one in came_over, str(found[one].pk))
            for one in new
        ]


def imported(kind: AnyKind) -> QuerySet[Imported]:
    """Return the records of what was taken over, and not removed since."""
    return Imported.objects.filter(kind=kind.name).exclude(fingerprint=DEACTIVATED)


class Plan(NamedTuple):
    """Removals that a run would make, and how much was imported before, by kind."""

    removals: list[Removal]
    imported: dict[str, int]
    touched: dict[str, str]  # what was made or changed here since, by id in the audit log

    @property
    def by_kind(self) -> dict[str, int]:
        """Return how many would go of each kind, in the order in which kinds are imported."""
        counts = Counter(removal.kind for removal in self.removals)
        return {kind: counts[kind] for kind in {**self.imported, **counts} if counts[kind]}

    @property
    def is_doubtful(self) -> bool:
        """Return whether it removes a large share of a kind, or something that was made or changed here since."""
        came_over = Counter(removal.kind for removal in self.removals if removal.was_imported)
        return bool(self.touched) or any(
            number * _SHARE > self.imported[kind] for kind, number in came_over.items() if kind in self.imported
        )

    @property
    def summary(self) -> str:
        """Say in one sentence what would go, and how much of what was imported that is."""
        parts = [
            f"{number} {kind}" + (f" (of {self.imported[kind]} that came over)" if kind in self.imported else "")
            for kind, number in self.by_kind.items()
        ]
        return ", ".join(parts)

    def lines(self) -> list[str]:
        """Name what was made or changed here since, one a line."""
        return [
            f"{removal.kind} {removal.object_id}: {self.touched[removal.audit_id]}"
            for removal in self.removals
            if removal.audit_id in self.touched
        ]


class RemovalsRefused(SourceError):
    """A run would remove more than is plausible, or something of here, and was not told to."""

    def __init__(self, plan: Plan, hint: str) -> None:
        number = len(plan.removals)
        touched = f"; {len(plan.touched)} of them were made or changed here since" if plan.touched else ""
        super().__init__(
            f"This run would remove {plan.summary}{touched}. {hint}Nothing was written. "
            f"If that is meant, run it again with --allow-removals {number}"
        )
        self.plan = plan


def plan_removals(old: Snapshot, kinds: Kinds, actor: Actor) -> Plan:
    """Find what an import would remove. Writes nothing."""
    remover = Remover(old, kinds, actor, applied=False)
    remover.remove_users(Report())
    remover.remove_tenants(Report())
    for tenants in groups(old):
        remover.remove_within(tenants, Report())
    before = {kind.name: imported(kind).count() for kind in kinds.all if kind.is_lasting}
    return Plan(remover.removals, before, _touched(remover.removals, actor))


def check_removals(old: Snapshot, kinds: Kinds, plan: Plan, allowed: int | None) -> None:
    """Raise RemovalsRefused for a doubtful plan unless exactly so many removals are allowed, and for another number."""
    number = len(plan.removals)
    if plan.is_doubtful if allowed is None else allowed != number:
        raise RemovalsRefused(plan, _hint(old, kinds))


def _touched(removals: Sequence[Removal], actor: Actor) -> dict[str, str]:
    """Tell of what was made or changed here since it was imported, by its id in the audit log."""
    found: dict[str, str] = {}
    for first in range(0, len(removals), _BATCH):
        batch = removals[first : first + _BATCH]
        entries = AuditEntry.objects.filter(object_id__in=[removal.audit_id for removal in batch])
        for entry in entries.exclude(actor_label=actor.label).order_by("id"):
            found[entry.object_id] = f"{entry.action} at {entry.at:%Y-%m-%d %H:%M} by {entry.actor_label or 'somebody'}"
    return found


def _hint(old: Snapshot, kinds: Kinds) -> str:
    """Say which database seems to be the wrong one: one that has nothing of what came from it before."""
    tables = {"users": ("people", "--web-db"), "agents": ("agents", "--config-db"), "keys": ("api_keys", "--config-db")}
    for kind in kinds.all:
        table, option = tables.get(kind.name, ("", ""))
        before = set(imported(kind).values_list("object_id", flat=True)) if table else set()
        if before and before.isdisjoint(row["id"] for row in old.rows(f"SELECT id FROM {table}")):
            return f"None of the {len(before)} {kind.name} that came over is there: is {option} the right database? "
    return ""
