"""Uses by day of keys, agents, tenants and the installation."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta

from apikeys.models import ApiKey, DailyUse
from apikeys.outcomes import INSTALLATION
from apikeys.periods import DAY
from demo.context import Context
from demo.population import DemoAgent, DemoTenant
from demo.verifications import Verifications

DAYS = 90


class Uses:
    """Sums of uses, which are kept in flat arrays, because there may be a hundred thousand agents."""

    def __init__(
        self, context: Context, verifications: Verifications, agents: Sequence[DemoAgent], tenants: Sequence[DemoTenant]
    ) -> None:
        self.first_day = context.now.date() - timedelta(days=DAYS - 1)
        self._storage = context.storage
        self._agents, self._of_agents = agents, array("Q", bytes(8 * DAYS * len(agents)))
        self._tenants, self._of_tenants = tenants, array("Q", bytes(8 * DAYS * len(tenants)))
        self._days = [(self.first_day + timedelta(days=day)).isoformat() for day in range(DAYS)]
        self._verifications = verifications

    def add(self, key: ApiKey, agent: DemoAgent, day: int, number: int) -> tuple[datetime, datetime]:
        """Add uses of a key on a day, counted from `first_day`. Return the period in which the last of them was."""
        self._storage.add_count(DailyUse, key.pk, self._days[day], agent.row.tenant_id, number)
        self._of_agents[DAYS * agent.number + day] += number
        self._of_tenants[DAYS * agent.tenant.number + day] += number
        start = datetime.combine(self.first_day + timedelta(days=day), time.min, UTC)
        if self._verifications.is_recent(start):
            return self._verifications.add_recent(key, agent, start, number)
        return start, start + DAY

    def share_of_day(self, day: int) -> float:
        """Return the share of a day's uses that are over: all, except today."""
        return 1.0 if day < DAYS - 1 else self._verifications.share_of_today

    def finish(self) -> None:
        """Write the sums of agents, tenants and the installation, and the verifications."""
        for agent in sorted(self._agents, key=lambda each: each.row.pk):
            self._write_sums(agent.row.pk, agent.row.tenant_id, self._of_agents, agent.number)
        tenants = sorted(self._tenants, key=lambda each: each.row.pk)
        for tenant in tenants:
            self._write_sums(tenant.row.pk, tenant.row.pk, self._of_tenants, tenant.number)
        totals = array("Q", [sum(self._of_tenants[day::DAYS]) for day in range(DAYS)])
        self._write_sums(INSTALLATION, INSTALLATION, totals, 0)
        for tenant in tenants:
            for day in range(DAYS):
                number = self._of_tenants[DAYS * tenant.number + day]
                self._verifications.add_day(tenant, self.first_day + timedelta(days=day), number)
        self._verifications.finish(dict(zip(self._days, totals, strict=True)))

    def _write_sums(self, subject: str, tenant_id: str, sums: array[int], place: int) -> None:
        for day, number in zip(self._days, sums[DAYS * place : DAYS * (place + 1)], strict=True):
            if number:
                self._storage.add_count(DailyUse, subject, day, tenant_id, number)
