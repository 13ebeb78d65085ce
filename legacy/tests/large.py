"""A large old deployment. Every user has a tenant, and every agent has set all sections of its config."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from agent_config import schema
from legacy.tests.old_databases import DEFAULTS, HASHED, OldDatabase, secret_of

BATCH = 2000


class Size(NamedTuple):
    users: int
    agents_each: int
    keys_each: int  # for each agent


def fill(old: OldDatabase, size: Size) -> None:
    """Insert everything, a batch of users at a time."""
    for first in range(0, size.users, BATCH):
        _fill_batch(old, size, range(first, min(first + BATCH, size.users)))


def _fill_batch(old: OldDatabase, size: Size, users: range) -> None:
    rows: dict[str, list[dict[str, Any]]] = {}

    def add(table: str, **columns: Any) -> None:
        rows.setdefault(table, []).append(columns)

    for number in users:
        user_id, tenant_id = f"user_{number:012x}", f"tenant_{number:012x}"
        add(
            "users", id=user_id, username=f"user {number}", email=f"u{number}@example.com", hashed_password=HASHED,
            is_active=True,
        )  # fmt: skip
        add(
            "tenants", id=tenant_id, tenant_name=f"user {number}'s Personal Tenant", tenant_type="personal",
            tenant_config="null", status="active", owner_id=user_id,
        )  # fmt: skip
        for each in range(size.agents_each):
            agent = number * size.agents_each + each
            agent_id = f"agent_{agent:012x}"
            config = full_config(agent)
            add(
                "agents",
                id=agent_id,
                tenant_id=tenant_id,
                name=f"bot {each}",
                config=json.dumps(config),
                status="active",
            )
            for table, section in _tables_of(config).items():
                add(table, id=f"config_{agent:012x}", agent_id=agent_id, **section)
            for key in range(size.keys_each):
                key_number = agent * size.keys_each + key
                add(
                    "api_keys", id=f"key_{key_number:012x}", tenant_id=tenant_id, agent_id=agent_id,
                    name=f"key {each}-{key}", api_key=secret_of(tenant_id, agent_id, key_number),
                    permissions='["chat"]', status="active", usage_count=key,
                )  # fmt: skip
    for table, found in rows.items():
        old.insert_many(table, found)


def full_config(number: int) -> dict[str, Any]:
    """Return a config that sets every section, and some fields to other values than their defaults."""
    config = schema.defaults()
    config["persona"] = {**config["persona"], "personality": f"人格 {number} 🤖", "states": ["开心", "难过"]}
    config["bot_overrides"] |= {"platform": "qq", "qq_account": str(number), "nickname": f"麦{number}"}
    config["config_overrides"]["chat"] |= {"talk_value": 0.5, "max_context_size": 20}
    config["config_overrides"]["model"] = {
        "api_providers": [
            {
                "name": "own",
                "client_type": "openai",
                "base_url": f"https://p{number}.example/v1",
                "api_key": f"sk-{number}",
            }
        ],
        "models": [{"name": "m", "model_identifier": "gpt-x", "api_provider": "own", "temperature": 0.3}],
    }
    return config


def _tables_of(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    overrides = config["config_overrides"]
    sections: dict[str, dict[str, Any]] = {
        "personality_configs": config["persona"],
        "bot_config_overrides": config["bot_overrides"],
        "chat_config_overrides": overrides["chat"],
        "emoji_config_overrides": overrides["emoji"],
        "expression_config_overrides": overrides["expression"],
        "keyword_reaction_config_overrides": overrides["keyword_reaction"],
        "memory_config_overrides": overrides["memory"],
        "message_receive_config_overrides": overrides["message_receive"],
        "mood_config_overrides": overrides["mood"],
        "plugin_config_overrides": overrides["plugin"],
        "relationshipconfigoverrides": overrides["relationship"],
        "tool_config_overrides": overrides["tool"],
        "voice_config_overrides": overrides["voice"],
        "api_provider_configs": overrides["model"]["api_providers"][0],
        "model_info_configs": {**overrides["model"]["models"][0], "provider_name": "own"},
    }
    return {
        table: {
            **{name: section.get(name, default) for name, default in DEFAULTS[table].items()},
            **({"name": section["name"]} if table in ("api_provider_configs", "model_info_configs") else {}),
        }
        for table, section in sections.items()
    }
