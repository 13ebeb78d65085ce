"""Lookup of keys by id, name or masked secret, for management commands."""

from __future__ import annotations

from django.core.management.base import CommandError

from agents.management.lookup import AgentLookup
from agents.models import Agent
from apikeys.access import keys_for
from apikeys.models import ApiKey
from apikeys.queries import has_masked_secret
from core.naming import is_called
from core.scrubbing import scrubbed
from tenants.management.lookup import name_and_id
from tenants.models import Tenant


class KeyLookup(AgentLookup):
    """Lookup of tenants, agents and keys, whose errors repeat no secret that was given in place of an id."""

    def key(self, text: str, tenant: Tenant | None = None, agent: Agent | None = None) -> ApiKey:
        """Return the key with this id, name, or masked secret such as `mmc_…94bb`. Raise CommandError."""
        rows = keys_for(self._actor).select_related("tenant", "agent")
        if tenant is not None:
            rows = rows.filter(tenant=tenant)
        if agent is not None:
            rows = rows.filter(agent=agent)
        found = rows.filter(pk=text) or rows.filter(is_called(text)) or rows.filter(has_masked_secret(text))
        return self._get_only(
            found,
            "key",
            text,
            ["ID", "NAME", "AGENT", "TENANT"],
            lambda row: [row.id, row, name_and_id(row.agent), name_and_id(row.tenant)],
        )

    def _not_found(self, sentence: str) -> CommandError:
        return super()._not_found(scrubbed(sentence))
