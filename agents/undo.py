"""The parts of a deleted tenant or agent that are agents, and what belongs to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.db.models import F

from agents.models import Agent, ConfigVersion, PluginSetting, Template
from core import change_feed, counts
from core.models import FeedEntry
from core.undo.chunks import size_of
from core.undo.parts import Kind, Part, Restoration, rename_taken
from core.undo.restoring import ExistsAgain
from tenants.access import lock_tenant
from tenants.capacity import Resource, check_limit

# Older versions of the configs are left out beyond this many bytes, because agents may have thousands of versions.
VERSIONS_BYTES = 32 * 1024 * 1024


class Templates(Part[Template]):
    """A tenant's own templates."""

    model = Template
    columns = {Kind.TENANT: "tenant_id"}
    page_size = 50


class Agents(Part[Agent]):
    """The agents. A deleted agent comes back only into the tenant that it was in."""

    model = Agent
    columns = {Kind.TENANT: "tenant_id", Kind.AGENT: "pk"}
    page_size = 50

    def put_back(self, rows: Sequence[Agent], restoration: Restoration) -> int:
        if restoration.deleted.kind == Kind.AGENT:
            self._make_room(rows[0], restoration)
        counts.add(*rows)
        change_feed.publish(FeedEntry.Kind.AGENT, [row.pk for row in rows], tenant_id=rows[0].tenant_id)
        return super().put_back(rows, restoration)

    def _make_room(self, row: Agent, restoration: Restoration) -> None:
        """Raise what keeps an agent from coming back into its tenant, and give it a free name."""
        tenant = lock_tenant(row.tenant_id)
        others = Agent.objects.in_tenants([tenant.pk])
        if others.filter(pk=row.pk).exists():
            raise ExistsAgain
        check_limit(tenant, Resource.AGENTS)
        rename_taken([row], restoration, among=others)


class ConfigVersions(Part[ConfigVersion]):
    """The versions of the agents' configs: each agent's current one, then the newest of all within VERSIONS_BYTES."""

    model = ConfigVersion
    columns = {Kind.TENANT: "tenant_id", Kind.AGENT: "agent_id"}
    page_size = 20

    def pages(self, kind: Kind, object_id: str) -> Iterator[list[tuple[Any, ...]]]:
        versions = self.rows(kind, object_id)
        yield from self.pages_of(versions.filter(number=F("agent__config_version")))
        older = versions.exclude(number=F("agent__config_version"))
        left = VERSIONS_BYTES
        for page in self.pages_of(older, newest_first=True):
            yield page
            left -= sum(map(size_of, page))
            if left <= 0:
                break


class PluginSettings(Part[PluginSetting]):
    """The settings of plugins, a tenant's own and its agents'."""

    model = PluginSetting
    columns = {Kind.TENANT: "tenant_id", Kind.AGENT: "agent_id"}
    page_size = 50
