"""An agent's config in the old system, which stored it in two places: in tables, and as the JSON that was sent.

If both have a field, the table's value is used, because later changes went there. The columns had defaults: a column at
its default that the JSON does not mention was never set. Fields without a column are in the JSON only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from agent_config import schema
from agent_config.document import Config
from legacy.parsing import Row, UnreadableValue, parse_bool, parse_json, parse_text
from legacy.reports import Notes, Reason

SECTION_PATHS: dict[str, tuple[str, ...]] = {
    "personality_configs": ("persona",),
    "bot_config_overrides": ("bot_overrides",),
    "chat_config_overrides": ("config_overrides", "chat"),
    "emoji_config_overrides": ("config_overrides", "emoji"),
    "expression_config_overrides": ("config_overrides", "expression"),
    "keyword_reaction_config_overrides": ("config_overrides", "keyword_reaction"),
    "memory_config_overrides": ("config_overrides", "memory"),
    "message_receive_config_overrides": ("config_overrides", "message_receive"),
    "mood_config_overrides": ("config_overrides", "mood"),
    "plugin_config_overrides": ("config_overrides", "plugin"),
    "relationshipconfigoverrides": ("config_overrides", "relationship"),
    "tool_config_overrides": ("config_overrides", "tool"),
    "voice_config_overrides": ("config_overrides", "voice"),
}
LIST_TABLES = {"api_provider_configs": "api_providers", "model_info_configs": "models"}
CONFIG_TABLES = (*SECTION_PATHS, *LIST_TABLES)
ROW_COLUMNS = {"id", "agent_id", "created_at", "updated_at"}
# The defaults of the old columns. `schema.defaults` has none for the items of lists.
ITEM_DEFAULTS: dict[str, Config] = {
    "api_providers": {"client_type": "openai", "is_server_provider": False},
    "models": {"price_in": 0.0, "price_out": 0.0, "extra_params": {}},
}
# MySQL stores six digits of a FLOAT.
FLOAT_TOLERANCE = 1e-5


def build_config(raw: Any, tables: Mapping[str, Sequence[Row]], notes: Notes) -> Config:
    """Return the config that was set for an agent.

    `raw` is its JSON, which is modified; `tables` has its rows by table.
    """
    if raw is not None and not isinstance(raw, dict):
        notes.add(Reason.CONFIG_LEFT_OUT, "the JSON of the config is not an object")
        raw = None
    config: Config = raw or {}
    for table, path in SECTION_PATHS.items():
        if rows := tables.get(table):
            _put_section(config, path, _latest(rows, table, notes), notes)
    for table, name in LIST_TABLES.items():
        if rows := tables.get(table):
            _put_items(config, name, rows, notes)
    return config


def _put_section(config: Config, path: tuple[str, ...], row: Row, notes: Notes) -> None:
    parent = config
    for key in path[:-1]:
        parent = _get_or_create_object(parent, key, notes)
    in_json = parent.get(path[-1])
    is_text = path == ("persona",) and isinstance(in_json, str)
    section = {"personality": in_json} if is_text else _get_or_create_object(parent, path[-1], notes)
    _put_fields(section, row, section_defaults(path), ".".join(path), notes)
    if is_text and section.keys() == {"personality"}:
        parent[path[-1]] = section["personality"]
    elif section:
        parent[path[-1]] = section
    else:
        parent.pop(path[-1], None)
    if len(path) > 1 and not parent:
        del config[path[0]]


def _put_items(config: Config, name: str, rows: Sequence[Row], notes: Notes) -> None:
    """Store the items of the table, in the JSON's order and with the JSON's fields that have no column."""
    model = _get_or_create_object(_get_or_create_object(config, "config_overrides", notes), "model", notes)
    in_json = model.get(name)
    json_items = {item["name"]: item for item in in_json if _is_named(item)} if isinstance(in_json, list) else {}
    order = list(json_items)
    items: dict[str, Config] = {}
    for row in sorted(rows, key=lambda row: order.index(row["name"]) if row["name"] in json_items else len(order)):
        item = dict(json_items.get(row["name"], {"name": row["name"]}))
        renamed = {"api_provider" if key == "provider_name" else key: value for key, value in row.items()}
        _put_fields(item, renamed, ITEM_DEFAULTS[name], f"config_overrides.model.{name}", notes)
        items[row["name"]] = item
    for lost in json_items.keys() - items.keys():
        notes.add(
            Reason.CONFIG_LEFT_OUT, f"config_overrides.model.{name}: only the JSON has {lost[:100]}, not the table"
        )
    model[name] = list(items.values())


def _put_fields(section: Config, row: Row, defaults: Config, path: str, notes: Notes) -> None:
    for key, value in row.items():
        if key in ROW_COLUMNS or value is None:
            continue
        default = defaults.get(key)
        try:
            in_table = _typed(default, value)
        except UnreadableValue as error:
            notes.add(Reason.BAD_JSON, f"{path}.{key}: {error}")
            continue
        in_json = section.get(key)
        if in_json is None:
            if in_table != default and not (default is None and in_table == ""):
                section[key] = in_table
        elif not _is_same(in_json, in_table):
            section[key] = in_table


def _typed(default: Any, value: Any) -> Any:
    """Return a column's value with the type of the field's default. Raise UnreadableValue."""
    if isinstance(default, bool):
        return parse_bool(value)
    if isinstance(default, list | dict):
        return parse_json(value) if isinstance(value, str) else value
    if isinstance(value, float) and not math.isfinite(value):  # JSON has no such number
        raise UnreadableValue(f"{value} is out of range")
    return parse_text(value) if isinstance(value, str) else value


def _is_same(in_json: Any, in_table: Any) -> bool:
    """Return whether a column holds the JSON value, with the precision of the column."""
    numbers = isinstance(in_json, int | float) and isinstance(in_table, int | float)
    return math.isclose(in_json, in_table, rel_tol=FLOAT_TOLERANCE) if numbers else in_json == in_table


def _get_or_create_object(parent: Config, key: str, notes: Notes) -> Config:
    value = parent.get(key)
    if value is not None and not isinstance(value, dict):
        notes.add(Reason.CONFIG_LEFT_OUT, f"{key}: not an object in the JSON")
    if not isinstance(value, dict):
        parent[key] = {}
    section: Config = parent[key]
    return section


def _latest(rows: Sequence[Row], table: str, notes: Notes) -> Row:
    if len(rows) > 1:
        notes.add(Reason.REPEATED, f"{table} has {len(rows)} rows of the agent; the latest is used")
    return max(rows, key=lambda row: (str(row.get("updated_at")), str(row["id"])))


def _is_named(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("name"), str)


@cache
def section_defaults(path: tuple[str, ...]) -> Config:
    defaults: Config = schema.defaults()
    for key in path:
        defaults = defaults[key]
    return defaults
