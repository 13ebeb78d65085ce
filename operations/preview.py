"""Previews: what a dangerous operation would affect, for whoever is asked to confirm it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import NamedTuple

from django.db.models import Sum
from django.utils import timezone

from agents.models import Agent
from apikeys.models import ApiKey, DailyUse, MinuteCount
from core import counts
from operations.selections import Selection
from operations.services import TYPED_BEYOND
from tenants.models import Tenant


class Preview(NamedTuple):
    """The number of objects that are selected, and of the agents and keys that the operation affects.

    `calls` are verifications: of tenants those of the last hour, of agents and keys those of the day in UTC, because
    only tenants are counted by the minute.
    """

    objects: int
    agents: int
    keys: int
    calls: int
    calls_are_of_last_hour: bool

    @property
    def has_to_be_typed(self) -> bool:
        """True if the number of objects has to be typed."""
        return self.objects > TYPED_BEYOND


def preview_selection(selection: Selection) -> Preview:
    """Return what an operation on these objects would affect now. Raise Invalid for a selection of nothing."""
    selection = selection.frozen()
    if selection.model is Tenant:
        return preview_tenants(selection.ids)
    objects = selection.size()
    # Without ids, uses are counted under the owner, because it may have a million keys.
    uses = _uses_today(selection.ids or [selection.agent_id or selection.tenant_id])
    if selection.model is Agent:
        return Preview(objects, agents=objects, keys=_count_keys(selection), calls=uses, calls_are_of_last_hour=False)
    return Preview(objects, agents=_count_agents(selection), keys=objects, calls=uses, calls_are_of_last_hour=False)


def preview_tenants(tenant_ids: Collection[str]) -> Preview:
    """Return what a change or deletion of these tenants would affect."""
    since = timezone.now() - timedelta(hours=1)
    minutes = MinuteCount.objects.in_tenants(tenant_ids).filter(start__gte=since)
    calls: int | None = minutes.aggregate(number=Sum("number"))["number"]
    return Preview(
        objects=len(tenant_ids),
        agents=counts.total(counts.Kind.AGENTS, tenant_ids),
        keys=counts.total(counts.Kind.KEYS, tenant_ids),
        calls=calls or 0,
        calls_are_of_last_hour=True,
    )


def _uses_today(subjects: Collection[str]) -> int:
    today = timezone.now().date()
    rows = DailyUse.unscoped.filter(subject__in=subjects, day=today)
    number: int | None = rows.aggregate(number=Sum("uses"))["number"]
    return number or 0


def _count_keys(selection: Selection) -> int:
    """Return the number of keys of selected agents."""
    if not selection.ids and not selection.status:
        return counts.total(counts.Kind.KEYS, [selection.tenant_id])
    return ApiKey.unscoped.filter(agent__in=selection.rows().order_by().values("pk")).count()


def _count_agents(selection: Selection) -> int:
    """Return the number of agents whose keys are selected."""
    if selection.agent_id:
        return 1
    if not selection.ids and not selection.status:
        return counts.total(counts.Kind.AGENTS, [selection.tenant_id])
    return selection.rows().order_by().values("agent_id").distinct().count()
