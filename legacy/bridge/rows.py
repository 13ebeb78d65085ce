"""Objects of maim as rows of the old tables: the reverse of `legacy.configs` and `legacy.importers`.

Secrets of providers go out only where they are asked for. Otherwise the old database keeps those that it has, as far
as they are still good here, and gets no others.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.crypto import salted_hmac

from agent_config import secrets
from agent_config.document import AGENT_DEFAULTS, Config, section
from agents.models import Agent, PluginSetting
from apikeys import bulk_import
from apikeys.models import ApiKey, KeyStatus
from core.sealing import Unsealable
from legacy import values
from legacy.bridge.target import Column
from legacy.bridge.writes import Json
from legacy.configs import ITEM_DEFAULTS, LISTS, NOT_FIELDS, PLACES, defaults_of
from legacy.values import Row, Unreadable
from tenants.models import Tenant

log = logging.getLogger("maim.bridge")

MAX_INTEGER = 2**31 - 1  # of MySQL's INT
Tables = Mapping[str, Mapping[str, Column]]


def tenant_row(tenant: Tenant, old: Row | None, *, with_secrets: bool) -> Row:
    """Return the tenant's row. What it says for all of its agents is in their configs."""
    said = tenant.tenant_config
    if said is not None:
        own = {key: value for key, value in said.items() if key != AGENT_DEFAULTS}
        said = _shown(own, old and old["tenant_config"], f"tenant {tenant.id}", with_secrets=with_secrets)
    return {
        "id": tenant.id,
        "tenant_name": tenant.tenant_name,
        "tenant_type": tenant.tenant_type,
        "description": tenant.description,
        "contact_email": tenant.contact_email,
        "tenant_config": Json(said),
        "status": tenant.status,
        "owner_id": tenant.named_owner_id,
        "created_at": tenant.created_at,
    }


def agent_row(agent: Agent, config: Config) -> Row:
    """The agent's row; `config` is what `shown_config` made."""
    return {
        "id": agent.id,
        "tenant_id": agent.tenant_id,
        "name": agent.name,
        "description": agent.description,
        "template_id": agent.template_id,
        "config": Json(config),
        "status": agent.status,
        "created_at": agent.created_at,
    }


def config_rows(agent_id: str, config: Config, tables: Tables) -> dict[str, list[Row]]:
    """The rows of a config in its tables, with the defaults of what was not set; by table, those without any too."""
    found = dict[str, list[Row]]()
    for table, place in PLACES.items():
        said: Any = config
        for key in place:
            said = said.get(key) if isinstance(said, dict) else None
        said = {"personality": said} if isinstance(said, str) else said
        is_set = isinstance(said, dict) and bool(said)
        rows = [_config_row(table, agent_id, said, defaults_of(place), tables)] if is_set else []
        found[table] = rows
    for table, name in LISTS.items():
        items = section(config, "model").get(name)
        found[table] = [
            _config_row(table, agent_id, _item(item), ITEM_DEFAULTS[name], tables)
            for item in (items if isinstance(items, list) else ())
        ]
    return found


def shown_config(config: Config, agent_id: str, old: Mapping[str, Sequence[Row]], *, with_secrets: bool) -> Config:
    """The config as it goes out, made of a sealed one; `old` has the agent's rows as they are, by table."""
    try:
        result = secrets.opened(config)
    except Unsealable:
        log.error("agent %s: its secrets are sealed under a key that is not configured, and are left out", agent_id)
        return secrets.omitted(config)
    return result if with_secrets else _with_known_secrets(result, _KnownSecrets(old))


def _with_known_secrets(config: Config, known: _KnownSecrets) -> Config:
    """Return a copy without the secrets that the old database does not have, as it has them."""
    result = secrets.omitted(config)
    providers = section(config, "model").get("api_providers")
    for provider in providers if isinstance(providers, list) else ():
        if known.has_provider(provider):  # else both go: a known key is not sent to an address that is not known
            shown = next(
                item
                for item in result["config_overrides"]["model"]["api_providers"]
                if item["name"] == provider["name"]
            )
            shown.update({key: provider[key] for key in ("api_key", "base_url") if key in provider})
    token = section(config, "maim_message").get("auth_token")
    if token and token in known.tokens:
        section(result, "maim_message")["auth_token"] = token
    return result


def _shown(document: dict[str, Any], old: Any, whose: str, *, with_secrets: bool) -> dict[str, Any]:
    """Return a document as it goes out, made of a sealed one: with its secrets only if they are asked for, or if the
    old database has the very document already."""
    try:
        opened = secrets.opened(document)
    except Unsealable:
        log.error("%s: secrets are sealed under a key that is not configured, and are left out", whose)
        return secrets.omitted(document)
    try:
        is_known = values.document(old) == opened
    except Unreadable:
        is_known = False
    return opened if with_secrets or is_known else secrets.omitted(document)


class _KnownSecrets:
    """The secrets that the old database has of an agent."""

    def __init__(self, old: Mapping[str, Sequence[Row]]) -> None:
        self._pairs = {(row["name"], *_pair(row)) for row in old.get("api_provider_configs", ())}
        self.tokens: list[Any] = []
        for row in old.get("agents", ()):
            try:
                config = values.document(row.get("config"))
            except Unreadable:
                continue
            if isinstance(config, dict):
                self.tokens.append(section(config, "maim_message").get("auth_token"))
                providers = section(config, "model").get("api_providers")
                items = [item for item in providers if isinstance(item, dict)] if isinstance(providers, list) else []
                self._pairs |= {(item.get("name"), *_pair(item)) for item in items}

    def has_provider(self, provider: Config) -> bool:
        return (provider["name"], *_pair(provider)) in self._pairs


def _pair(provider: Mapping[str, Any]) -> tuple[str, str]:
    return str(_text(provider.get("api_key")) or ""), str(_text(provider.get("base_url")) or "")


def key_row(key: ApiKey, old: Row | None) -> Row:
    """The key's row, whose `secrets` may have been prefetched.

    An existing row keeps its secret; where that is no good here any more, the row is disabled. The secret of a key
    that was made here is not known: its row has a value that no key equals.
    """
    unusable = _unusable(key.id)
    secret = unusable if old is None else str(old["api_key"])
    is_good = secret == unusable or bulk_import.has_live_secret(key, secret)
    return {
        "id": key.id,
        "tenant_id": key.tenant_id,
        "agent_id": key.agent_id,
        "name": key.name,
        "description": key.description,
        "api_key": secret,
        "permissions": Json(key.permissions),
        "status": key.status if is_good else KeyStatus.DISABLED.value,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "usage_count": min(key.usage_count, MAX_INTEGER),
        "created_at": key.created_at,
    }


def plugin_row(setting: PluginSetting, old: Row | None, *, with_secrets: bool) -> Row:
    """Return the setting's row. Its id is short enough for the old column, whatever the plugin is called."""
    return {
        "id": f"ps_{_digest(setting.tenant_id, setting.agent_scope, setting.plugin_name)}",
        "tenant_id": setting.tenant_id,
        "agent_id": setting.agent_id,
        "plugin_name": setting.plugin_name,
        "enabled": setting.enabled,
        "config": Json(
            _shown(setting.config, old and old["config"], f"plugin setting {setting.pk}", with_secrets=with_secrets)
        ),
        "created_at": setting.created_at,
    }


def _unusable(key_id: str) -> str:
    """A text without a key's form, which nobody can guess who could send it as one."""
    return f"none_{salted_hmac('legacy.bridge.key', key_id, algorithm='sha256').hexdigest()}"


def _item(item: Config) -> Config:
    return {"provider_name" if key == "api_provider" else key: value for key, value in item.items()}


def _config_row(table: str, agent_id: str, said: Config, defaults: Config, tables: Tables) -> Row:
    row: dict[str, Any] = {
        "id": f"config_{_digest(agent_id, table, str(said.get('name', '')) if table in LISTS else '')}",
        "agent_id": agent_id,
    }
    for name, column in tables.get(table, {}).items():
        if name not in NOT_FIELDS:
            row[name] = _value(said.get(name), defaults.get(name), column)
    return row


def _value(said: Any, default: Any, column: Column) -> Any:
    """Return what a column of the field with this default holds: what was said, if it is of the field's type."""
    if isinstance(default, list | dict):
        return Json(said if isinstance(said, type(default)) else default)
    if isinstance(default, bool):
        return said if isinstance(said, bool) else default
    if isinstance(default, int | float):
        return said if isinstance(said, int | float) and not isinstance(said, bool) else default
    if isinstance(default, str):
        return said if isinstance(said, str) else default
    said = _text(said)
    return ("" if not column.is_nullable else None) if said is None else said


def _text(value: Any) -> Any:
    """The value of a column for a text or a number; of several texts, as a secret may be, the first."""
    if isinstance(value, list):
        value = next((item for item in value if isinstance(item, str)), None)
    return value if isinstance(value, str | int | float) else None


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:24]
