"""Entries that bots send about their use, stored for operators for a limited time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone

from apikeys.models import UsageLogEntry
from core.scrubbing import scrubbed, scrubbed_json, scrubbed_text


def log_usage(
    *,
    action: str,
    timestamp: datetime | None = None,
    tenant_id: str | None = None,
    agent_id: str | None = None,
    user_id: str | None = None,
    platform: str | None = None,
    details: Any = None,
) -> UsageLogEntry:
    """Store an entry, of now if it has no timestamp, with the API keys in it masked.

    There is no audit row, because entries are measurements.
    """
    return UsageLogEntry.objects.create(
        action=scrubbed(action),
        timestamp=timestamp or timezone.now(),
        tenant_id=tenant_id,
        agent_id=agent_id,
        user_id=scrubbed_text(user_id),
        platform=scrubbed_text(platform),
        details=scrubbed_json(details),
    )


def sweep_usage_log() -> int:
    """Delete entries older than MAIM_USAGE_LOG_DAYS and return their number."""
    oldest = timezone.now() - settings.USAGE_LOG_RETENTION
    return UsageLogEntry.objects.filter(created_at__lt=oldest).delete()[0]
