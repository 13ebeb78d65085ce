"""The rules about bulk operations: starting and cancelling them, and the sweep of old ones."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from core import audit, epoch
from core.actor import Actor
from core.db import delete_one_by_one, transactional, transactional_and_propagated
from core.errors import Conflict, Forbidden, Invalid
from operations.access import OperationNotFound, kinds_for
from operations.models import BulkOperation, Kind, Outcome
from operations.preview import preview_selection
from operations.selections import Selection

KEPT_FOR = timedelta(days=90)
# For so long the sidebar shows an operation that failed.
NOTICED_FOR = timedelta(days=7)


def outcomes_of(operation: BulkOperation, *, only_failed: bool = False) -> QuerySet[Outcome]:
    """Return the outcomes of an operation in the order of its work, or only those of objects gone or refused."""
    rows = operation.outcomes.order_by("pk")
    return rows.filter(result__in=Outcome.FAILED) if only_failed else rows


@transactional
def start(*, actor: Actor, selection: Selection, typed: int | None = None) -> BulkOperation:
    """Queue an operation on the objects that are selected now, and return it.

    `typed` is the number of affected objects, if the preview says that it has to be typed. Raise Forbidden, and Invalid
    for a selection of nothing and for a wrong number.
    """
    _check_permission(actor, selection.kind)
    frozen = selection.frozen()
    preview = preview_selection(frozen)
    if not preview.objects:
        raise Invalid({"ids": [_("There are no such objects")]})
    if preview.has_to_be_typed and typed != preview.affected:
        said = _("Type the number of objects, {total}, to go on")
        raise Invalid({"number": [format_lazy(said, total=preview.affected)]})
    row = BulkOperation.objects.create(
        kind=frozen.kind,
        selection=frozen.to_json(),
        total=preview.objects,
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_label=actor.label[:150],
        address=actor.address,
    )
    after = {"kind": row.kind, "total": row.total, **_without_ids(row)}
    audit.record(actor=actor, action="operation.start", object_id=row.id, tenant_id=None, after=after)
    return row


@transactional_and_propagated
def cancel(*, actor: Actor, operation: BulkOperation) -> BulkOperation:
    """End an operation after the chunk that is under way. What is done stays.

    Raise Forbidden, OperationNotFound, and Conflict if it has ended.
    """
    _check_permission(actor, Kind(operation.kind))
    row = BulkOperation.objects.select_for_update().filter(pk=operation.pk).first()
    if row is None:
        raise OperationNotFound
    if not row.is_open:
        raise Conflict(_("The operation has ended already"))
    before = {"state": row.state}
    row.state, row.ended_at = row.State.CANCELLED, timezone.now()
    row.save(update_fields=["state", "ended_at"])
    after = {"state": row.state, "done": row.done}
    epoch.invalidate()  # the last chunk may still be waiting for workers
    audit.record(actor=actor, action="operation.cancel", object_id=row.id, tenant_id=None, before=before, after=after)
    return row


def lately_failed(rows: QuerySet[BulkOperation]) -> QuerySet[BulkOperation]:
    """Return those of the operations that failed within NOTICED_FOR."""
    return rows.filter(state=BulkOperation.State.FAILED, ended_at__gt=timezone.now() - NOTICED_FOR)


def sweep() -> int:
    """Delete operations that ended KEPT_FOR ago with their outcomes, and return their number."""
    return delete_one_by_one(BulkOperation.objects.filter(ended_at__lt=timezone.now() - KEPT_FOR))


def _check_permission(actor: Actor, kind: Kind) -> None:
    if kind not in kinds_for(actor):
        raise Forbidden


def _without_ids(row: BulkOperation) -> dict[str, object]:
    """Return the selection for the audit log, which has an entry of its own for each object."""
    return {name: value for name, value in row.selection.items() if name != "ids"}
