"""Agents that are set up as another is: duplicates, and files that an agent goes out to and comes in from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import chain, count
from typing import Any

from django.utils.translation import gettext_lazy as _

from agent_config import secrets
from agent_config.document import Config
from agent_config.patches import Patch, make_patch
from agent_config.schema import Notice
from agents import services
from agents.models import Agent, PluginSetting
from agents.services.config_versions import lock_agent
from agents.services.plugins import add_plugins
from core import audit
from core.actor import Actor
from core.db import transactional
from core.errors import Invalid, Unavailable
from core.sealing import Unsealable
from core.text import cut, fold_name, name_error, visible
from tenants.models import Tenant
from tenants.services import lock_tenant

# What a file says it is, in its first key.
FORMAT = 1

Document = dict[str, Any]


@transactional
def duplicate_agent(*, actor: Actor, agent: Agent, name: str | None = None, note: str | None = None) -> Agent:
    """A new agent of the same tenant, with all that this one is set up with, secrets included; but with no keys.

    Without a name it is called after this one, and then `(copy)`, `(copy 2)` and so on. Raises AgentNameTaken,
    AgentNotFound, TenantNotFound.
    """
    tenant = lock_tenant(agent.tenant_id)
    row = lock_agent(agent.pk)
    duplicate = Agent(tenant=tenant)
    for field in ("description", "template_id", "config", "tags", "rate_limit", "quota"):
        setattr(duplicate, field, getattr(row, field))
    duplicate.change_name(name or _name_of_duplicate(row))
    settings = _settings_of(row)
    told = {"duplicate_of": row.id, "plugins": [setting.plugin_name for setting in settings]}
    services.add_agent(duplicate, actor=actor, action="agent.duplicate", note=note, extra=told)
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


def exported(agent: Agent) -> Document:
    """The agent as a file holds it, without its secrets: what it was set up with, but for keys and limits."""
    return _document(agent, secrets.omitted)


@transactional
def exported_with_secrets(*, actor: Actor, agent: Agent) -> Document:
    """As `exported`, with the secrets in clear, which the audit log tells.

    Raises Unavailable where a key to the secrets is not configured.
    """
    try:
        document = _document(agent, secrets.opened)
    except Unsealable as error:
        raise Unavailable(_("A secret is sealed under a key that is not configured here")) from error
    audit.record(actor=actor, action="agent.reveal_secrets", object_id=agent.id, tenant_id=agent.tenant_id)
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
    config: Config | None = None,
    plugins: Sequence[Mapping[str, Any]] = (),
    strict: bool = False,
) -> Agent:
    """A new agent with its plugin settings, as `exported` wrote them; or nothing of it.

    Raises AgentNameTaken, BadConfig, ForeignTemplate, TenantNotFound, and Invalid for a plugin that is set twice.
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
        config=config or {},
        strict=strict,
    )
    add_plugins(actor=actor, agent=agent, settings=plugins)
    return agent


class _Rehearsed(Exception):
    """Ends a transaction that was to be tried only."""


def check_import(*, actor: Actor, tenant: Tenant, **document: Any) -> Sequence[Notice]:
    """Return the warnings of what `import_agent` would make, or raise what it would raise; change nothing."""
    warnings: list[Notice] = []

    @transactional
    def rehearse() -> None:
        warnings.extend(import_agent(actor=actor, tenant=tenant, **document).config_warnings)
        raise _Rehearsed

    with suppress(_Rehearsed):
        rehearse()
    return warnings


def difference(agent: Agent, sent: Mapping[str, Any]) -> Patch:
    """What leads from an agent as it is exported to what a file says, as a JSON patch (RFC 6902).

    Secrets count where the file has any, and are told of without being shown. A mask stands for what is stored;
    raises BadConfig where nothing is.
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
    """Return the agent as a file holds it, its configs as they are `shown`.

    What is not set is left out, because TOML has no null.
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
    """The agent's own plugin settings."""
    return list(PluginSetting.objects.in_tenants([agent.tenant_id]).filter(agent=agent))


def _name_of_duplicate(agent: Agent) -> str:
    """`<name> (copy)`, or the first with a number that is free in the tenant; no longer than a name may be."""
    others = Agent.objects.in_tenants([agent.tenant_id]).filter(name_folded__contains=" (copy")
    taken = set(others.values_list("name_folded", flat=True))
    longest = Agent._meta.get_field("name").max_length or 0
    # An older name may hold what a new one may not, and then even nothing else.
    base = visible(agent.name)
    base = agent.id if name_error(base) else base
    suffixes = chain([" (copy)"], (f" (copy {number})" for number in count(2)))
    names = (
        cut(base, longest - len(suffix), fold=fold_name, most_folded=Agent.longest_folded - len(suffix)) + suffix
        for suffix in suffixes
    )
    return next(name for name in names if fold_name(name) not in taken)
