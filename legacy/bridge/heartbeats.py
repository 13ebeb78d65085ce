"""Heartbeats that bots write into the old tables, copied into maim. Of two heartbeats of one agent the later wins."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import IntegrityError

from agents import bulk_import
from agents.models import Agent, AgentActivity, AgentStatus
from core.db import RowUpdate
from legacy.bridge.database import LegacyDatabase
from legacy.importers.activity import activity_of, now_text
from legacy.reports import Report
from tenants.models import TenantStatus

_BATCH = 500


class HeartbeatImporter:
    """An importer that remembers the heartbeats that it has imported, so that it skips them."""

    def __init__(self) -> None:
        self._imported = dict[str, datetime]()

    def import_new(self, database: LegacyDatabase) -> int:
        """Import new heartbeats, and return their number. Raise DatabaseUnavailable."""
        report, new = Report(), list[AgentActivity]()
        for row in database.select_greater("agent_active_states", "expires_at", now_text()):
            source = activity_of(row, report.notes_for("activity", row["agent_id"], row["tenant_id"]))
            if source is not None and self._imported.get(source.object_id) != source.target.last_seen_at:
                new.append(source.target)
        return sum(self._save(new[start : start + _BATCH]) for start in range(0, len(new), _BATCH))

    def _save(self, heartbeats: Sequence[AgentActivity]) -> int:
        """Save heartbeats of active agents in active tenants, because the HTTP API accepts no others."""
        by_agent = {row.agent_id: row for row in sorted(heartbeats, key=lambda row: row.last_seen_at)}
        agents = Agent.unscoped.filter(
            pk__in=by_agent, status=AgentStatus.ACTIVE, tenant__status=TenantStatus.ACTIVE
        ).values_list("pk", "tenant_id")
        accepted = [by_agent[agent_id] for agent_id, tenant_id in agents if by_agent[agent_id].tenant_id == tenant_id]
        existing = {row.pk: row for row in AgentActivity.unscoped.filter(pk__in=[row.agent_id for row in accepted])}
        new = [row for row in accepted if row.agent_id not in existing]
        later = [
            RowUpdate(existing[row.agent_id], row)
            for row in accepted
            if row.agent_id in existing and row.last_seen_at > existing[row.agent_id].last_seen_at
        ]
        if new or later:
            try:
                bulk_import.import_activity(new=new, changed=later)
            except IntegrityError:
                return 0  # an agent was deleted or sent a heartbeat to maim meanwhile; the next call sees that
        self._imported |= {row.agent_id: row.last_seen_at for row in accepted}
        return len(new) + len(later)
