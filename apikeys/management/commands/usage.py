from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from apikeys import usage
from apikeys.management.lookup import KeyLookup
from core.commands.exit_codes import ExitCode
from core.commands.options import add_json, integer_between
from core.commands.subcommands import Options, SubcommandsCommand
from core.naming import NamedModel
from tenants.management.lookup import name_and_id

MAX_DAYS = 366
MAX_TOP = 1000
TENANTS, AGENTS, KEYS = "tenants", "agents", "keys"


class Command(SubcommandsCommand):
    """The uses of keys, as the database has counted them."""

    help = "Tells how much tenants, agents and keys are used, by day (UTC), and which are used most."
    lookup: KeyLookup

    def add_arguments(self, parser: CommandParser) -> None:
        add = self.subcommand_adder(parser)
        tenant = add("tenant", self.tenant, "Tells the uses of a tenant by day, the latest last")
        tenant.add_argument("tenant", metavar="TENANT", help="id or name")
        agent = add("agent", self.agent, "Tells the uses of an agent by day, the latest last")
        agent.add_argument("agent", metavar="AGENT", help="id, name, or TENANT/AGENT")
        key = add("key", self.key, "Tells the uses of a key by day, the latest last")
        key.add_argument("key", metavar="KEY", help="id, name, or masked secret")
        top = add("top", self.top, "Tells which tenants, or which agents or keys of a tenant, are used most")
        top.add_argument("kind", choices=(TENANTS, AGENTS, KEYS))
        top.add_argument("--tenant", metavar="TENANT", help="whose agents or keys: id or name")
        top.add_argument(
            "--limit", type=integer_between(1, MAX_TOP), default=10, metavar="N", help="show at most N (10)"
        )
        for each in (tenant, agent, key, top):
            each.add_argument(
                "--days", type=integer_between(1, MAX_DAYS), default=30, metavar="N", help="with today (30)"
            )
            add_json(each)

    def prepare(self) -> None:
        self.lookup = KeyLookup(self.actor)

    def tenant(self, options: Options) -> None:
        tenant = self.lookup.tenant(options["tenant"])
        self._tell_days(tenant, tenant.id, options)

    def agent(self, options: Options) -> None:
        agent = self.lookup.agent(options["agent"])
        self._tell_days(agent, agent.tenant_id, options)

    def key(self, options: Options) -> None:
        key = self.lookup.key(options["key"])
        self._tell_days(key, key.tenant_id, options)

    def top(self, options: Options) -> None:
        if (options["kind"] == TENANTS) != (options["tenant"] is None):
            raise CommandError("--tenant: name it for agents and keys, and not for tenants", returncode=ExitCode.USAGE)
        period = (*_period(options), options["limit"])
        found: Sequence[tuple[NamedModel, int]]
        if options["kind"] == TENANTS:
            found = usage.busiest_tenants(*period)
        elif options["kind"] == AGENTS:
            found = usage.busiest_agents(self.lookup.tenant(options["tenant"]).id, *period)
        else:
            found = usage.busiest_keys(self.lookup.tenant(options["tenant"]).id, *period)
        if options["json"]:
            items = [{"id": row.pk, "name": getattr(row, row.name_field), "uses": uses} for row, uses in found]
            self.out.json({"items": items})
        else:
            self.out.table(["ID", "NAME", "USES"], [[row.pk, row, uses] for row, uses in found])

    def _tell_days(self, row: Any, tenant_id: str, options: Options) -> None:
        first, last = _period(options)
        days = usage.by_day(row.pk, tenant_id, first, last)
        total = sum(uses for _day, uses in days)
        if options["json"]:
            self.out.json(
                {"id": row.pk, "days": [{"date": str(day), "uses": uses} for day, uses in days], "total": total}
            )
            return
        self.out.record([("of", name_and_id(row)), ("uses", f"{total} in {len(days)} days")])
        self.out.text("")
        self.out.table(["DAY", "USES"], days)


def _period(options: Options) -> tuple[date, date]:
    """Return the first and the last of the days that are asked for."""
    today = timezone.now().astimezone(UTC).date()
    return today - timedelta(days=options["days"] - 1), today
