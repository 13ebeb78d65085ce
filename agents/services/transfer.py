"""Duplicates of agents, and their export to and import from files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import chain, count
from typing import Any, NamedTuple

from django.utils.translation import gettext_lazy as _

from agent_config import secrets
from agent_config.document import Config
from agent_config.layers import Layer, resolve
from agent_config.patches import Patch, make_patch, masked_patch
from agent_config.schema import ConfigWarning
from agents import services
from agents.models import Agent, PluginSetting
from agents.services.config_writes import AgentConfigWrite, lock_agent
from agents.services.plugins import add_plugins
from core.actor import Actor
from core.db import transactional
from core.errors import Invalid, Unavailable
from core.reveals import record_reveal
from core.sealing import Unsealable
from core.text import cut, fold_name, name_error, visible
from tenants.access import lock_tenant
from tenants.models import Tenant

# The version of the file format, in `maim_export`.
FORMAT = 1

Document = dict[str, Any]


@transactional
def duplicate_agent(*, actor: Actor, agent: Agent, name: str | None = None, note: str | None = None) -> Agent:
    """Create an agent of the same tenant with the same settings, secrets and plugin settings, but without keys.

    The default name is this agent's with ` (copy)`, ` (copy 2)` and so on. Raise AgentNameTaken, AgentNotFound,
    TenantNotFound.
    """
    tenant = lock_tenant(agent.tenant_id)
    row = lock_agent(agent.pk)
    write = AgentConfigWrite(Agent(tenant=tenant), actor=actor)
    duplicate = write.row
    for field in ("description", "template_id", "config", "config_schema", "tags", "rate_limit", "quota"):
        setattr(duplicate, field, getattr(row, field))
    duplicate.change_name(name or _name_of_duplicate(row))
    settings = _settings_of(row)
    extra = {"duplicate_of": row.id, "plugins": [setting.plugin_name for setting in settings]}
    services.add_agent(write, action="agent.duplicate", note=note, extra=extra)
    PluginSetting.objects.in_tenants([tenant.id]).bulk_create(
        PluginSetting(
            tenant=tenant,
            agent=duplicate,
            agent_scope=duplicate.id,
            plugin_name=setting.plugin_name,
            enabled=setting.enabled,
            config=setting.config,
        )
        for setting in settings
    )
    return duplicate


def export_agent(agent: Agent) -> Document:
    """Return the agent as a file holds it: its settings without secrets, keys and limits."""
    return _document(agent, secrets.omitted)


@transactional
def export_with_secrets(*, actor: Actor, agent: Agent) -> Document:
    """Return the agent as a file holds it, with its secrets in clear, and record that in the audit log.

    Raise Unavailable where a secret is sealed under a key that is not configured.
    """
    try:
        document = _document(agent, secrets.opened)
    except Unsealable as error:
        raise Unavailable(_("A secret is sealed under a key that is not configured here")) from error
    record_reveal(actor=actor, agent_id=agent.id, tenant_id=agent.tenant_id)
    return document


@transactional
def import_agent(
    *,
    actor: Actor,
    tenant: Tenant,
    name: str,
    description: str | None = None,
    tags: list[str] | None = None,
    template_id: str | None = None,
    config_schema: str | None = None,
    config: Config | None = None,
    plugins: Sequence[Mapping[str, Any]] = (),
    strict: bool = False,
) -> Agent:
    """Create an agent with its plugin settings from the document of a file.

    Raise AgentNameTaken, BadConfig, ForeignTemplate, TenantNotFound, and Invalid for a plugin that is set twice.
    """
    names = [plugin["plugin_name"] for plugin in plugins]
    if len(set(names)) < len(names):
        raise Invalid({"plugins": [_("A plugin is set twice")]})
    agent = services.create_agent(
        actor=actor,
        tenant=tenant,
        name=name,
        description=description,
        tags=tags or [],
        template_id=template_id,
        config_schema=config_schema,
        config=config or {},
        strict=strict,
    )
    add_plugins(actor=actor, agent=agent, settings=plugins)
    return agent


class _RolledBack(Exception):
    """The end of a dry run, which rolls its transaction back."""


class CheckedImport(NamedTuple):
    """The effects of an import: the config that it would store, and its changes of the layers below."""

    warnings: Sequence[ConfigWarning]
    config: Config
    changes: Patch


def check_import(*, actor: Actor, tenant: Tenant, **document: Any) -> CheckedImport:
    """Return what `import_agent` would do, or raise what it would raise. Change nothing."""
    found: list[CheckedImport] = []

    @transactional
    def dry_run() -> None:
        agent = import_agent(actor=actor, tenant=tenant, **document)
        below = AgentConfigWrite(agent, actor=actor).lower_layers
        changes = masked_patch(resolve(below), resolve([*below, Layer("agent", agent.config)]))
        found.append(CheckedImport(agent.config_warnings, agent.config, changes))
        raise _RolledBack

    with suppress(_RolledBack):
        dry_run()
    return found[0]


def diff_with_file(agent: Agent, sent: Mapping[str, Any]) -> Patch:
    """Return the JSON patch (RFC 6902) from an agent's export to the document of a file, secrets masked.

    Secrets are compared only if the file has any. A mask stands for the stored secret; raise BadConfig where there is
    none.
    """
    stored = {setting.plugin_name: setting.config for setting in _settings_of(agent)}
    meant = secrets.unmasked(sent.get("config", {}), agent.config)
    plugins = [
        {**plugin, "config": secrets.unmasked(plugin.get("config", {}), stored.get(plugin["plugin_name"], {}))}
        for plugin in sorted(sent.get("plugins", ()), key=_plugin_name)
    ]
    has_secrets = any(secrets.any_in(config) for config in (meant, *(plugin["config"] for plugin in plugins)))
    before = _document(agent, dict if has_secrets else secrets.omitted)
    after = {"tags": [], **sent, "config": meant, "plugins": plugins}
    operations = make_patch(_comparable(before), _comparable(after))
    return [secrets.without_sealed(operation) for operation in operations]


def _document(agent: Agent, shown: Callable[[Config], Config]) -> Document:
    """Return the agent as a file holds it, with `shown` applied to its configs.

    Fields that are not set are left out, because TOML has no null.
    """
    settings = [
        {"plugin_name": setting.plugin_name, "enabled": setting.enabled, "config": shown(setting.config)}
        for setting in _settings_of(agent)
    ]
    document = {
        "maim_export": FORMAT,
        "name": agent.name,
        "description": agent.description,
        "tags": agent.tags,
        "template_id": agent.template_id,
        "config_schema": agent.config_schema,
        "config": shown(agent.config),
        "plugins": sorted(settings, key=_plugin_name),
    }
    return {key: value for key, value in document.items() if value is not None}


def _comparable(document: Document) -> Document:
    plugins = [{**plugin, "config": secrets.comparable(plugin["config"])} for plugin in document["plugins"]]
    return {**document, "config": secrets.comparable(document["config"]), "plugins": plugins}


def _plugin_name(setting: Mapping[str, Any]) -> str:
    name: str = setting["plugin_name"]
    return name


def _settings_of(agent: Agent) -> list[PluginSetting]:
    return list(PluginSetting.objects.in_tenants([agent.tenant_id]).filter(agent=agent))


def _name_of_duplicate(agent: Agent) -> str:
    """Return `<name> (copy)`, or the first numbered name that is free in the tenant, cut to the length of a name."""
    others = Agent.objects.in_tenants([agent.tenant_id]).filter(name_folded__contains=" (copy")
    taken = set(others.values_list("name_folded", flat=True))
    longest = Agent._meta.get_field("name").max_length or 0
    # An older name may have characters that are no longer allowed, or nothing else but them.
    base = visible(agent.name)
    base = agent.id if name_error(base) else base
    suffixes = chain([" (copy)"], (f" (copy {number})" for number in count(2)))
    names = (
        cut(base, longest - len(suffix), fold=fold_name, max_folded_length=Agent.longest_folded - len(suffix)) + suffix
        for suffix in suffixes
    )
    return next(name for name in names if fold_name(name) not in taken)
