"""Heartbeats that bots write into the old tables, taken over into maim; of two of one agent the later counts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import IntegrityError

from agents import bulk_import
from agents.models import Agent, AgentActivity, AgentStatus
from core.db import RowUpdate
from legacy.bridge.target import Target
from legacy.importers.activity import activity_of, now_text
from legacy.reports import Report
from tenants.models import TenantStatus

_BATCH = 500


class Heartbeats:
    """What was taken over, so that it is not looked at again."""

    def __init__(self) -> None:
        self._taken = dict[str, datetime]()

    def take(self, target: Target) -> int:
        """Take over the heartbeats that are new; return how many. Raise Unavailable."""
        report, new = Report(), list[AgentActivity]()
        for row in target.rows_after("agent_active_states", "expires_at", now_text()):
            found = activity_of(row, report.about("activity", row["agent_id"], row["tenant_id"]))
            if found is not None and self._taken.get(found.object_id) != found.wanted.last_seen_at:
                new.append(found.wanted)
        return sum(self._adopt(new[start : start + _BATCH]) for start in range(0, len(new), _BATCH))

    def _adopt(self, heartbeats: Sequence[AgentActivity]) -> int:
        """As over HTTP, only an active agent of an active tenant has one."""
        by_agent = {row.agent_id: row for row in sorted(heartbeats, key=lambda row: row.last_seen_at)}
        agents = Agent.unscoped.filter(
            pk__in=by_agent, status=AgentStatus.ACTIVE, tenant__status=TenantStatus.ACTIVE
        ).values_list("pk", "tenant_id")
        wanted = [by_agent[agent_id] for agent_id, tenant_id in agents if by_agent[agent_id].tenant_id == tenant_id]
        here = {row.pk: row for row in AgentActivity.unscoped.filter(pk__in=[row.agent_id for row in wanted])}
        changed = [RowUpdate(here[row.agent_id], row) for row in wanted if row.agent_id in here]
        later = [row for row in changed if row.target.last_seen_at > row.existing.last_seen_at]
        new = [row for row in wanted if row.agent_id not in here]
        if new or later:
            try:
                bulk_import.import_activity(new=new, changed=later)
            except IntegrityError:
                return 0  # an agent was deleted, or sent one here, since it was read; the next look finds out
        self._taken |= {row.agent_id: row.last_seen_at for row in wanted}
        return len(new) + len(later)
