"""An agent's config read from the old tables and the old JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from legacy.configs import build_config
from legacy.reports import Report
from legacy.tests.old_databases import DEFAULTS

pytestmark = pytest.mark.embedded


def row(table: str, **fields: Any) -> dict[str, Any]:
    """Return a row as it is read, with JSON as text, flags as numbers, and defaults for missing fields."""
    values = {**DEFAULTS[table], **fields}
    plain = {
        name: json.dumps(value) if isinstance(value, list | dict) else int(value) if isinstance(value, bool) else value
        for name, value in values.items()
    }
    return {"id": fields.get("name", "config_1"), "agent_id": "a", "created_at": "1", "updated_at": "1", **plain}


def read(raw: Any, report: Report | None = None, **tables: list[dict[str, Any]]) -> dict[str, Any]:
    return build_config(raw, tables, (report or Report()).notes_for("agents", "a", "t"))


def chat(**fields: Any) -> dict[str, Any]:
    return row("chat_config_overrides", **fields)


def test_column_at_its_default_that_the_json_does_not_mention_is_unset() -> None:
    config = read({"config_overrides": {"chat": {"talk_value": 0.5}}}, chat_config_overrides=[chat(talk_value=0.5)])

    assert config == {"config_overrides": {"chat": {"talk_value": 0.5}}}


def test_default_that_was_sent_stays_set() -> None:
    config = read({"config_overrides": {"chat": {"talk_value": 1.0}}}, chat_config_overrides=[chat()])

    assert config == {"config_overrides": {"chat": {"talk_value": 1.0}}}


def test_table_wins_over_the_json() -> None:
    raw = {"config_overrides": {"chat": {"talk_value": 0.5, "max_context_size": 20}}}

    config = read(raw, chat_config_overrides=[chat(talk_value=0.8, max_context_size=18)])

    assert config == {"config_overrides": {"chat": {"talk_value": 0.8, "max_context_size": 18}}}


def test_field_that_only_a_table_has_is_set() -> None:
    assert read(None, chat_config_overrides=[chat(talk_value=0.8)]) == {
        "config_overrides": {"chat": {"talk_value": 0.8}}
    }


def test_section_of_defaults_sets_nothing() -> None:
    assert read(None, chat_config_overrides=[chat()], tool_config_overrides=[row("tool_config_overrides")]) == {}


def test_field_without_a_column_is_read_from_the_json() -> None:
    raw = {
        "custom": 1,
        "config_overrides": {"chat": {"include_planner_reasoning": True}, "debug": {"show_prompt": True}, "mine": []},
    }

    assert read(raw, chat_config_overrides=[chat()]) == raw


def test_flags_and_lists_are_converted() -> None:
    config = read(
        None,
        mood_config_overrides=[row("mood_config_overrides", enable_mood=False)],
        message_receive_config_overrides=[row("message_receive_config_overrides", ban_words=["x", "y"])],
    )

    assert config["config_overrides"]["mood"]["enable_mood"] is False
    assert config["config_overrides"]["message_receive"]["ban_words"] == ["x", "y"]


def test_number_keeps_the_precision_of_the_json() -> None:
    raw = {"config_overrides": {"chat": {"talk_value": 0.123456789}}}

    assert read(raw, chat_config_overrides=[chat(talk_value=0.123457)]) == raw


def test_persona_text_stays_a_text_without_other_fields() -> None:
    calm = row("personality_configs", personality="calm")
    brief = row("personality_configs", personality="calm", reply_style="brief")

    assert read({"persona": "wild"}, personality_configs=[calm]) == {"persona": "calm"}
    assert read({"persona": "calm"}, personality_configs=[brief]) == {
        "persona": {"personality": "calm", "reply_style": "brief"}
    }


def test_items_keep_the_order_and_the_fields_of_the_json() -> None:
    raw = {
        "config_overrides": {
            "model": {
                "api_providers": [
                    {"name": "second", "api_key": "sk-2", "max_retry": 5},
                    {"name": "first", "api_key": "sk-1"},
                ],
                "models": [{"name": "m", "api_provider": "first", "force_stream_mode": True}],
            }
        }
    }
    providers = [
        row("api_provider_configs", name="first", api_key="sk-1-new"),
        row("api_provider_configs", name="second", api_key="sk-2"),
    ]
    models = [row("model_info_configs", name="m", provider_name="first", model_identifier="gpt", temperature=0.3)]

    config = read(raw, api_provider_configs=providers, model_info_configs=models)

    assert config["config_overrides"]["model"] == {
        "api_providers": [
            {"name": "second", "api_key": "sk-2", "max_retry": 5},
            {"name": "first", "api_key": "sk-1-new"},
        ],
        "models": [
            {
                "name": "m", "api_provider": "first", "force_stream_mode": True, "model_identifier": "gpt",
                "temperature": 0.3,
            }
        ],
    }  # fmt: skip


def test_item_that_only_the_json_has_is_left_out_and_reported() -> None:
    raw = {"config_overrides": {"model": {"models": [{"name": "kept"}, {"name": "gone"}]}}}
    report = Report()

    config = read(raw, report, model_info_configs=[row("model_info_configs", name="kept")])

    assert config == {"config_overrides": {"model": {"models": [{"name": "kept"}]}}}
    assert "gone" in report.findings[0].detail


def test_list_without_table_rows_is_read_from_the_json() -> None:
    raw = {"config_overrides": {"model": {"models": [{"name": "m"}]}}}

    assert read(raw) == raw


def test_latest_of_two_rows_is_used_and_reported() -> None:
    report = Report()
    older, newer = chat(talk_value=0.1), {**chat(talk_value=0.2), "updated_at": "2"}

    config = read(None, report, chat_config_overrides=[newer, older])

    assert config == {"config_overrides": {"chat": {"talk_value": 0.2}}}
    assert [finding.reason for finding in report.findings] == ["repeated"]


def test_unreadable_column_is_replaced_by_the_json_and_reported() -> None:
    raw = {"config_overrides": {"message_receive": {"ban_words": ["x"]}}}
    report = Report()
    broken = {**row("message_receive_config_overrides"), "ban_words": "[oops"}

    config = read(raw, report, message_receive_config_overrides=[broken])

    assert config == raw
    assert [finding.reason for finding in report.findings] == ["bad JSON"]


def test_table_is_read_alone_if_the_json_has_no_object() -> None:
    report = Report()

    config = read({"config_overrides": "oops"}, report, chat_config_overrides=[chat(talk_value=0.2)])

    assert config == {"config_overrides": {"chat": {"talk_value": 0.2}}}
    assert [finding.reason for finding in report.findings] == ["config partly left out"]
