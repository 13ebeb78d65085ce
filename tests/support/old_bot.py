"""An old bot, which reads its config in MaimConfig's tables and writes its heartbeats there.

It is written from the layout of the tables, independently of the bridge.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

from legacy.tests.old_databases import DEFAULTS, SCHEMA, connect

_SECTIONS = {
    "chat_config_overrides": "chat",
    "emoji_config_overrides": "emoji",
    "expression_config_overrides": "expression",
    "keyword_reaction_config_overrides": "keyword_reaction",
    "memory_config_overrides": "memory",
    "message_receive_config_overrides": "message_receive",
    "mood_config_overrides": "mood",
    "plugin_config_overrides": "plugin",
    "relationshipconfigoverrides": "relationship",
    "tool_config_overrides": "tool",
    "voice_config_overrides": "voice",
}
_ROW_COLUMNS = ("id", "agent_id", "created_at", "updated_at")


class OldBot:
    """An old bot. `url` names MaimConfig's database."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._mark = "?" if url.startswith("sqlite") else "%s"

    def config(self, agent_id: str) -> dict[str, Any] | None:
        """Return an agent's config: its JSON with the tables' fields in their place. Return None without an agent."""
        with closing(connect(self._url)) as connection:
            agents = self._rows(connection, "agents", "id", agent_id)
            if not agents:
                return None
            config: dict[str, Any] = json.loads(agents[0]["config"] or "{}")
            for row in self._rows(connection, "personality_configs", "agent_id", agent_id):
                config["persona"] = self._section("personality_configs", row)
            for row in self._rows(connection, "bot_config_overrides", "agent_id", agent_id):
                config["bot_overrides"] = self._section("bot_config_overrides", row)
            overrides = config.setdefault("config_overrides", {})
            for table, name in _SECTIONS.items():
                for row in self._rows(connection, table, "agent_id", agent_id):
                    overrides[name] = {**overrides.get(name, {}), **self._section(table, row)}
            model = overrides.setdefault("model", {})
            providers = self._rows(connection, "api_provider_configs", "agent_id", agent_id)
            models = self._rows(connection, "model_info_configs", "agent_id", agent_id)
            model["api_providers"] = [self._section("api_provider_configs", row) for row in providers]
            model["models"] = [self._section("model_info_configs", row) for row in models]
            return config

    def json_config(self, agent_id: str) -> dict[str, Any]:
        """Return the JSON of an agent's config alone, with one query. It is empty without an agent."""
        with closing(connect(self._url)) as connection:
            found = self._rows(connection, "agents", "id", agent_id)
        json_config: dict[str, Any] = json.loads(found[0]["config"] or "{}") if found else {}
        return json_config

    def agents(self) -> list[str]:
        """Return the ids of all agents."""
        with closing(connect(self._url)) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT id FROM agents")
            return [row[0] for row in cursor.fetchall()]

    def status(self, agent_id: str) -> str | None:
        """Return the status of an agent, or None without an agent."""
        with closing(connect(self._url)) as connection:
            rows = self._rows(connection, "agents", "id", agent_id)
            return rows[0]["status"] if rows else None

    def number_of_rows(self, agent_id: str) -> dict[str, int]:
        """Return the number of an agent's rows by table, without zeros."""
        with closing(connect(self._url)) as connection:
            tables = [table for table, columns in SCHEMA.items() if "agent_id" in columns]
            found = {table: len(self._rows(connection, table, "agent_id", agent_id)) for table in tables}
            return {table: number for table, number in found.items() if number}

    def beat(self, tenant_id: str, agent_id: str, at: datetime, seconds: int = 3600) -> None:
        """Write a heartbeat in place of the last one."""
        with closing(connect(self._url)) as connection:
            cursor = connection.cursor()
            cursor.execute(f"DELETE FROM agent_active_states WHERE agent_id = {self._mark}", [agent_id])
            cursor.execute("SELECT coalesce(max(id), 0) + 1 FROM agent_active_states")
            times = [f"{time:%Y-%m-%d %H:%M:%S}" for time in (at, at + timedelta(seconds=seconds))]
            row = [cursor.fetchone()[0], tenant_id, agent_id, times[0], seconds, times[1]]
            cursor.execute(
                "INSERT INTO agent_active_states (id, tenant_id, agent_id, last_seen_at, ttl_seconds, expires_at)"
                f" VALUES ({', '.join([self._mark] * len(row))})",
                row,
            )
            connection.commit()

    def _rows(self, connection: Any, table: str, column: str, value: str) -> list[dict[str, Any]]:
        cursor = connection.cursor()
        cursor.execute(f"SELECT * FROM {table} WHERE {column} = {self._mark}", [value])
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    @staticmethod
    def _section(table: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return a row as an object, with JSON parsed and flags as booleans."""
        section = dict[str, Any]()
        for name, value in row.items():
            default = DEFAULTS[table].get(name)
            if name in _ROW_COLUMNS:
                continue
            if isinstance(default, list | dict):
                section[name] = json.loads(value)
            elif isinstance(default, bool):
                section[name] = bool(value)
            else:
                section[name] = value
        return section


def differences(written: Any, read: Any, path: str = "") -> list[str]:
    """Return the paths at which a bot read another value than was sent. Additional fields are defaults of columns."""
    if path.endswith(("api_providers", "models")):
        written, read = ({item["name"]: item for item in items} for items in (written, read))
    if isinstance(written, dict) and isinstance(read, dict):
        renamed = {"provider_name" if key == "api_provider" else key: value for key, value in written.items()}
        found = list[str]()
        for key, value in renamed.items():
            found += differences(value, read.get(key), f"{path}.{key}")
        return found
    if isinstance(written, float) and isinstance(read, int | float):
        return [] if abs(written - read) <= 1e-5 * abs(written) else [f"{path}: {written} {read}"]
    return [] if written == read else [f"{path}: {written!r} {read!r}"]
