"""Choosing among keys."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from apikeys.models import ApiKey, KeyStatus
from maim.common import clock
from maim.common.text import fold


def matching(
    rows: QuerySet[ApiKey],
    *,
    tenant_id: str | None = None,
    agent_id: str | None = None,
    status: str | None = None,
    q: str | None = None,
) -> QuerySet[ApiKey]:
    """The rows that fit all that is given; `status` is the one people see, `q` a part of the name."""
    if tenant_id is not None:
        rows = rows.filter(tenant_id=tenant_id)
    if agent_id is not None:
        rows = rows.filter(agent_id=agent_id)
    if q is not None:
        rows = rows.filter(name_folded__contains=fold(q))
    if status is not None:
        rows = rows.filter(_has_status(KeyStatus(status)))
    return rows


def _has_status(status: KeyStatus) -> Q:
    over = Q(expires_at__isnull=False, expires_at__lte=clock.now())
    if status is KeyStatus.ACTIVE:
        return Q(status=KeyStatus.ACTIVE) & ~over
    if status is KeyStatus.EXPIRED:
        return Q(status=KeyStatus.EXPIRED) | (Q(status=KeyStatus.ACTIVE) & over)
    return Q(status=status)
