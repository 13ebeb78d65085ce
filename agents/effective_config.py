"""Effective configs of agents: all layers resolved, with an ETag that is cheap to compute.

A `ConfigState` holds the state of every layer in a few numbers, read in one query. Its ETag changes whenever the
effective config may have changed. Each worker caches what it resolved for a state.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Any, NamedTuple

import orjson
from cachetools import LRUCache
from django.db import connection
from django.db.models import QuerySet
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from agent_config import layers, schema, secrets, system, trust
from agent_config.document import Config, agent_defaults
from agent_config.layers import Layer, lower_layers
from agent_config.schema import ConfigWarning
from agent_config.system import Defaults
from agents.errors import AgentNotFound
from agents.models import Agent, Template
from core import primary
from core.actor import Actor
from core.db import transactional
from core.errors import Unavailable
from core.prepared import prepared_sql
from core.reveals import record_reveal
from core.sealing import Unsealable
from tenants.models import Tenant

# Of JSON; the objects around it take several times that, and in proportion.
MAX_CACHED_BYTES = 16 * 1024 * 1024


class ConfigState(NamedTuple):
    """The state of everything that an agent's effective config is made of."""

    agent_id: str
    tenant_id: str
    config_version: int
    template_id: str | None
    template_tenant_id: str | None
    template_epoch: int | None
    defaults_revision: int
    agent_schema: str | None
    tenant_schema: str | None

    @property
    def schema_name(self) -> str:
        """The name of the schema by which the agent's config is checked."""
        return self.agent_schema or self.tenant_schema or schema.DEFAULT

    @property
    def etag(self) -> str:
        """The ETag of the effective config, without quotes."""
        return self.etag_over(system.defaults(self.schema_name))

    def etag_over(self, defaults: Defaults) -> str:
        """Return the ETag of the effective config over these defaults of the system."""
        state = json.dumps([*self, defaults.fingerprint])
        return hashlib.sha256(state.encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class ResolvedConfig:
    """An agent's effective config in one state."""

    state: ConfigState
    etag: str
    # `{version, config, warnings}` as JSON; `version` is the agent's own.
    document: bytes


class ExplainedConfig(NamedTuple):
    """An effective config, and the layer that each of its leaves comes from, by JSON pointer."""

    resolved: ResolvedConfig
    sources: dict[str, str]


STATE_FIELDS = (
    "pk",
    "tenant_id",
    "config_version",
    "template_id",
    "template__tenant_id",
    "template__config_epoch",
    "tenant__defaults_revision",
    "config_schema",
    "tenant__config_schema",
)

_CacheKey = tuple[str, str | None, Hashable]
_cache: LRUCache[_CacheKey, ResolvedConfig] = LRUCache(MAX_CACHED_BYTES, getsizeof=lambda found: len(found.document))
_cache_lock = Lock()


def get_states(agent_ids: Sequence[str]) -> dict[str, ConfigState]:
    """Return the states of the agents that exist, in one query. For callers who may read every tenant."""
    if not agent_ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_select_states(len(agent_ids)), agent_ids)
        return {row[0]: ConfigState(*row) for row in cursor.fetchall()}


@prepared_sql
def _select_states(number: int) -> QuerySet[Agent, Any]:
    return Agent.unscoped.filter(pk__in=map(str, range(number))).values_list(*STATE_FIELDS)


def get_state(agent_id: str) -> ConfigState:
    """Return one agent's state. Raise AgentNotFound."""
    found = get_states([agent_id]).get(agent_id)
    if found is None:
        raise AgentNotFound
    return found


def get_effective_config(state: ConfigState) -> ResolvedConfig:
    """Return the effective config in this state, or in a later one, with warnings in the active language.

    Raise AgentNotFound if the agent is gone.
    """
    language = get_language()
    server = primary.server()  # another may have other configs under the same numbers
    with _cache_lock:
        cached = _cache.get((state.etag, language, server))
    if cached is not None:
        return cached
    agent = _AgentLayers.read(state.agent_id)
    config = layers.resolve(agent.layers)
    resolved = agent.resolved(config, shown=secrets.masked(config))
    with _cache_lock, suppress(ValueError):  # raised for a config that is larger than the whole cache
        _cache[resolved.etag, language, server] = resolved
    return resolved


def explain_effective_config(agent_id: str) -> ExplainedConfig:
    """Return the effective config and where it comes from. Raise AgentNotFound."""
    agent = _AgentLayers.read(agent_id)
    config = layers.resolve(agent.layers)
    return agent.explained(config, shown=secrets.masked(config))


@transactional
def reveal_effective_config(*, actor: Actor, agent_id: str) -> ExplainedConfig:
    """Return the effective config with its secrets in clear, where it comes from, and record that in the audit log.

    Raise AgentNotFound, and Unavailable where a secret is sealed under a key that is not configured.
    """
    agent = _AgentLayers.read(agent_id)
    config = layers.resolve(agent.layers)
    try:
        opened = secrets.opened(config)
    except Unsealable as error:
        raise Unavailable(_("A secret is sealed under a key that is not configured here")) from error
    record_reveal(actor=actor, agent_id=agent_id, tenant_id=agent.state.tenant_id)
    return agent.explained(config, shown=opened)


def resolve_config(agent_id: str) -> Config:
    """Return the effective config, secrets sealed. It shares parts with the layers. Raise AgentNotFound."""
    return layers.resolve(_AgentLayers.read(agent_id).layers)


def get_configs_without_defaults(agent_ids: Sequence[str]) -> dict[str, Config]:
    """Return agents' effective configs without the system's defaults, secrets sealed, in one query.

    For callers who may read every tenant.
    """
    rows = Agent.unscoped.filter(pk__in=agent_ids).values_list(
        "pk", "tenant_id", "config", "template__tenant_id", "template__config", "tenant__tenant_config"
    )
    found = dict[str, Config]()
    for agent_id, tenant_id, config, template_tenant_id, template_config, tenant_config in rows:
        _defaults, *below = lower_layers(
            Layer("default", {}),
            tenant_id=tenant_id,
            tenant_defaults=agent_defaults(tenant_config),
            template_tenant_id=template_tenant_id,
            template_config=template_config,
        )
        found[agent_id] = layers.resolve([*below, Layer("agent", config)])
    return found


def get_lower_layers(states: Sequence[ConfigState]) -> dict[str, list[Layer]]:
    """Return the current layers below agents, by agent, in two queries. A template is read once for all its agents."""
    template_ids = {state.template_id for state in states if state.template_epoch is not None}
    templates = dict(Template.unscoped.filter(pk__in=template_ids).values_list("pk", "config")) if template_ids else {}
    tenants = Tenant.objects.filter(pk__in={state.tenant_id for state in states}).values_list("pk", "tenant_config")
    tenant_configs = dict(tenants)
    return {
        state.agent_id: lower_layers(
            system.defaults(state.schema_name).layer,
            tenant_id=state.tenant_id,
            tenant_defaults=agent_defaults(tenant_configs.get(state.tenant_id)),
            template_tenant_id=state.template_tenant_id,
            template_config=None if state.template_id is None else templates.get(state.template_id),
        )
        for state in states
    }


class _AgentLayers(NamedTuple):
    """An agent's layers, lowest first, in one state."""

    state: ConfigState
    etag: str
    layers: list[Layer]

    @staticmethod
    def read(agent_id: str) -> _AgentLayers:
        """Read all layers in one query. Raise AgentNotFound."""
        rows = Agent.unscoped.filter(pk=agent_id)
        row = rows.values_list(*STATE_FIELDS, "config", "template__config", "tenant__tenant_config").first()
        if row is None:
            raise AgentNotFound
        state = ConfigState(*row[: len(STATE_FIELDS)])
        config, template_config, tenant_config = row[len(STATE_FIELDS) :]
        defaults = system.defaults(state.schema_name)
        below = lower_layers(
            defaults.layer,
            tenant_id=state.tenant_id,
            tenant_defaults=agent_defaults(tenant_config),
            template_tenant_id=state.template_tenant_id,
            template_config=template_config,
        )
        return _AgentLayers(state, state.etag_over(defaults), [*below, Layer("agent", config)])

    def resolved(self, config: Config, *, shown: Config) -> ResolvedConfig:
        """Return the effective config as it is `shown`, with its warnings."""
        warnings = [warning._asdict() for warning in self._warnings(config)]
        document = {"version": self.state.config_version, "config": shown, "warnings": warnings}
        return ResolvedConfig(self.state, self.etag, orjson.dumps(document))

    def explained(self, config: Config, *, shown: Config) -> ExplainedConfig:
        """Return the effective config as it is `shown`, with its warnings and the sources of its leaves."""
        return ExplainedConfig(self.resolved(config, shown=shown), layers.sources(self.layers, shown))

    def _warnings(self, config: Config) -> list[ConfigWarning]:
        left_out = trust.left_out(self.layers)
        left_out_names = {f"{warning.path}.name" for warning in left_out}
        shadowed = [warning for warning in layers.shadowed(self.layers) if warning.path not in left_out_names]
        unknown = [
            ConfigWarning(schema.path(place), sentence)
            for place, sentence in (*schema.unknown_models(config, config), *schema.unknown_providers(config, config))
        ]
        found = schema.warnings(secrets.opened_or_masked(config), self.state.schema_name, needs_keys=False)
        warnings = [*shadowed, *left_out, *found, *unknown]
        if self.state.template_id is not None and all(layer.name != "template" for layer in self.layers):
            warnings.insert(0, ConfigWarning("template_id", _("There is no such template; it changes nothing")))
        return warnings
