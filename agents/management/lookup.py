"""Lookup of agents by id or name, for management commands."""

from __future__ import annotations

from django.db.models import Q

from agents.access import agents_for
from agents.models import Agent
from core.naming import is_called
from tenants.management.lookup import TenantLookup, name_and_id
from tenants.models import Tenant


class AgentLookup(TenantLookup):
    """Lookup of tenants, users and agents."""

    def agent(self, text: str, tenant: Tenant | None = None) -> Agent:
        """Return the agent with this id or name, or named TENANT/AGENT. Raise CommandError."""
        rows = agents_for(self._actor).select_related("tenant")
        if tenant is not None:
            rows = rows.filter(tenant=tenant)
        found = rows.filter(pk=text) or rows.filter(_is_called(text))
        header = ["ID", "NAME", "TENANT"]
        return self._get_only(found, "agent", text, header, lambda row: [row.id, row, name_and_id(row.tenant)])


def _is_called(text: str) -> Q:
    """Return the condition for agents that a text may name; either name may contain a slash."""
    called = is_called(text)
    for place, char in enumerate(text):
        if char == "/":
            tenant, name = text[:place], text[place + 1 :]
            named = Q(tenant_id=tenant) | is_called(tenant, "tenant__")
            called |= named & is_called(name)
    return called
