"""The rows that the bridge writes are the reverse of those that an import reads."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from agent_config import schema
from legacy.bridge.database import Column
from legacy.bridge.row_diff import JsonValue, column_equals
from legacy.bridge.rows import config_rows
from legacy.configs import CONFIG_TABLES, LIST_TABLES, SECTION_PATHS, build_config
from legacy.reports import Report
from legacy.tests.old_databases import SCHEMA

pytestmark = pytest.mark.embedded

COLUMNS = {
    table: {name: Column(is_nullable="NOT NULL" not in kind) for name, kind in SCHEMA[table].items()}
    for table in CONFIG_TABLES
}


def random_value(rng: random.Random, value: Any) -> Any:
    """Return a value of the same type, which may be the same value."""
    if isinstance(value, bool):
        return rng.choice([True, False])
    if isinstance(value, int):
        return rng.randrange(1, 300)
    if isinstance(value, float):
        return rng.choice([0.0, 0.25, 1.0, 0.123456])
    if isinstance(value, list):
        return rng.choice([[], ["麦"], [{"a": [1, 2.5, True, None]}]])
    return rng.choice(["", "text", "麦麦 🤖", "0", "null"])


def random_config(rng: random.Random) -> dict[str, Any]:
    """Return a config with random sections and fields, including fields without a column."""
    config = dict[str, Any]()
    defaults = schema.defaults()
    for place in SECTION_PATHS.values():
        if rng.random() < 0.5:
            continue
        fields: Any = defaults
        for key in place:
            fields = fields[key]
        section = {name: random_value(rng, value) for name, value in fields.items() if rng.random() < 0.5}
        section |= {"no_column": rng.random()} if rng.random() < 0.3 else {}
        holder = config
        for key in place[:-1]:
            holder = holder.setdefault(key, {})
        holder[place[-1]] = section
    model: dict[str, Any] = {}
    if rng.random() < 0.7:
        model["models"] = [
            {
                "name": name,
                "model_identifier": "x",
                "api_provider": "p",
                "mine": 1,
                **_subset(rng, temperature=0.5),
            }
            for name in rng.sample(["a", "b", "ç"], rng.randrange(1, 4))
        ]
        model["api_providers"] = [
            {"name": "p", **_subset(rng, api_key="sk", base_url="https://x", client_type="gemini")}
        ]
        config.setdefault("config_overrides", {})["model"] = model
    return config


def _subset(rng: random.Random, **fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if rng.random() < 0.5}


def as_read(value: Any) -> Any:
    if isinstance(value, JsonValue):
        return json.dumps(value.value)
    return int(value) if isinstance(value, bool) else value


def read_back(config: dict[str, Any]) -> dict[str, Any]:
    tables = {
        table: [{**{name: as_read(value) for name, value in row.items()}, "created_at": "1"} for row in found]
        for table, found in config_rows("agent_1", config, COLUMNS).items()
    }
    return build_config(json.loads(json.dumps(config)), tables, Report().notes_for("agents", "agent_1", None))


@pytest.mark.parametrize("seed", range(60))
def test_written_rows_are_imported_as_the_same_config(seed: int) -> None:
    config = random_config(random.Random(seed))

    assert read_back(config) == config


def test_value_of_the_wrong_type_is_replaced_by_the_default() -> None:
    config = {"config_overrides": {"chat": {"talk_value": "often", "talk_value_rules": "none", "max_context_size": 9}}}

    (row,) = config_rows("agent_1", config, COLUMNS)["chat_config_overrides"]

    assert (row["talk_value"], row["talk_value_rules"], row["max_context_size"]) == (1.0, JsonValue([]), 9)


def test_columns_that_are_not_nullable_have_values() -> None:
    config: dict[str, Any] = {"persona": "calm", "config_overrides": {"model": {}}}
    for place in SECTION_PATHS.values():
        if len(place) > 1:
            config["config_overrides"][place[-1]] = {"x": 1}
    for name in LIST_TABLES.values():
        config["config_overrides"]["model"][name] = [{"name": "n"}]

    for table, found in config_rows("agent_1", config, COLUMNS).items():
        for row in found:
            empty = {name for name, value in row.items() if value is None and not COLUMNS[table][name].is_nullable}
            assert empty == set(), table


@pytest.mark.parametrize(
    ("target", "existing", "same"),
    [
        (JsonValue({"a": 1}), '{"a":1}', True),
        (JsonValue({"a": 1}), '{"a": true}', False),
        (JsonValue(None), "null", True),
        (JsonValue({}), "not json", False),
        (True, 1, True),
        (True, "1", True),
        (True, 0, False),
        (0.1, 0.10000000149, True),
        (1, "x", False),
        ("x", None, False),
        (None, "", False),
        (None, None, True),
    ],
)
def test_values_are_compared_by_their_meaning(target: Any, existing: Any, same: bool) -> None:
    assert column_equals(target, existing) == same
