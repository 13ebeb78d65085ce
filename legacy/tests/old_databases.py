"""Databases of the old systems with their tables, created in an SQLite file or on MariaDB."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import bcrypt

NOW = "2026-05-01 10:00:00"
# The ids of the first object of each kind.
USER_ID, TENANT_ID = "user_00000000000a", "tenant_00000000000a"
AGENT_ID, KEY_ID = "agent_00000000000a", "key_00000000000a"
PASSWORD = "pässword-123"
# With the lowest cost, because it is computed often.
HASHED = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()

_ID, _NAME, _TIME = "VARCHAR(50) NOT NULL", "VARCHAR(100) NOT NULL", "DATETIME NOT NULL"
_MADE = {"created_at": _TIME, "updated_at": _TIME}
_TEXT, _JSON, _FLAG, _NUMBER, _FLOAT = "TEXT", "TEXT NOT NULL", "INTEGER NOT NULL", "INTEGER NOT NULL", "FLOAT NOT NULL"


def _section(**columns: str) -> dict[str, str]:
    return {"id": _ID, **_MADE, "agent_id": _ID, **columns}


SCHEMA: dict[str, dict[str, str]] = {
    "users": {
        "id": _ID, "username": _NAME, "email": "VARCHAR(255)", "hashed_password": "VARCHAR(255) NOT NULL",
        "is_active": _FLAG, **_MADE,
    },
    "tenants": {
        "id": _ID, "tenant_name": _NAME, "tenant_type": "VARCHAR(20) NOT NULL", "description": _TEXT,
        "contact_email": "VARCHAR(255)", "tenant_config": _TEXT, "status": "VARCHAR(20) NOT NULL",
        "owner_id": "VARCHAR(50)", **_MADE,
    },
    "agents": {
        "id": _ID, "tenant_id": _ID, "name": _NAME, "description": _TEXT, "template_id": "VARCHAR(50)",
        "config": _TEXT, "status": "VARCHAR(20) NOT NULL", **_MADE,
    },
    "api_keys": {
        "id": _ID, "tenant_id": _ID, "agent_id": _ID, "name": _NAME, "description": _TEXT,
        "api_key": "VARCHAR(255) NOT NULL", "permissions": _JSON, "status": "VARCHAR(20) NOT NULL",
        "expires_at": "DATETIME", "last_used_at": "DATETIME", "usage_count": _NUMBER, **_MADE,
    },
    "plugin_settings": {
        "id": "VARCHAR(160) NOT NULL", "tenant_id": _ID, "agent_id": "VARCHAR(50)", "plugin_name": _NAME,
        "enabled": _FLAG, "config": _TEXT, **_MADE,
    },
    "agent_active_states": {
        "id": _NUMBER, "tenant_id": _ID, "agent_id": _ID, "last_seen_at": _TIME, "ttl_seconds": _NUMBER,
        "expires_at": _TIME,
    },
    "personality_configs": _section(
        personality=_JSON, reply_style=_NAME, interest=_NAME, plan_style=_NAME, private_plan_style=_NAME,
        visual_style=_NAME, states=_JSON, state_probability=_FLOAT,
    ),
    "bot_config_overrides": _section(
        platform=_NAME, qq_account=_NAME, nickname=_NAME, platforms=_JSON, alias_names=_JSON
    ),
    "chat_config_overrides": _section(
        max_context_size=_NUMBER, interest_rate_mode=_NAME, planner_size=_FLOAT, mentioned_bot_reply=_FLAG,
        auto_chat_value=_FLOAT, enable_auto_chat_value_rules=_FLAG, at_bot_inevitable_reply=_FLOAT,
        planner_smooth=_FLOAT, talk_value=_FLOAT, enable_talk_value_rules=_FLAG, talk_value_rules=_JSON,
        auto_chat_value_rules=_JSON,
    ),
    "emoji_config_overrides": _section(
        emoji_chance=_FLOAT, max_reg_num=_NUMBER, do_replace=_FLAG, check_interval=_NUMBER, steal_emoji=_FLAG,
        content_filtration=_FLAG, filtration_prompt=_NAME,
    ),
    "expression_config_overrides": _section(
        mode=_NAME, learning_list=_JSON, expression_groups=_JSON, reflect=_FLAG, reflect_operator_id=_NAME,
        allow_reflect=_JSON,
    ),
    "keyword_reaction_config_overrides": _section(keyword_rules=_JSON, regex_rules=_JSON),
    "memory_config_overrides": _section(
        max_memory_number=_NUMBER, memory_build_frequency=_NUMBER, max_agent_iterations=_NUMBER,
        enable_jargon_detection=_FLAG,
    ),
    "message_receive_config_overrides": _section(ban_words=_JSON, ban_msgs_regex=_JSON),
    "mood_config_overrides": _section(enable_mood=_FLAG, mood_update_threshold=_FLOAT, emotion_style=_NAME),
    "plugin_config_overrides": _section(
        enable_plugins=_FLAG, tenant_mode_disable_plugins=_FLAG, allowed_plugins=_JSON, blocked_plugins=_JSON
    ),
    "relationshipconfigoverrides": _section(enable_relationship=_FLAG),
    "tool_config_overrides": _section(enable_tool=_FLAG),
    "voice_config_overrides": _section(enable_asr=_FLAG),
    "api_provider_configs": _section(
        name=_NAME, client_type=_NAME, base_url="VARCHAR(500)", api_key="VARCHAR(500)", is_server_provider=_FLAG
    ),
    "model_info_configs": _section(
        name=_NAME, model_identifier=_NAME, provider_name=_NAME, temperature="FLOAT", price_in=_FLOAT,
        price_out=_FLOAT, extra_params=_JSON,
    ),
}  # fmt: skip

# Defaults that the old service wrote into columns of fields that were not sent.
DEFAULTS: dict[str, dict[str, Any]] = {
    "personality_configs": {
        "personality": "", "reply_style": "", "interest": "", "plan_style": "", "private_plan_style": "",
        "visual_style": "", "states": [], "state_probability": 0.0,
    },
    "bot_config_overrides": {"platform": "", "qq_account": "", "nickname": "", "platforms": [], "alias_names": []},
    "chat_config_overrides": {
        "max_context_size": 18, "interest_rate_mode": "fast", "planner_size": 1.5, "mentioned_bot_reply": True,
        "auto_chat_value": 1.0, "enable_auto_chat_value_rules": True, "at_bot_inevitable_reply": 1.0,
        "planner_smooth": 3.0, "talk_value": 1.0, "enable_talk_value_rules": True, "talk_value_rules": [],
        "auto_chat_value_rules": [],
    },
    "emoji_config_overrides": {
        "emoji_chance": 0.6, "max_reg_num": 200, "do_replace": True, "check_interval": 120, "steal_emoji": True,
        "content_filtration": False, "filtration_prompt": "",
    },
    "expression_config_overrides": {
        "mode": "classic", "learning_list": [], "expression_groups": [], "reflect": False, "reflect_operator_id": "",
        "allow_reflect": [],
    },
    "keyword_reaction_config_overrides": {"keyword_rules": [], "regex_rules": []},
    "memory_config_overrides": {
        "max_memory_number": 100, "memory_build_frequency": 1, "max_agent_iterations": 5,
        "enable_jargon_detection": True,
    },
    "message_receive_config_overrides": {"ban_words": [], "ban_msgs_regex": []},
    "mood_config_overrides": {"enable_mood": True, "mood_update_threshold": 1.0, "emotion_style": ""},
    "plugin_config_overrides": {
        "enable_plugins": True, "tenant_mode_disable_plugins": True, "allowed_plugins": [], "blocked_plugins": [],
    },
    "relationshipconfigoverrides": {"enable_relationship": True},
    "tool_config_overrides": {"enable_tool": False},
    "voice_config_overrides": {"enable_asr": False},
    "api_provider_configs": {"client_type": "openai", "base_url": None, "api_key": None, "is_server_provider": False},
    "model_info_configs": {
        "model_identifier": "", "provider_name": "", "temperature": None, "price_in": 0.0, "price_out": 0.0,
        "extra_params": {},
    },
}  # fmt: skip
_SECTIONS = {
    "chat": "chat_config_overrides",
    "emoji": "emoji_config_overrides",
    "expression": "expression_config_overrides",
    "keyword_reaction": "keyword_reaction_config_overrides",
    "memory": "memory_config_overrides",
    "message_receive": "message_receive_config_overrides",
    "mood": "mood_config_overrides",
    "plugin": "plugin_config_overrides",
    "relationship": "relationshipconfigoverrides",
    "tool": "tool_config_overrides",
    "voice": "voice_config_overrides",
}
_LISTS = {"api_providers": "api_provider_configs", "models": "model_info_configs"}


def secret_of(tenant_id: str, agent_id: str, number: int) -> str:
    """Return a key as the old service created it, with 16 random hex digits and no checksum."""
    return f"mmc_{base64.b64encode(f'{tenant_id}_{agent_id}_{number:016x}_v1'.encode()).decode()}"


class OldDatabase:
    """One of the old databases, or a shared one. Rows are inserted as the old services wrote them, by default."""

    def __init__(self, url: str, tables: Iterable[str] = SCHEMA) -> None:
        self.url = url
        self._number = 0
        for table in tables:
            columns = ", ".join(f"{name} {kind}" for name, kind in SCHEMA[table].items())
            self.execute(f"CREATE TABLE {table} ({columns}, PRIMARY KEY (id))")

    @classmethod
    def in_file(cls, path: Path) -> OldDatabase:
        return cls(f"sqlite:///{path}")

    @property
    def path(self) -> Path:
        return Path(self.url.removeprefix("sqlite:///"))

    def user(self, user_id: str = USER_ID, username: str = "alice", **columns: Any) -> str:
        row = {"email": None, "hashed_password": HASHED, "is_active": True, **columns}
        return self.insert("users", id=user_id, username=username, **row)

    def tenant(self, tenant_id: str = TENANT_ID, name: str = "Alice's", **columns: Any) -> str:
        row: dict[str, Any] = {"tenant_type": "enterprise", "tenant_config": "null", "status": "active", **columns}
        return self.insert("tenants", id=tenant_id, tenant_name=name, **row)

    def agent(
        self,
        tenant_id: str,
        agent_id: str = AGENT_ID,
        name: str = "bot",
        config: Any = None,
        **columns: Any,
    ) -> str:
        """Insert an agent. Its config goes into the JSON, and into the tables as far as they have columns."""
        raw = config if isinstance(config, str) else json.dumps(config or {})
        row = {"config": raw, "status": "active", **columns}
        self.insert("agents", id=agent_id, tenant_id=tenant_id, name=name, **row)
        if isinstance(config, dict):
            self.configure(agent_id, config)
        return agent_id

    def configure(self, agent_id: str, config: Mapping[str, Any]) -> None:
        """Insert a config into the tables, with the defaults of the columns that it does not set."""
        persona = config.get("persona")
        if persona is not None:
            fields = {"personality": persona} if isinstance(persona, str) else persona
            self.section("personality_configs", agent_id, **fields)
        if "bot_overrides" in config:
            self.section("bot_config_overrides", agent_id, **config["bot_overrides"])
        overrides = config.get("config_overrides", {})
        for name, table in _SECTIONS.items():
            if name in overrides:
                self.section(table, agent_id, **overrides[name])
        for name, table in _LISTS.items():
            for item in overrides.get("model", {}).get(name, ()):
                renamed = {"provider_name" if key == "api_provider" else key: value for key, value in item.items()}
                self.section(table, agent_id, **renamed)

    def section(self, table: str, agent_id: str, **fields: Any) -> None:
        """Insert a row of a config table. Fields without a column are dropped, as the old service did."""
        row = {**DEFAULTS[table], **{name: value for name, value in fields.items() if name in SCHEMA[table]}}
        self.insert(table, id=f"config_{self._next():012x}", agent_id=agent_id, **row)

    def key(self, tenant_id: str, agent_id: str, key_id: str = KEY_ID, name: str = "key", **columns: Any) -> str:
        """Insert a key, and return its secret."""
        secret = columns.pop("api_key", None) or secret_of(tenant_id, agent_id, self._next())
        row: dict[str, Any] = {"permissions": ["chat"], "status": "active", "usage_count": 0, **columns}
        self.insert("api_keys", id=key_id, tenant_id=tenant_id, agent_id=agent_id, name=name, api_key=secret, **row)
        return str(secret)

    def plugin(self, tenant_id: str, agent_id: str | None, name: str = "weather", **columns: Any) -> None:
        plugin_id = columns.pop("id", f"ps_{tenant_id}_{agent_id or 'global'}_{name}")
        row: dict[str, Any] = {"enabled": True, "config": {"city": "上海"}, **columns}
        self.insert("plugin_settings", id=plugin_id, tenant_id=tenant_id, agent_id=agent_id, plugin_name=name, **row)

    def heartbeat(self, tenant_id: str, agent_id: str, expires_at: str = "2099-01-01 00:00:00") -> None:
        self.insert(
            "agent_active_states",
            id=self._next(), tenant_id=tenant_id, agent_id=agent_id, last_seen_at=NOW, ttl_seconds=3600,
            expires_at=expires_at,
        )  # fmt: skip

    def update(self, table: str, object_id: str, **columns: Any) -> None:
        """Update a row."""
        mark = "?" if self.url.startswith("sqlite") else "%s"
        changes = ", ".join(f"{name} = {mark}" for name in columns)
        self._run(f"UPDATE {table} SET {changes} WHERE id = {mark}", [[*map(_plain, columns.values()), object_id]])

    def value(self, table: str, object_id: str, column: str) -> Any:
        """Return one column of a row."""
        mark = "?" if self.url.startswith("sqlite") else "%s"
        with closing(connect(self.url)) as connection:
            cursor = connection.cursor()
            cursor.execute(f"SELECT {column} FROM {table} WHERE id = {mark}", [object_id])
            return cursor.fetchone()[0]

    def delete(self, table: str, object_id: str) -> None:
        mark = "?" if self.url.startswith("sqlite") else "%s"
        self._run(f"DELETE FROM {table} WHERE id = {mark}", [[object_id]])

    def insert(self, table: str, **columns: Any) -> str:
        """Insert a row, created NOW by default, and return its id."""
        self.insert_many(table, [columns])
        return str(columns["id"])

    def insert_many(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows of the same columns."""
        made = {name: NOW for name in _MADE if name in SCHEMA[table] and name not in rows[0]}
        names = [*rows[0], *made]
        mark = "?" if self.url.startswith("sqlite") else "%s"
        statement = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join([mark] * len(names))})"
        self._run(statement, [[_plain(value) for value in (*row.values(), *made.values())] for row in rows])

    def execute(self, statement: str) -> None:
        self._run(statement, [])

    def _run(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        with closing(connect(self.url)) as connection:
            cursor = connection.cursor()
            if rows:
                cursor.executemany(statement, rows)
            else:
                cursor.execute(statement)
            connection.commit()

    def _next(self) -> int:
        self._number += 1
        return self._number


def connect(url: str) -> Any:
    """Return a connection to an old database."""
    if url.startswith("sqlite:///"):
        return sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30)
    import MySQLdb  # not installed without MariaDB

    parts = urlsplit(url)
    return MySQLdb.connect(
        host=parts.hostname, port=parts.port or 3306, user=parts.username, password=parts.password or "",
        database=parts.path.strip("/"), charset="utf8mb4",
    )  # fmt: skip


def _plain(value: Any) -> Any:
    if isinstance(value, list | dict):
        return json.dumps(value)
    return int(value) if isinstance(value, bool) else value
