"""Entries that bots send about their use, stored for operators and the people of a tenant for a limited time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Required, TypedDict, Unpack

from django.conf import settings
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from apikeys.models import UsageLogEntry
from core.db import transactional
from core.listing import in_period, newest_with
from core.scrubbing import scrubbed, scrubbed_json, scrubbed_text
from tenants.models import Tenant


class UsageReport(TypedDict, total=False):
    """The fields of an entry, of which only the action is required."""

    action: Required[str]
    timestamp: datetime
    tenant_id: str
    agent_id: str
    user_id: str
    platform: str
    details: Any


def log_usage(**report: Unpack[UsageReport]) -> UsageLogEntry:
    """Store an entry, of now if it has no timestamp, with the API keys in it masked.

    There is no audit row, because entries are measurements.
    """
    (entry,) = log_usages([report])
    return entry


@transactional
def log_usages(reports: Sequence[UsageReport]) -> list[UsageLogEntry]:
    """Store several entries like `log_usage`, all or none. Return them in order."""
    entries = [_entry(**report) for report in reports]
    if connection.features.can_return_rows_from_bulk_insert:
        return UsageLogEntry.objects.bulk_create(entries)
    for entry in entries:  # MySQL tells the id of one row only
        entry.save(force_insert=True)
    return entries


def entries_for(
    tenant: Tenant,
    *,
    agent_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before: int | None = None,
) -> QuerySet[UsageLogEntry]:
    """Return the entries that name a tenant, newest first. `since` and `until` are times at which they were stored.

    The times that bots write may be any.
    """
    rows = newest_with(UsageLogEntry.objects.all(), agent_id=agent_id, tenant_id=tenant.id)
    if before is not None:
        rows = rows.filter(id__lt=before)
    return in_period(rows, UsageLogEntry.objects.all(), "created_at", since, until)


def sweep_usage_log() -> int:
    """Delete entries older than MAIM_USAGE_LOG_DAYS and return their number."""
    oldest = timezone.now() - settings.USAGE_LOG_RETENTION
    return UsageLogEntry.objects.filter(created_at__lt=oldest).delete()[0]


def _entry(**report: Unpack[UsageReport]) -> UsageLogEntry:
    return UsageLogEntry(
        action=scrubbed(report["action"]),
        timestamp=report.get("timestamp") or timezone.now(),
        tenant_id=report.get("tenant_id"),
        agent_id=report.get("agent_id"),
        user_id=scrubbed_text(report.get("user_id")),
        platform=scrubbed_text(report.get("platform")),
        details=scrubbed_json(report.get("details")),
    )
