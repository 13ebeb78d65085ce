"""Taking over what the old system holds, a few tenants at a time, each of them whole or not at all.

What was taken over is remembered by a fingerprint of what the old system said of it (`Imported`), in the
transaction that stores it. So a run that was killed goes on where it ended, a second one finds nothing to do,
and a later one brings what the old system has changed since, and nothing else: what was changed here meanwhile
stays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

from apikeys.bulk_import import forget_unknown
from core import epoch, locks
from core.actor import Actor
from core.db import transactional_and_propagated, upsert_all
from legacy.grouping import Progress, groups
from legacy.importers import AnyKind, Changed, Found, Kinds, kinds_of
from legacy.models import Imported
from legacy.newest import check_newest, record_newest
from legacy.removals import Remover, check_removals, imported, plan_removals
from legacy.reports import Outcome, Reason, Report
from legacy.snapshot import Snapshot

LOCK = "import_maim_db"


class _TenantRefused(Exception):
    """An object of the tenant cannot be taken over because of what is here; nothing of the tenant is."""

    def __init__(self, kind: str, object_id: str, tenant_id: str) -> None:
        super().__init__(kind, object_id)
        self.kind, self.object_id, self.tenant_id = kind, object_id, tenant_id


def import_from(
    old: Snapshot,
    *,
    actor: Actor,
    apply: bool,
    progress: Progress,
    allowed_removals: int | None = None,
    allow_older: bool = False,
) -> Report:
    """Take everything over or, without `apply`, only say what that would do.

    Return when no worker answers from before it any more. Raise RemovalsRefused, before anything is written, where
    more would be removed than is plausible, or another number than is allowed; SourceError for an older copy of what
    was imported last, unless that is allowed; Locked while another import runs; and
    IntegrityError if somebody makes an object of the same name at the same moment: what was reported so far stays, and
    another run goes on there.
    """
    kinds = kinds_of(old)
    with locks.locked(LOCK) if apply else nullcontext():
        check_removals(old, kinds, plan_removals(old, kinds, actor), allowed_removals)
        if not allow_older:
            check_newest(old)
        report = _Import(old, kinds, actor, apply=apply, progress=progress).run()
        if apply:
            record_newest(old)
        return report


class _Import:
    def __init__(self, old: Snapshot, kinds: Kinds, actor: Actor, *, apply: bool, progress: Progress) -> None:
        self._old, self._kinds, self._actor, self._is_applied, self._progress = old, kinds, actor, apply, progress
        self._remover = Remover(old, kinds, actor, applied=apply)
        self._leaving = self._remover.leaving
        # By kind, what was taken over before its turn came.
        self._pulled: dict[str, set[str]] = defaultdict(set)

    def run(self) -> Report:
        report = Report()
        with epoch.wait_for_workers():  # all changes wait once, at the end
            report.add(self._in_transaction(self._users))
            # First, for others may have their names and their agents now.
            report.add(self._in_transaction(partial(_reported, self._remover.remove_tenants)))
            for group in groups(self._old):
                if self._is_applied:
                    locks.renew(LOCK)
                report.add(self._group(group))
            if self._is_applied and report.outcomes["keys", Outcome.WRITTEN]:
                forget_unknown()
        for kind in self._kinds.all:
            kind.orphans(self._old, report)
        return report

    def _group(self, tenants: Sequence[str]) -> Report:
        """Of these tenants all, but for those that are refused as a whole."""
        refused = Report()
        while tenants:
            try:
                report = self._in_transaction(partial(self._tenants, tenants))
            except _TenantRefused as error:
                tenants = [tenant for tenant in tenants if tenant != error.tenant_id]
                self._refuse(error, refused)
            else:
                refused.add(report)
                break
        return refused

    def _users(self) -> Report:
        report = Report()
        self._remover.remove_users(report)
        for chunk in self._kinds.users.found(self._old, (), report):
            self._chunk(self._kinds.users, chunk, set(), report)
        return report

    def _tenants(self, tenants: Sequence[str]) -> Report:
        report = Report()
        self._remover.remove_within(tenants, report)
        absent = self._deleted_here(tenants)
        for kind in (self._kinds.tenants, *self._kinds.within):
            met = set[str]()
            for chunk in kind.found(self._old, tenants, report):
                met.update(one.object_id for one in chunk)
                self._chunk(kind, chunk, absent, report)
            if kind.holds_others:
                absent.update({object_id for object_id, _tenant in kind.places(self._old, tenants)} - met)
        return report

    def _chunk(self, kind: AnyKind, chunk: Sequence[Found[Any]], absent: set[str], report: Report) -> None:
        """Take over some objects, but for those of the tenants and agents in `absent`, which are not here."""
        chunk = [one for one in chunk if one.object_id not in self._pulled[kind.name]]
        self._take_over(kind, [*chunk, *self._pulled_forward(kind, chunk)], absent, report)

    def _pulled_forward(self, kind: AnyKind, chunk: Sequence[Found[Any]]) -> list[Found[Any]]:
        """Return what later chunks change of the objects whose names this chunk wants: names may be swapped."""
        pulled: dict[str, Found[Any]] = {}
        wanting = self._pending(kind, chunk)
        while wanting:
            holders = kind.name_holders([*chunk, *pulled.values()]) - pulled.keys() - self._leaving[kind.name]
            records = imported(kind).filter(object_id__in=holders)
            tenants = {record.tenant_id for record in records if record.tenant_id is not None}
            chunks = kind.found(self._old, tenants, Report()) if holders and records else iter(())
            there = [one for some in chunks for one in some if one.object_id in holders]
            wanting = self._pending(kind, there)
            pulled.update({one.object_id: one for one in wanting})
        self._pulled[kind.name].update(pulled)
        return list(pulled.values())

    def _pending(self, kind: AnyKind, chunk: Sequence[Found[Any]]) -> list[Found[Any]]:
        """Return what is new, or was changed there since it was taken over."""
        records, _leaving = self._records(kind, chunk)
        return [one for one in chunk if not _is_as_before(one, records.get(one.object_id))]

    def _records(self, kind: AnyKind, chunk: Sequence[Found[Any]]) -> tuple[dict[str, Imported], set[str]]:
        """Return what is remembered of these objects, and the ids of those that are leaving."""
        records = Imported.objects.filter(kind=kind.name, object_id__in=[one.object_id for one in chunk])
        gone = self._leaving[self._kinds.tenants.name]
        leaving = self._leaving[kind.name] | {record.object_id for record in records if record.tenant_id in gone}
        return {record.object_id: record for record in records if record.object_id not in leaving}, leaving

    def _take_over(self, kind: AnyKind, chunk: Sequence[Found[Any]], absent: set[str], report: Report) -> None:
        before, leaving = self._records(kind, chunk)
        pending = [one for one in chunk if not _is_as_before(one, before.get(one.object_id))]
        report.count(kind.name, Outcome.UNCHANGED, len(chunk) - len(pending))
        stored = kind.stored(pending) if pending else {}
        new, changed = list[Found[Any]](), list[Changed[Any, Any]]()
        for one in pending:
            row = None if one.object_id in leaving else stored.get(one.object_id)
            record = before.get(one.object_id)
            notes = report.about(kind.name, one.object_id, one.tenant_id)
            if row is not None and (record is not None or not kind.has_own_id):
                has_new_secret = record is not None and record.secret != one.secret_fingerprint
                changed.append(Changed(row, one, has_new_secret=has_new_secret))
            elif row is not None and one.is_copy:
                report.count(kind.name, Outcome.UNCHANGED)  # made here, for the old web service in front of maim
            elif row is not None and one.tenant_id is not None:
                raise _TenantRefused(kind.name, one.object_id, one.tenant_id)
            elif row is not None:
                notes.refused(Reason.NOT_OURS, "somebody else here has this id")
            elif record is not None and kind.is_lasting:
                notes.refused(Reason.DELETED_HERE, "it was changed there since; it stays deleted here")
            elif absent & {one.tenant_id, one.agent_id}:
                notes.refused(Reason.REFERS_TO_NOTHING, "its tenant or agent was refused, or deleted here")
            else:
                new.append(one)
        if taken_over := [*new, *(each.found for each in changed)]:
            kind.fit_in(taken_over, report, leaving=leaving)
            if self._is_applied:
                kind.adopt(actor=self._actor, new=new, changed=changed)
                self._remember(kind, taken_over)
        report.count(kind.name, Outcome.WRITTEN, len(new))
        report.count(kind.name, Outcome.CHANGED, len(changed))
        self._progress(len(chunk))

    def _deleted_here(self, tenants: Sequence[str]) -> set[str]:
        """The tenants, and the agents in them, that were taken over and are not here any more."""
        gone = set[str]()
        for kind in (self._kinds.tenants, *self._kinds.within):
            if kind.holds_others:
                imported = Imported.objects.filter(kind=kind.name, tenant_id__in=tenants)
                ids = set(imported.values_list("object_id", flat=True))
                gone |= ids - set(kind.model._base_manager.filter(pk__in=ids).values_list("pk", flat=True))
        return gone

    def _refuse(self, error: _TenantRefused, report: Report) -> None:
        """Counts all of the tenant as refused."""
        why = f"{error.kind} {error.object_id} is here, and not from there; nothing of its tenant was taken over"
        report.about("tenants", error.tenant_id, error.tenant_id).refused(Reason.NOT_OURS, why)
        for kind in self._kinds.within:
            ignored = Report()
            for chunk in kind.found(self._old, [error.tenant_id], ignored):
                report.count(kind.name, Outcome.REFUSED, len(chunk))
            report.count(kind.name, Outcome.REFUSED, ignored.read[kind.name])

    def _remember(self, kind: AnyKind, found: Sequence[Found[Any]]) -> None:
        upsert_all(
            [
                Imported(
                    kind=kind.name,
                    object_id=one.object_id,
                    tenant_id=one.tenant_id,
                    fingerprint=one.fingerprint,
                    secret=one.secret_fingerprint,
                )
                for one in found
            ],
            unique_fields=["kind", "object_id"],
            update_fields=["tenant_id", "fingerprint", "secret"],
        )

    def _in_transaction(self, work: Callable[[], Report]) -> Report:
        return transactional_and_propagated(work)() if self._is_applied else work()


def _reported(work: Callable[[Report], None]) -> Report:
    report = Report()
    work(report)
    return report


def _is_as_before(one: Found[Any], record: Imported | None) -> bool:
    """Whether the old system says of it what it said when it was taken over."""
    told = (one.fingerprint, one.secret_fingerprint)
    return record is not None and (record.fingerprint, record.secret) == told
