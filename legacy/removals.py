"""Removals that an import makes: imported objects that the old system has deleted since, and what goes with them.

They are determined before anything is written. An import is refused if there are many, or if it would remove something
that was created or changed in maim since, because a wrong database lacks almost every object.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from django.db.models import QuerySet

from core.actor import Actor
from core.models import AuditEntry
from legacy.importers import AnyImporter, Importers
from legacy.models import Imported
from legacy.reports import Report
from legacy.snapshot import Snapshot
from legacy.sources import SourceError
from legacy.tenant_batches import tenant_batches

DEACTIVATED = ""  # the fingerprint of a user who was deactivated because the old system has deleted the account
_BATCH = 500
_MAX_SHARE = 1 / 4  # of the imported objects of a kind


class Removal(NamedTuple):
    """An object that an import removes. A user is deactivated instead."""

    kind: str
    object_id: str
    tenant_id: str | None
    was_imported: bool
    audit_id: str  # the object's id in the audit log


class Remover:
    """A remover of objects that the old system has deleted.

    If it is not applied it changes nothing, and collects in `to_delete` the ids of what it would delete, by kind.
    """

    def __init__(self, snapshot: Snapshot, importers: Importers, actor: Actor, *, is_applied: bool) -> None:
        self._snapshot, self._importers, self._actor, self._is_applied = snapshot, importers, actor, is_applied
        self._counted: dict[str, set[str]] = defaultdict(set)
        self.to_delete: dict[str, set[str]] = defaultdict(set)
        self.removals: list[Removal] = []

    def remove_users(self, report: Report) -> None:
        """Deactivate users whom the old system has deleted."""
        self._remove_missing(self._importers.users, (), report)

    def remove_tenants(self, report: Report) -> None:
        """Delete tenants that the old system has deleted, with everything in them."""
        source_ids = {row["id"] for row in self._snapshot.rows("SELECT id FROM tenant_ids")}
        missing = set(imported_records(self._importers.tenants).values_list("object_id", flat=True)) - source_ids
        self._remove(self._importers.tenants, missing, report)
        if self._is_applied and missing:
            Imported.objects.filter(tenant_id__in=missing).delete()

    def remove_from_tenants(self, tenant_ids: Sequence[str], report: Report) -> None:
        """Delete what these tenants do not hold any more. What has moved to another tenant is imported anew there."""
        for importer in reversed(self._importers.of_tenant_contents):
            self._remove_missing(importer, tenant_ids, report)

    def _remove_missing(self, importer: AnyImporter, tenant_ids: Sequence[str], report: Report) -> None:
        if importer.is_permanent:
            current = set(importer.ids_with_owner(self._snapshot, tenant_ids))
            imported = self._imported_ids_with_owner(importer, tenant_ids, [object_id for object_id, _ in current])
            self._remove(importer, {object_id for object_id, _tenant in imported - current}, report)

    def _imported_ids_with_owner(
        self, importer: AnyImporter, tenant_ids: Sequence[str], object_ids: Sequence[str]
    ) -> set[tuple[str, str | None]]:
        """Return id and tenant of objects that were imported into these tenants, or have one of these ids."""
        records = imported_records(importer).values_list("object_id", "tenant_id")
        if not tenant_ids:
            return set(records)
        found = set(records.filter(tenant_id__in=tenant_ids))
        for first in range(0, len(object_ids), _BATCH):
            found.update(records.filter(object_id__in=object_ids[first : first + _BATCH]))
        deleted_tenants = self.to_delete[self._importers.tenants.name]
        return {(object_id, tenant_id) for object_id, tenant_id in found if tenant_id not in deleted_tenants}

    def _remove(self, importer: AnyImporter, object_ids: Collection[str], report: Report) -> None:
        if not object_ids:
            return
        self._count(importer, importer.rows_with_ids(object_ids), report)
        contents = self._importers.of_tenant_contents if importer.has_contents else ()
        for other in contents:
            self._count(other, other.rows_owned_by(importer.name, object_ids), report)
        # Objects that expire are deleted with their owner, and so are their records.
        expiring = [other.name for other in contents if not other.is_permanent]
        if not self._is_applied:
            for name in (importer.name, *expiring):
                self.to_delete[name].update(object_ids)
            return
        importer.remove(actor=self._actor, object_ids=object_ids)
        records = Imported.objects.filter(kind__in=[importer.name, *expiring], object_id__in=object_ids)
        if importer is self._importers.users:
            records.update(fingerprint=DEACTIVATED)
        else:
            records.delete()

    def _count(self, importer: AnyImporter, rows: QuerySet[Any], report: Report) -> None:
        """Count rows that are removed. A row that is removed by itself and with its owner counts once."""
        by_id = {importer.source_id(row): row for row in rows}
        new = sorted(by_id.keys() - self._counted[importer.name])
        self._counted[importer.name].update(new)
        report.removed[importer.name] += len(new)
        imported_ids = set(imported_records(importer).filter(object_id__in=new).values_list("object_id", flat=True))
        self.removals += [
            Removal(
                importer.name,
                object_id,
                getattr(by_id[object_id], "tenant_id", None),
                object_id in imported_ids,
                str(by_id[object_id].pk),
            )
            for object_id in new
        ]


def imported_records(importer: AnyImporter) -> QuerySet[Imported]:
    """Return the records of objects that were imported, and not removed by an import since."""
    return Imported.objects.filter(kind=importer.name).exclude(fingerprint=DEACTIVATED)


class RemovalPlan(NamedTuple):
    """The removals that an import would make, with the number of imported objects by kind."""

    removals: list[Removal]
    imported: dict[str, int]
    touched: dict[str, str]  # the latest creation or change in maim, by id in the audit log

    @property
    def by_kind(self) -> dict[str, int]:
        """The number of removals by kind, in the order of the import."""
        counts = Counter(removal.kind for removal in self.removals)
        return {kind: counts[kind] for kind in {**self.imported, **counts} if counts[kind]}

    @property
    def is_doubtful(self) -> bool:
        """True if the plan removes a large share of a kind, or something that was created or changed in maim."""
        removed = Counter(removal.kind for removal in self.removals if removal.was_imported)
        return bool(self.touched) or any(
            number > self.imported[kind] * _MAX_SHARE for kind, number in removed.items() if kind in self.imported
        )

    @property
    def summary(self) -> str:
        """The numbers of removed and of imported objects as text."""
        parts = [
            f"{number} {kind}" + (f" (of {self.imported[kind]} imported)" if kind in self.imported else "")
            for kind, number in self.by_kind.items()
        ]
        return ", ".join(parts)

    def touched_lines(self) -> list[str]:
        """Return a line for each removed object that was created or changed in maim."""
        return [
            f"{removal.kind} {removal.object_id}: {self.touched[removal.audit_id]}"
            for removal in self.removals
            if removal.audit_id in self.touched
        ]


class RemovalsRefused(SourceError):
    """An import would remove more than is plausible, or something of maim's own, and this was not allowed."""

    def __init__(self, plan: RemovalPlan, hint: str) -> None:
        number = len(plan.removals)
        touched = f"; {len(plan.touched)} of them were created or changed in maim since" if plan.touched else ""
        super().__init__(
            f"This run would remove {plan.summary}{touched}. {hint}Nothing was written. "
            f"If this is intended, run it again with --allow-removals {number}"
        )
        self.plan = plan


def plan_removals(snapshot: Snapshot, importers: Importers, actor: Actor) -> RemovalPlan:
    """Return the removals that an import would make. Write nothing."""
    remover = Remover(snapshot, importers, actor, is_applied=False)
    remover.remove_users(Report())
    remover.remove_tenants(Report())
    for tenant_ids in tenant_batches(snapshot):
        remover.remove_from_tenants(tenant_ids, Report())
    imported = {
        importer.name: imported_records(importer).count() for importer in importers.all if importer.is_permanent
    }
    return RemovalPlan(remover.removals, imported, _touched(remover.removals, actor))


def check_removals(snapshot: Snapshot, importers: Importers, plan: RemovalPlan, allowed: int | None) -> None:
    """Raise RemovalsRefused for a doubtful plan, unless exactly its number of removals is allowed.

    Another allowed number is refused for any plan.
    """
    number = len(plan.removals)
    if plan.is_doubtful if allowed is None else allowed != number:
        raise RemovalsRefused(plan, _hint(snapshot, importers))


def _touched(removals: Sequence[Removal], actor: Actor) -> dict[str, str]:
    """Return the latest audit row of each object that somebody else than the import has created or changed."""
    touched: dict[str, str] = {}
    for first in range(0, len(removals), _BATCH):
        batch = removals[first : first + _BATCH]
        entries = AuditEntry.objects.filter(object_id__in=[removal.audit_id for removal in batch])
        for entry in entries.exclude(actor_label=actor.label).order_by("id"):
            by = entry.actor
            touched[entry.object_id] = f"{entry.action} at {entry.at:%Y-%m-%d %H:%M} by {by}"
    return touched


def _hint(snapshot: Snapshot, importers: Importers) -> str:
    """Return a sentence about a database that has nothing of what was imported from it, or an empty string."""
    tables = {"users": ("people", "--web-db"), "agents": ("agents", "--config-db"), "keys": ("api_keys", "--config-db")}
    for importer in importers.all:
        table, option = tables.get(importer.name, ("", ""))
        ids = set(imported_records(importer).values_list("object_id", flat=True)) if table else set()
        if ids and ids.isdisjoint(row["id"] for row in snapshot.rows(f"SELECT id FROM {table}")):
            return f"None of the {len(ids)} imported {importer.name} was found: is {option} the right database? "
    return ""
