"""The import of the old databases, in transactions of a few tenants. Each tenant is imported completely or not at all.

The transaction that stores an object also records a fingerprint of its old values (`Imported`). So a run that was
killed continues where it ended, and a second run finds nothing to do. A later run imports only what the old system has
changed since; what was changed in maim stays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

from apikeys.bulk_import import forget_unknown
from core import approvals, epoch, locks
from core.actor import Actor
from core.db import transactional_and_propagated, upsert_all
from legacy.freshness import check_freshness, record_newest_rows
from legacy.importers import AnyImporter, ChangedObject, Importers, SourceObject, importers_for
from legacy.models import Imported
from legacy.removals import Remover, check_removals, imported_records, plan_removals
from legacy.reports import Outcome, Reason, Report
from legacy.snapshot import Snapshot
from legacy.tenant_batches import Progress, tenant_batches

LOCK = "import_maim_db"


class _TenantRefused(Exception):
    """An object of the tenant conflicts with one in maim, so that nothing of the tenant is imported."""

    def __init__(self, kind: str, object_id: str, tenant_id: str) -> None:
        super().__init__(kind, object_id)
        self.kind, self.object_id, self.tenant_id = kind, object_id, tenant_id


def import_snapshot(
    snapshot: Snapshot,
    *,
    actor: Actor,
    apply: bool,
    progress: Progress,
    allowed_removals: int | None = None,
    allow_older: bool = False,
) -> Report:
    """Import everything or, without `apply`, report what an import would do.

    Return once no worker serves a value from before the import any more. Raise, before anything is written,
    RemovalsRefused if more would be removed than is plausible, or another number than `allowed_removals`; SourceError
    for an older copy of the last imported database, unless `allow_older`; and Locked while another import runs.
    Raise IntegrityError if somebody creates an object of the same name or id at the same moment. What was committed by
    then stays, and another run continues there.
    """
    importers = importers_for(snapshot)
    with locks.locked(LOCK) if apply else nullcontext():
        check_removals(snapshot, importers, plan_removals(snapshot, importers, actor), allowed_removals)
        if not allow_older:
            check_freshness(snapshot)
        report = _ImportRun(snapshot, importers, actor, apply=apply, progress=progress).run()
        if apply:
            record_newest_rows(snapshot)
        return report


class _ImportRun:
    def __init__(
        self, snapshot: Snapshot, importers: Importers, actor: Actor, *, apply: bool, progress: Progress
    ) -> None:
        self._snapshot, self._importers, self._actor = snapshot, importers, actor
        self._is_applied, self._progress = apply, progress
        self._remover = Remover(snapshot, importers, actor, is_applied=apply)
        self._to_delete = self._remover.to_delete
        # Ids of objects that were imported together with an earlier chunk, by kind.
        self._pulled: dict[str, set[str]] = defaultdict(set)

    def run(self) -> Report:
        report = Report()
        with epoch.wait_for_workers():  # all changes wait once, at the end
            report.add(self._in_transaction(self._import_users))
            # Before other tenants are imported, because those may have the names and agents of removed ones now.
            report.add(self._in_transaction(partial(_reported, self._remover.remove_tenants)))
            for tenant_ids in tenant_batches(self._snapshot):
                if self._is_applied:
                    locks.renew(LOCK)
                report.add(self._import_batch(tenant_ids))
            if self._is_applied:
                if report.outcomes["keys", Outcome.WRITTEN]:
                    forget_unknown()
                approvals.wait_for_changes_of_others()  # for what was imported already, or gone
        for importer in self._importers.all:
            importer.report_orphans(self._snapshot, report)
        return report

    def _import_batch(self, tenant_ids: Sequence[str]) -> Report:
        """Import these tenants in one transaction, again without a tenant that is refused."""
        refused = Report()
        while tenant_ids:
            try:
                report = self._in_transaction(partial(self._import_tenants, tenant_ids))
            except _TenantRefused as error:
                tenant_ids = [tenant_id for tenant_id in tenant_ids if tenant_id != error.tenant_id]
                self._report_refused_tenant(error, refused)
            else:
                refused.add(report)
                break
        return refused

    def _import_users(self) -> Report:
        report = Report()
        self._remover.remove_users(report)
        for chunk in self._importers.users.read(self._snapshot, (), report):
            self._import_chunk(self._importers.users, chunk, set(), report)
        return report

    def _import_tenants(self, tenant_ids: Sequence[str]) -> Report:
        report = Report()
        self._remover.remove_from_tenants(tenant_ids, report)
        absent = self._deleted_in_maim(tenant_ids)
        for importer in (self._importers.tenants, *self._importers.of_tenant_contents):
            read = set[str]()
            for chunk in importer.read(self._snapshot, tenant_ids, report):
                read.update(one.object_id for one in chunk)
                self._import_chunk(importer, chunk, absent, report)
            if importer.has_contents:
                source_ids = {object_id for object_id, _tenant in importer.ids_with_owner(self._snapshot, tenant_ids)}
                absent.update(source_ids - read)
        return report

    def _import_chunk(
        self, importer: AnyImporter, chunk: Sequence[SourceObject[Any]], absent: set[str], report: Report
    ) -> None:
        """Import some objects. Refuse those whose tenant or agent is in `absent`, the ids that maim does not have."""
        chunk = [one for one in chunk if one.object_id not in self._pulled[importer.name]]
        self._import_objects(importer, [*chunk, *self._pull_holders_of_names(importer, chunk)], absent, report)

    def _pull_holders_of_names(
        self, importer: AnyImporter, chunk: Sequence[SourceObject[Any]]
    ) -> list[SourceObject[Any]]:
        """Return changed objects of later chunks whose names in maim this chunk needs.

        Names may have been swapped in the old system, so both objects have to be saved together.
        """
        pulled: dict[str, SourceObject[Any]] = {}
        pending = self._pending(importer, chunk)
        while pending:
            holders = importer.ids_with_same_names([*chunk, *pulled.values()])
            holders -= pulled.keys() | self._to_delete[importer.name]
            records = imported_records(importer).filter(object_id__in=holders)
            tenant_ids = {record.tenant_id for record in records if record.tenant_id is not None}
            chunks = importer.read(self._snapshot, tenant_ids, Report()) if holders and records else iter(())
            pending = self._pending(importer, [one for some in chunks for one in some if one.object_id in holders])
            pulled.update({one.object_id: one for one in pending})
        self._pulled[importer.name].update(pulled)
        return list(pulled.values())

    def _pending(self, importer: AnyImporter, chunk: Sequence[SourceObject[Any]]) -> list[SourceObject[Any]]:
        """Return the objects that are new, or were changed in the old system since the last import."""
        records, _to_delete = self._records(importer, chunk)
        return [one for one in chunk if not _is_unchanged(one, records.get(one.object_id))]

    def _records(
        self, importer: AnyImporter, chunk: Sequence[SourceObject[Any]]
    ) -> tuple[dict[str, Imported], set[str]]:
        """Return the records of these objects by id, and the ids of objects that this run deletes."""
        records = Imported.objects.filter(kind=importer.name, object_id__in=[one.object_id for one in chunk])
        tenants = self._to_delete[self._importers.tenants.name]
        to_delete = self._to_delete[importer.name] | {
            record.object_id for record in records if record.tenant_id in tenants
        }
        return {record.object_id: record for record in records if record.object_id not in to_delete}, to_delete

    def _import_objects(
        self, importer: AnyImporter, chunk: Sequence[SourceObject[Any]], absent: set[str], report: Report
    ) -> None:
        records, to_delete = self._records(importer, chunk)
        pending, unchanged = list[SourceObject[Any]](), list[SourceObject[Any]]()
        for one in chunk:
            (unchanged if _is_unchanged(one, records.get(one.object_id)) else pending).append(one)
        used = importer.import_uses(unchanged, apply=self._is_applied) if unchanged else 0
        report.count(importer.name, Outcome.UNCHANGED, len(unchanged) - used)
        existing = importer.existing(pending) if pending else {}
        new, changed = list[SourceObject[Any]](), list[ChangedObject[Any, Any]]()
        for one in pending:
            row = None if one.object_id in to_delete else existing.get(one.object_id)
            record = records.get(one.object_id)
            if row is None:
                if self._may_create(importer, one, record, absent, report):
                    new.append(one)
            elif record is not None or not importer.has_own_id:
                has_new_secret = record is not None and record.secret != one.secret_fingerprint
                changed.append(ChangedObject(row, one, has_new_secret=has_new_secret))
            else:
                _keep_foreign_row(importer, one, report)
        if imported := [*new, *(each.source for each in changed)]:
            importer.resolve_conflicts(imported, report, to_delete=to_delete)
            if self._is_applied:
                importer.save(actor=self._actor, new=new, changed=changed)
                _record_imported(importer, imported)
        report.count(importer.name, Outcome.WRITTEN, len(new))
        report.count(importer.name, Outcome.CHANGED, len(changed) + used)
        self._progress(len(chunk))

    def _may_create(
        self,
        importer: AnyImporter,
        source: SourceObject[Any],
        record: Imported | None,
        absent: set[str],
        report: Report,
    ) -> bool:
        """Return whether an object that maim does not have is to be created. Report it if not."""
        notes = report.notes_for(importer.name, source.object_id, source.tenant_id)
        if record is not None and importer.is_permanent:
            notes.refuse(Reason.DELETED_IN_MAIM, "it was changed in the old system since; it stays deleted in maim")
        elif absent & {source.tenant_id, source.agent_id}:
            notes.refuse(Reason.REFERS_TO_NOTHING, "its tenant or agent was refused, or deleted in maim")
        else:
            return True
        return False

    def _deleted_in_maim(self, tenant_ids: Sequence[str]) -> set[str]:
        """Return the ids of these tenants and their agents that were imported and are deleted in maim."""
        deleted = set[str]()
        for importer in (self._importers.tenants, *self._importers.of_tenant_contents):
            if importer.has_contents:
                records = Imported.objects.filter(kind=importer.name, tenant_id__in=tenant_ids)
                ids = set(records.values_list("object_id", flat=True))
                deleted |= ids - set(importer.model._base_manager.filter(pk__in=ids).values_list("pk", flat=True))
        return deleted

    def _report_refused_tenant(self, error: _TenantRefused, report: Report) -> None:
        """Count the tenant and everything in it as refused."""
        why = f"{error.kind} {error.object_id} exists in maim and was not imported; nothing of its tenant was imported"
        report.notes_for("tenants", error.tenant_id, error.tenant_id).refuse(Reason.NOT_IMPORTED, why)
        for importer in self._importers.of_tenant_contents:
            ignored = Report()
            for chunk in importer.read(self._snapshot, [error.tenant_id], ignored):
                report.count(importer.name, Outcome.REFUSED, len(chunk))
            report.count(importer.name, Outcome.REFUSED, ignored.read[importer.name])

    def _in_transaction(self, work: Callable[[], Report]) -> Report:
        return transactional_and_propagated(work)() if self._is_applied else work()


def _keep_foreign_row(importer: AnyImporter, source: SourceObject[Any], report: Report) -> None:
    """Report an object whose id a row in maim has that was not imported. Raise _TenantRefused if it has a tenant."""
    if source.is_copy:
        report.count(importer.name, Outcome.UNCHANGED)  # the old web service created the row through maim's API
    elif source.tenant_id is not None:
        raise _TenantRefused(importer.name, source.object_id, source.tenant_id)
    else:
        notes = report.notes_for(importer.name, source.object_id, source.tenant_id)
        notes.refuse(Reason.NOT_IMPORTED, "another user of maim has this id")


def _record_imported(importer: AnyImporter, objects: Sequence[SourceObject[Any]]) -> None:
    upsert_all(
        [
            Imported(
                kind=importer.name,
                object_id=one.object_id,
                tenant_id=one.tenant_id,
                fingerprint=one.fingerprint,
                secret=one.secret_fingerprint,
            )
            for one in objects
        ],
        unique_fields=["kind", "object_id"],
        update_fields=["tenant_id", "fingerprint", "secret"],
    )


def _reported(work: Callable[[Report], None]) -> Report:
    report = Report()
    work(report)
    return report


def _is_unchanged(source: SourceObject[Any], record: Imported | None) -> bool:
    """Return whether the old system has not changed the object since it was imported."""
    current = (source.fingerprint, source.secret_fingerprint)
    return record is not None and (record.fingerprint, record.secret) == current
