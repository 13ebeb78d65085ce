"""Bulk operations that are started and worked off in this process."""

from __future__ import annotations

from typing import Any

from apikeys.models import ApiKey
from operations import services
from operations.models import BulkOperation, Kind
from operations.selections import Selection
from operations.worker import Worker
from tests.support.people import OPERATOR


def start(kind: Kind, *ids: str, **owners: Any) -> BulkOperation:
    return services.start(actor=OPERATOR, selection=Selection(kind, ids, **owners))


def work_off(row: BulkOperation, by: Worker | None = None) -> BulkOperation:
    """Work until nothing is left."""
    by = by or Worker()
    while by.work():
        pass
    row.refresh_from_db()
    return row


def results(row: BulkOperation) -> dict[str, str]:
    return dict(row.outcomes.values_list("object_id", "result"))


def statuses() -> list[str]:
    return list(ApiKey.unscoped.order_by("pk").values_list("status", flat=True))
