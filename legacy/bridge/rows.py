"""Objects of maim as rows of the old tables: the reverse of `legacy.configs` and `legacy.importers`.

Providers' secrets are written only on request. Otherwise the old database keeps those secrets of its own that are still
the same in maim, and gets no others.
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
from legacy.bridge.database import Column
from legacy.bridge.row_diff import JsonValue
from legacy.configs import ITEM_DEFAULTS, LIST_TABLES, ROW_COLUMNS, SECTION_PATHS, section_defaults
from legacy.parsing import Row, UnreadableValue, parse_json
from tenants.models import Tenant

log = logging.getLogger("maim.bridge")

MAX_INTEGER = 2**31 - 1  # of MySQL's INT
Tables = Mapping[str, Mapping[str, Column]]


def tenant_row(tenant: Tenant, old: Row | None, *, with_secrets: bool) -> Row:
    """Return the tenant's row. The agents' defaults are left out, because they are in each agent's config."""
    config = tenant.tenant_config
    if config is not None:
        own = {key: value for key, value in config.items() if key != AGENT_DEFAULTS}
        config = _shown_document(own, old and old["tenant_config"], f"tenant {tenant.id}", with_secrets=with_secrets)
    return {
        "id": tenant.id,
        "tenant_name": tenant.tenant_name,
        "tenant_type": tenant.tenant_type,
        "description": tenant.description,
        "contact_email": tenant.contact_email,
        "tenant_config": JsonValue(config),
        "status": tenant.status,
        "owner_id": tenant.named_owner_id,
        "created_at": tenant.created_at,
    }


def agent_row(agent: Agent, config: Config) -> Row:
    """Return the agent's row. `config` is a result of `shown_config`."""
    return {
        "id": agent.id,
        "tenant_id": agent.tenant_id,
        "name": agent.name,
        "description": agent.description,
        "template_id": agent.template_id,
        "config": JsonValue(config),
        "status": agent.status,
        "created_at": agent.created_at,
    }


def config_rows(agent_id: str, config: Config, tables: Tables) -> dict[str, list[Row]]:
    """Return the rows of a config by table, with defaults in place of missing fields. Empty tables are included."""
    rows_by_table = dict[str, list[Row]]()
    for table, path in SECTION_PATHS.items():
        value: Any = config
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        value = {"personality": value} if isinstance(value, str) else value
        is_set = isinstance(value, dict) and bool(value)
        row = _config_row(table, agent_id, value, section_defaults(path), tables) if is_set else None
        rows_by_table[table] = [] if row is None else [row]
    for table, name in LIST_TABLES.items():
        items = section(config, "model").get(name)
        rows_by_table[table] = [
            _config_row(table, agent_id, _item(item), ITEM_DEFAULTS[name], tables)
            for item in (items if isinstance(items, list) else ())
        ]
    return rows_by_table


def shown_config(config: Config, agent_id: str, old: Mapping[str, Sequence[Row]], *, with_secrets: bool) -> Config:
    """Return a sealed config as it is written to the old database. `old` has the agent's existing rows by table."""
    try:
        result = secrets.opened(config)
    except Unsealable:
        log.error("agent %s: its secrets are sealed under a key that is not configured, and are left out", agent_id)
        return secrets.omitted(config)
    return result if with_secrets else _with_known_secrets(result, _KnownSecrets(old))


def _with_known_secrets(config: Config, known: _KnownSecrets) -> Config:
    """Return a copy with only those secrets that the old database has already."""
    result = secrets.omitted(config)
    providers = section(config, "model").get("api_providers")
    for provider in providers if isinstance(providers, list) else ():
        if known.has_provider(
            provider
        ):  # else both are left out, because a known key must not be sent to an unknown address
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


def _shown_document(document: dict[str, Any], old: Any, whose: str, *, with_secrets: bool) -> dict[str, Any]:
    """Return a sealed document as it is written to the old database.

    It has its secrets only on request, or if the old database has the same document already.
    """
    try:
        opened = secrets.opened(document)
    except Unsealable:
        log.error("%s: secrets are sealed under a key that is not configured, and are left out", whose)
        return secrets.omitted(document)
    try:
        is_known = parse_json(old) == opened
    except UnreadableValue:
        is_known = False
    return opened if with_secrets or is_known else secrets.omitted(document)


class _KnownSecrets:
    """The secrets of an agent that the old database has."""

    def __init__(self, old: Mapping[str, Sequence[Row]]) -> None:
        self._pairs = {(row["name"], *_pair(row)) for row in old.get("api_provider_configs", ())}
        self.tokens: list[Any] = []
        for row in old.get("agents", ()):
            try:
                config = parse_json(row.get("config"))
            except UnreadableValue:
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
    """Return the key's row. The key's `secrets` may be prefetched.

    An existing row keeps its secret, and is disabled if maim does not accept that secret any more. maim does not know
    the secret of a key that it has created, so the row of such a key has a placeholder that no key equals.
    """
    placeholder = _placeholder(key.id)
    secret = placeholder if old is None else str(old["api_key"])
    is_good = secret == placeholder or bulk_import.has_live_secret(key, secret)
    return {
        "id": key.id,
        "tenant_id": key.tenant_id,
        "agent_id": key.agent_id,
        "name": key.name,
        "description": key.description,
        "api_key": secret,
        "permissions": JsonValue(key.permissions),
        "status": key.status if is_good else KeyStatus.DISABLED.value,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "usage_count": min(key.usage_count, MAX_INTEGER),
        "created_at": key.created_at,
    }


def plugin_row(setting: PluginSetting, old: Row | None, *, with_secrets: bool) -> Row:
    """Return the setting's row. Its id fits the old column, whatever the plugin's name is."""
    return {
        "id": f"ps_{_digest(setting.tenant_id, setting.agent_scope, setting.plugin_name)}",
        "tenant_id": setting.tenant_id,
        "agent_id": setting.agent_id,
        "plugin_name": setting.plugin_name,
        "enabled": setting.enabled,
        "config": JsonValue(
            _shown_document(
                setting.config, old and old["config"], f"plugin setting {setting.pk}", with_secrets=with_secrets
            )
        ),
        "created_at": setting.created_at,
    }


def _placeholder(key_id: str) -> str:
    """Return a placeholder that is not well-formed as a key, and that nobody can guess."""
    return f"none_{salted_hmac('legacy.bridge.key', key_id, algorithm='sha256').hexdigest()}"


def _item(item: Config) -> Config:
    return {"provider_name" if key == "api_provider" else key: value for key, value in item.items()}


def _config_row(table: str, agent_id: str, item: Config, defaults: Config, tables: Tables) -> Row:
    row: dict[str, Any] = {
        "id": f"config_{_digest(agent_id, table, str(item.get('name', '')) if table in LIST_TABLES else '')}",
        "agent_id": agent_id,
    }
    for name, column in tables.get(table, {}).items():
        if name not in ROW_COLUMNS:
            row[name] = _value(item.get(name), defaults.get(name), column)
    return row


def _value(value: Any, default: Any, column: Column) -> Any:
    """Return the value of a column: the field's value if it has the type of the default, otherwise the default."""
    if isinstance(default, list | dict):
        return JsonValue(value if isinstance(value, type(default)) else default)
    if isinstance(default, bool):
        return value if isinstance(value, bool) else default
    if isinstance(default, int | float):
        return value if isinstance(value, int | float) and not isinstance(value, bool) else default
    if isinstance(default, str):
        return value if isinstance(value, str) else default
    value = _text(value)
    return ("" if not column.is_nullable else None) if value is None else value


def _text(value: Any) -> Any:
    """Return a text or a number for a column. Return the first text of a list, because a secret may be a list."""
    if isinstance(value, list):
        value = next((item for item in value if isinstance(item, str)), None)
    return value if isinstance(value, str | int | float) else None


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:24]
