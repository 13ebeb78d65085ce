"""The deletion of expired rows."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.contrib.sessions.backends.db import SessionStore

from accounts import challenges, email_tokens, passkey_challenges
from accounts.mail import files
from accounts.services import (
    sweep_addresses,
    sweep_flows,
    sweep_link_challenges,
    sweep_sessions,
    sweep_tokens,
    sweep_unconfirmed,
)
from agents.services import sweep_activity
from apikeys import durations, notices, outcomes, recount, refusals, usage
from apikeys.usage_log import sweep_usage_log
from core import approvals, change_feed, epoch, idempotency, servers
from core.audit_chain import retention
from core.db import retry_on_deadlock
from core.undo import restoring
from operations.services import sweep as sweep_operations

log = logging.getLogger("maim.server")


# The sweeps in their order, by the name of their rows in the log. Each is idempotent, so it may be retried.
_SWEEPS: dict[str, Callable[[], int]] = {
    "sessions": sweep_sessions,
    "personal access tokens": sweep_tokens,
    "addresses of sign-ins": sweep_addresses,
    "links in mails and invitations": email_tokens.sweep,
    "mails in files": files.sweep,
    "challenges of sign-ins": challenges.sweep,
    "used challenges of passkeys": passkey_challenges.sweep,
    "unconfirmed apps": sweep_unconfirmed,
    "sign-ins by providers": sweep_flows,
    "challenges of links": sweep_link_challenges,
    "heartbeats": sweep_activity,
    "usage log entries": sweep_usage_log,
    "day counts": usage.sweep,
    "verification counts": outcomes.sweep,
    "durations of verifications": durations.sweep,
    "notices": notices.sweep,
    "refused verifications": refusals.sweep,
    "invalidations": epoch.sweep,
    "approvals": approvals.sweep,
    "servers that were killed": servers.sweep,
    "changes": change_feed.sweep,
    "idempotent answers": idempotency.sweep,
    "deleted objects": restoring.sweep,
    "bulk operations": sweep_operations,
    "audit entries": retention.sweep,
    "wrong row counts": recount.recount,
}


def sweep() -> dict[str, int]:
    """Delete all expired rows, and return their numbers by kind. It may run on any machine at any time.

    Tell of keys that expire soon, too.
    """
    notices.notify_expiries()
    swept = {kind: retry_on_deadlock(sweep_kind) for kind, sweep_kind in _SWEEPS.items()}
    SessionStore.clear_expired()
    if any(swept.values()):
        log.info("swept %s", ", ".join(f"{number} {kind}" for kind, number in swept.items()))
    return swept
