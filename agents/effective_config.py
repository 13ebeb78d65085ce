"""What an agent's config is in effect, over all layers, and how to know cheaply that it is still the same.

An agent's *head* is the state of every layer in a few numbers, read in one query. Its ETag stands for all
that the effective config is made of; what was resolved for one head is remembered, bounded, by each worker.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from django.db import connection
from django.db.models import QuerySet
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from agent_config import layers, schema, secrets, system, trust
from agent_config.document import Config
from agent_config.layers import Layer
from agent_config.schema import Notice
from agent_config.system import Defaults
from agents.errors import AgentNotFound
from agents.models import Agent, Template
from agents.remembered import Remembered
from agents.services.config_versions import stacked
from core import audit, primary
from core.actor import Actor
from core.db import transactional
from core.errors import Unavailable
from core.prepared import prepared_sql
from core.sealing import Unsealable
from tenants.models import Tenant

# Of JSON; what it stands for is several times that, and in proportion.
MAX_REMEMBERED_BYTES = 16 * 1024 * 1024


class Head(NamedTuple):
    """The state of everything that an agent's effective config is made of."""

    agent_id: str
    tenant_id: str
    config_version: int
    template_id: str | None
    template_tenant_id: str | None
    template_epoch: int | None
    defaults_revision: int

    @property
    def etag(self) -> str:
        """Another for every other effective config; without quotes."""
        return self.etag_over(system.defaults())

    def etag_over(self, defaults: Defaults) -> str:
        """As `etag`, over these system's defaults."""
        state = json.dumps([*self, defaults.fingerprint])
        return hashlib.sha256(state.encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class Effective:
    """An agent's effective config as of one head."""

    head: Head
    etag: str
    # `{version, config, warnings}` as JSON; `version` is the agent's own.
    document: bytes


HEAD_FIELDS = (
    "pk",
    "tenant_id",
    "config_version",
    "template_id",
    "template__tenant_id",
    "template__config_epoch",
    "tenant__defaults_revision",
)


def heads(agent_ids: Sequence[str]) -> dict[str, Head]:
    """The heads of the agents that exist, in one query. For those who may see every tenant."""
    if not agent_ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_select_heads(len(agent_ids)), agent_ids)
        return {row[0]: Head(*row) for row in cursor.fetchall()}


@prepared_sql
def _select_heads(number: int) -> QuerySet[Agent, Any]:
    return Agent.unscoped.filter(pk__in=map(str, range(number))).values_list(*HEAD_FIELDS)


def head_of(agent_id: str) -> Head:
    """One agent's head; raises AgentNotFound."""
    found = heads([agent_id]).get(agent_id)
    if found is None:
        raise AgentNotFound
    return found


class Explained(NamedTuple):
    """An effective config, and which layer each of its leaves comes from, by JSON pointer."""

    effective: Effective
    sources: dict[str, str]


def effective(head: Head) -> Effective:
    """The effective config as of the head, or of a later one; raises AgentNotFound if the agent is gone.

    Its warnings are in the active language.
    """
    language = get_language()
    server = primary.server()  # another may have other configs under the same numbers
    remembered = _remembered.get((head.etag, language, server))
    if remembered is not None:
        return remembered
    found = _Layers.of(head.agent_id)
    resolved = layers.resolve(found.layers)
    result = found.shown(secrets.masked(resolved), resolved)
    _remembered.put((result.etag, language, server), result)
    return result


def explained(agent_id: str) -> Explained:
    """The effective config, and why it is so; raises AgentNotFound."""
    found = _Layers.of(agent_id)
    resolved = layers.resolve(found.layers)
    config = secrets.masked(resolved)
    return Explained(found.shown(config, resolved), layers.sources(found.layers, config))


@transactional
def revealed(*, actor: Actor, agent_id: str) -> Explained:
    """As `explained`, with the secrets themselves, which the audit log tells.

    Raises AgentNotFound, and Unavailable where a key to the secrets is not configured.
    """
    found = _Layers.of(agent_id)
    resolved = layers.resolve(found.layers)
    try:
        config = secrets.opened(resolved)
    except Unsealable as error:
        raise Unavailable(_("A secret is sealed under a key that is not configured here")) from error
    audit.record(actor=actor, action="agent.reveal_secrets", object_id=agent_id, tenant_id=found.head.tenant_id)
    return Explained(found.shown(config, resolved), layers.sources(found.layers, config))


def set_configs(agent_ids: Sequence[str]) -> dict[str, Config]:
    """Return what was set for agents, by their template, their tenant and themselves, in one query.

    These are their effective configs without the system's defaults, and sealed. For those who may see every tenant.
    """
    rows = Agent.unscoped.filter(pk__in=agent_ids).values_list(
        "pk", "tenant_id", "config", "template__tenant_id", "template__config", "tenant__tenant_config"
    )
    found = dict[str, Config]()
    for agent_id, tenant_id, config, template_tenant_id, template_config, tenant_config in rows:
        _defaults, *below = stacked(
            Layer("default", {}),
            tenant_id=tenant_id,
            tenant_config=tenant_config,
            template_tenant_id=template_tenant_id,
            template_config=template_config,
        )
        found[agent_id] = layers.resolve([*below, Layer("agent", config)])
    return found


def lower_layers(heads: Sequence[Head], defaults: Defaults) -> dict[str, list[Layer]]:
    """Return the layers below agents as they are now, by agent, in two queries. A template is read once for all."""
    template_ids = {head.template_id for head in heads if head.template_epoch is not None}
    templates = dict(Template.unscoped.filter(pk__in=template_ids).values_list("pk", "config")) if template_ids else {}
    tenants = Tenant.objects.filter(pk__in={head.tenant_id for head in heads}).values_list("pk", "tenant_config")
    tenant_configs = dict(tenants)
    return {
        head.agent_id: stacked(
            defaults.layer,
            tenant_id=head.tenant_id,
            tenant_config=tenant_configs.get(head.tenant_id),
            template_tenant_id=head.template_tenant_id,
            template_config=None if head.template_id is None else templates.get(head.template_id),
        )
        for head in heads
    }


class _Layers(NamedTuple):
    """An agent's layers, lowest first, as of one moment."""

    head: Head
    etag: str
    layers: list[Layer]

    @staticmethod
    def of(agent_id: str) -> _Layers:
        """Reads all of them in one query; raises AgentNotFound."""
        rows = Agent.unscoped.filter(pk=agent_id)
        row = rows.values_list(*HEAD_FIELDS, "config", "template__config", "tenant__tenant_config").first()
        if row is None:
            raise AgentNotFound
        head = Head(*row[: len(HEAD_FIELDS)])
        config, template_config, tenant_config = row[len(HEAD_FIELDS) :]
        defaults = system.defaults()
        below = stacked(
            defaults.layer,
            tenant_id=head.tenant_id,
            tenant_config=tenant_config,
            template_tenant_id=head.template_tenant_id,
            template_config=template_config,
        )
        return _Layers(head, head.etag_over(defaults), [*below, Layer("agent", config)])

    def shown(self, config: Config, resolved: Config) -> Effective:
        """Return what was resolved, as it may be shown, with what is worth a warning about it."""
        warnings = [notice._asdict() for notice in self._notices(resolved)]
        document = {"version": self.head.config_version, "config": config, "warnings": warnings}
        return Effective(self.head, self.etag, orjson.dumps(document))

    def _notices(self, resolved: Config) -> list[Notice]:
        left_out = trust.left_out(self.layers)
        gone = {f"{notice.path}.name" for notice in left_out}
        shadowed = [notice for notice in layers.shadowed(self.layers) if notice.path not in gone]
        unknown = [
            Notice(schema.path(place), sentence) for place, sentence in schema.unknown_models(resolved, resolved)
        ]
        notices = [*shadowed, *left_out, *schema.warnings(secrets.opened_or_masked(resolved)), *unknown]
        if self.head.template_id is not None and all(layer.name != "template" for layer in self.layers):
            notices.insert(0, Notice("template_id", _("There is no such template; it changes nothing")))
        return notices


_Key = tuple[str, str | None, Hashable]
_remembered: Remembered[_Key, Effective] = Remembered(MAX_REMEMBERED_BYTES, weigh=lambda found: len(found.document))
