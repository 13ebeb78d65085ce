"""The worker of bulk operations, of which any number may run on any machines.

A worker claims an operation by a lease in its row, and changes a chunk of its objects in each transaction: the objects,
their outcomes, the cursor and the lease commit together. So a chunk happens once, and an operation whose worker was
killed goes on after its last chunk as soon as the lease is over. Each chunk waits once for the workers that verify
keys, and an operation is done after the wait of its last one.
"""

from __future__ import annotations

import logging
import uuid
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet
from django.utils import timezone

from core import audit, epoch
from core.db import ensure_primary, transactional, transactional_and_propagated
from core.prepared_writes import insert_all
from operations.changes import CHANGES
from operations.models import BulkOperation, Kind, Outcome
from operations.selections import Selection

log = logging.getLogger("maim.operations")

# Longer than a chunk takes on a busy machine.
LEASE = timedelta(seconds=60)
# A chunk that fails so often fails for a reason that waiting does not mend.
MAX_FAILURES = 5


class Worker:
    """A worker, which works off one operation after the other."""

    def __init__(self) -> None:
        self._name = uuid.uuid4().hex

    def work(self) -> bool:
        """Change one chunk of an operation. Return False if there is nothing to do.

        Raise what a chunk fails with, after counting the failure: else the operation would be tried for ever, and those
        after it would wait.
        """
        ensure_primary()
        claimed = self._claim()
        if claimed is None:
            return False
        try:
            if self._change_chunk(claimed):
                self._finish(claimed)
        except Exception:
            self._count_failure(claimed)
            raise
        return True

    def release(self) -> None:
        """Give up what is claimed, so that another worker goes on at once."""
        BulkOperation.objects.filter(worker=self._name, state__in=BulkOperation.OPEN).update(claimed_until=None)

    def _claim(self) -> str | None:
        """Return the id of an open operation of this worker's, if need be after claiming one."""
        now = timezone.now()
        rows = BulkOperation.objects.filter(state__in=BulkOperation.OPEN)
        is_free = Q(claimed_until=None) | Q(claimed_until__lt=now)
        candidates = rows.filter(is_free | Q(worker=self._name)).order_by("created_at", "id")
        for pk, worker, until in candidates.values_list("pk", "worker", "claimed_until"):
            is_mine = worker == self._name and until is not None and until >= now
            if is_mine or self._take(rows.filter(is_free, pk=pk), until=now + LEASE):
                return str(pk)
        return None

    @transactional
    def _take(self, operation: QuerySet[BulkOperation], *, until: datetime) -> bool:
        """Claim an operation if it is still free. Return whether it was."""
        # A chunk that outlasts its lease has the row locked. Waiting for it would hold up the operations after it.
        if not operation.select_for_update(skip_locked=True).values_list("pk"):
            return False
        operation.update(worker=self._name, claimed_until=until, state=BulkOperation.State.RUNNING)
        return True

    @transactional_and_propagated
    def _change_chunk(self, operation_id: str) -> bool:
        """Change the next chunk, and wait until that has propagated. Return whether it was the last."""
        row = self._lock(operation_id)
        if row is None:  # it was cancelled, or another worker has taken it over
            return False
        epoch.invalidate()  # also if all is so already: another request may have made the change a moment ago
        change, selection = CHANGES[Kind(row.kind)], Selection.of(row)
        ids = selection.ids_after(row.cursor, change.chunk)
        outcomes = change.apply(row.actor, ids) if ids else []
        for outcome in outcomes:
            outcome.operation = row
        insert_all(outcomes)
        self._save_progress(row, outcomes)
        return len(ids) < change.chunk

    @transactional
    def _finish(self, operation_id: str) -> None:
        row = self._lock(operation_id)
        if row is not None:
            _end(row, BulkOperation.State.DONE)
            row.save(update_fields=["state", "ended_at"])

    def _lock(self, operation_id: str) -> BulkOperation | None:
        mine = BulkOperation.objects.filter(pk=operation_id, worker=self._name, state__in=BulkOperation.OPEN)
        return mine.select_for_update().first()

    def _save_progress(self, row: BulkOperation, outcomes: list[Outcome]) -> None:
        row.done += len(outcomes)
        row.refused += sum(outcome.result in Outcome.FAILED for outcome in outcomes)
        row.failures, row.problem, row.claimed_until = 0, "", timezone.now() + LEASE
        if outcomes:
            row.cursor = outcomes[-1].object_id
        row.save(update_fields=["done", "refused", "failures", "problem", "claimed_until", "cursor"])

    @transactional
    def _count_failure(self, operation_id: str) -> None:
        row = self._lock(operation_id)
        if row is None:
            return
        row.failures += 1
        row.problem = "A chunk of objects failed; the log of maim.operations says why"
        if row.failures >= MAX_FAILURES:
            _end(row, BulkOperation.State.FAILED)
        row.save(update_fields=["failures", "problem", "state", "ended_at"])


def _end(row: BulkOperation, state: BulkOperation.State) -> None:
    row.state, row.ended_at = state, timezone.now()
    after = {"kind": row.kind, "state": row.state, "done": row.done, "refused": row.refused}
    audit.record(actor=row.actor, action="operation.end", object_id=row.id, tenant_id=None, after=after)
    log.info("bulk operation %s (%s) ended: %s, %d objects", row.id, row.kind, row.state, row.done)
