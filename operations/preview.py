"""Previews: what a dangerous operation would affect, for whoever is asked to confirm it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from django.db.models import Sum
from django.utils import timezone

from agents.models import Agent
from apikeys.models import ApiKey, DailyUse, MinuteCount
from core import counts
from operations.models import Kind
from operations.selections import Selection
from tenants.models import Tenant

# Beyond this number of affected objects, whoever starts the operation has to type the number.
TYPED_BEYOND = 100


class Preview(NamedTuple):
    """The number of objects that are selected, and of the agents and keys that the operation affects.

    `calls` are verifications: of tenants those of the last hour, of agents and keys those of the day in UTC, because
    only tenants are counted by the minute.
    """

    kind: Kind
    objects: int
    agents: int
    keys: int
    calls: int
    calls_are_of_last_hour: bool

    @property
    def affected(self) -> int:
        """The number of objects that are changed, or deleted together with what is in them."""
        contained = {Kind.DELETE_TENANTS: self.agents + self.keys, Kind.DELETE_AGENTS: self.keys}
        return self.objects + contained.get(self.kind, 0)

    @property
    def has_to_be_typed(self) -> bool:
        """True if the number of affected objects has to be typed."""
        return self.affected > TYPED_BEYOND


def preview_selection(selection: Selection) -> Preview:
    """Return what an operation on these objects would affect now. Raise Invalid for a selection of nothing."""
    selection = selection.frozen()
    objects = selection.size()
    if selection.model is Tenant:
        agents, keys = (counts.total(kind, selection.ids) for kind in (counts.Kind.AGENTS, counts.Kind.KEYS))
        calls = _calls_of_last_hour(selection.ids)
    elif selection.model is Agent:
        agents, keys, calls = objects, _count_keys(selection), _calls_of_today(selection)
    else:
        agents, keys, calls = _count_agents(selection), objects, _calls_of_today(selection)
    of_last_hour = selection.model is Tenant
    return Preview(selection.kind, objects, agents, keys, calls, calls_are_of_last_hour=of_last_hour)


def _calls_of_last_hour(tenant_ids: Sequence[str]) -> int:
    rows = MinuteCount.objects.in_tenants(tenant_ids).filter(start__gte=timezone.now() - timedelta(hours=1))
    return rows.aggregate(number=Sum("number"))["number"] or 0


def _calls_of_today(selection: Selection) -> int:
    """Return the calls of agents or keys; of a filter those of the tenant or agent, which may have a million keys."""
    subjects: Sequence[str] = selection.ids or [selection.agent_id or selection.tenant_id]
    rows = DailyUse.unscoped.filter(subject__in=subjects, day=timezone.now().date())
    return rows.aggregate(number=Sum("uses"))["number"] or 0


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
