"""Reads that reveal secrets, in the audit log.

What operators' commands read has an entry each. Bots may read secrets many times an hour, so their reads are counted:
by agent, address and hour, in the transaction of the read. When the hour is over, the count becomes one entry.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db import connection
from django.utils import timezone

from core import audit
from core.actor import Actor, ActorKind
from core.db import transactional
from core.models import RevealCount

ACTION = "agent.reveal_secrets"
# Reads that were counted in the last moment of an hour are committed by then.
_COMMITTED_AFTER = timedelta(minutes=1)
_AT_ONCE = 200

_COUNT = "INSERT INTO common_revealcount (agent_id, address, hour, tenant_id, number) VALUES (%s, %s, %s, %s, 1) "
_OR_ADD = {
    "mysql": "ON DUPLICATE KEY UPDATE number = number + 1",
    "sqlite": "ON CONFLICT (agent_id, address, hour) DO UPDATE SET number = number + 1",
}


def record_reveal(*, actor: Actor, agent_id: str, tenant_id: str) -> None:
    """Record that somebody reads the secrets of an agent, in the transaction of the read."""
    if actor.kind != ActorKind.INTERNAL:
        audit.record(actor=actor, action=ACTION, object_id=agent_id, tenant_id=tenant_id)
        return
    hour = connection.ops.adapt_datetimefield_value(_hour(timezone.now()))
    with connection.cursor() as cursor:
        cursor.execute(_COUNT + _OR_ADD[connection.vendor], [agent_id, actor.address, hour, tenant_id])


def record_counted() -> int:
    """Write an entry for each count whose hour is over, and return their number. Any number of processes may do it."""
    recorded = 0
    while number := _record_some(_hour(timezone.now() - _COMMITTED_AFTER)):
        recorded += number
    return recorded


@transactional
def _record_some(before: datetime) -> int:
    counts = list(RevealCount.objects.select_for_update().filter(hour__lt=before).order_by("pk")[:_AT_ONCE])
    for count in counts:
        actor = Actor(kind=ActorKind.INTERNAL, address=count.address)
        reads = {"hour": f"{count.hour.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", "reads": count.number}
        audit.record(actor=actor, action=ACTION, object_id=count.agent_id, tenant_id=count.tenant_id, after=reads)
        RevealCount.objects.filter(agent_id=count.agent_id, address=count.address, hour=count.hour).delete()
    return len(counts)


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
