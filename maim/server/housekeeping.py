"""Deletes what has had its time."""

from __future__ import annotations

import logging

from django.contrib.sessions.backends.db import SessionStore

from accounts.services import sweep_sessions
from agents.services import sweep_activity
from apikeys import usage
from apikeys.usage_log import sweep_usage_log
from core import change_feed, epoch, idempotency

log = logging.getLogger("maim.server")


def sweep() -> dict[str, int]:
    """Deletes everything that is over; how much of each there was. Safe to run anywhere, any time."""
    swept = {
        "sessions": sweep_sessions(),
        "heartbeats": sweep_activity(),
        "usage log entries": sweep_usage_log(),
        "day counts": usage.sweep(),
        "invalidations": epoch.sweep(),
        "changes": change_feed.sweep(),
        "idempotent answers": idempotency.sweep(),
    }
    SessionStore.clear_expired()
    if any(swept.values()):
        log.info("swept %s", ", ".join(f"{number} {kind}" for kind, number in swept.items()))
    return swept
