"""An agent's config as the old system kept it: in tables, a column a field, and once more as the JSON that was sent.

Where both speak the tables win, for later changes went there. But their columns had defaults: one that holds
its default, and that the JSON does not mention, was never set. What no table had a column for is in the JSON
alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from agent_config import schema
from agent_config.document import Config
from legacy import values
from legacy.reports import Notes, Reason
from legacy.values import Row, Unreadable

PLACES: dict[str, tuple[str, ...]] = {
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
LISTS = {"api_provider_configs": "api_providers", "model_info_configs": "models"}
TABLES = (*PLACES, *LISTS)
NOT_FIELDS = {"id", "agent_id", "created_at", "updated_at"}
# Of the items of lists the schema's defaults are not part of `schema.defaults`; those of the old columns.
ITEM_DEFAULTS: dict[str, Config] = {
    "api_providers": {"client_type": "openai", "is_server_provider": False},
    "models": {"price_in": 0.0, "price_out": 0.0, "extra_params": {}},
}
# MySQL keeps a FLOAT to six digits.
PRECISION = 1e-5


def config_of(raw: Any, tables: Mapping[str, Sequence[Row]], notes: Notes) -> Config:
    """What was set for an agent: `raw` is its JSON, which is changed, `tables` the rows that are about it."""
    if raw is not None and not isinstance(raw, dict):
        notes.found(Reason.CONFIG_LEFT_OUT, "the JSON of the config is no object")
        raw = None
    config: Config = raw or {}
    for table, place in PLACES.items():
        if rows := tables.get(table):
            _put_section(config, place, _latest(rows, table, notes), notes)
    for table, name in LISTS.items():
        if rows := tables.get(table):
            _put_items(config, name, rows, notes)
    return config


def _put_section(config: Config, place: tuple[str, ...], row: Row, notes: Notes) -> None:
    holder = config
    for key in place[:-1]:
        holder = _object_in(holder, key, notes)
    said = holder.get(place[-1])
    is_text = place == ("persona",) and isinstance(said, str)
    section = {"personality": said} if is_text else _object_in(holder, place[-1], notes)
    _put_fields(section, row, defaults_of(place), ".".join(place), notes)
    if is_text and section.keys() == {"personality"}:
        holder[place[-1]] = section["personality"]
    elif section:
        holder[place[-1]] = section
    else:
        holder.pop(place[-1], None)
    if len(place) > 1 and not holder:
        del config[place[0]]


def _put_items(config: Config, name: str, rows: Sequence[Row], notes: Notes) -> None:
    """The table says which items there are; the JSON has their order, and fields without a column."""
    model = _object_in(_object_in(config, "config_overrides", notes), "model", notes)
    said = model.get(name)
    before = {item["name"]: item for item in said if _is_named(item)} if isinstance(said, list) else {}
    order = list(before)
    items: dict[str, Config] = {}
    for row in sorted(rows, key=lambda row: order.index(row["name"]) if row["name"] in before else len(order)):
        item = dict(before.get(row["name"], {"name": row["name"]}))
        spelled = {"api_provider" if key == "provider_name" else key: value for key, value in row.items()}
        _put_fields(item, spelled, ITEM_DEFAULTS[name], f"config_overrides.model.{name}", notes)
        items[row["name"]] = item
    for lost in before.keys() - items.keys():
        notes.found(
            Reason.CONFIG_LEFT_OUT, f"config_overrides.model.{name}: the table has no {lost[:100]}, only the JSON has"
        )
    model[name] = list(items.values())


def _put_fields(section: Config, row: Row, defaults: Config, place: str, notes: Notes) -> None:
    for key, value in row.items():
        if key in NOT_FIELDS or value is None:
            continue
        default = defaults.get(key)
        try:
            found = _as(default, value)
        except Unreadable as error:
            notes.found(Reason.BAD_JSON, f"{place}.{key}: {error}")
            continue
        said = section.get(key)
        if said is None:
            if found != default and not (default is None and found == ""):
                section[key] = found
        elif not _is_same(said, found):
            section[key] = found


def _as(default: Any, value: Any) -> Any:
    """A column's value as the field of this default has it."""
    if isinstance(default, bool):
        return values.flag(value)
    if isinstance(default, list | dict):
        return values.document(value) if isinstance(value, str) else value
    if isinstance(value, float) and not math.isfinite(value):  # JSON has no such number
        raise Unreadable(f"{value} is out of range")
    return values.text(value) if isinstance(value, str) else value


def _is_same(said: Any, found: Any) -> bool:
    """Whether a column holds what was said, as precisely as it could."""
    numbers = isinstance(said, int | float) and isinstance(found, int | float)
    return math.isclose(said, found, rel_tol=PRECISION) if numbers else said == found


def _object_in(holder: Config, key: str, notes: Notes) -> Config:
    found = holder.get(key)
    if found is not None and not isinstance(found, dict):
        notes.found(Reason.CONFIG_LEFT_OUT, f"{key}: the JSON has no object there")
    if not isinstance(found, dict):
        holder[key] = {}
    section: Config = holder[key]
    return section


def _latest(rows: Sequence[Row], table: str, notes: Notes) -> Row:
    if len(rows) > 1:
        notes.found(Reason.REPEATED, f"{table} has {len(rows)} rows of the agent, of which the latest counts")
    return max(rows, key=lambda row: (str(row.get("updated_at")), str(row["id"])))


def _is_named(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("name"), str)


@cache
def defaults_of(place: tuple[str, ...]) -> Config:
    found: Config = schema.defaults()
    for key in place:
        found = found[key]
    return found
