"""Warnings about valid but unusual values."""

from __future__ import annotations

from typing import Any

import pytest

from agent_config import schema
from tests.support.configs import Config, model

pytestmark = pytest.mark.embedded


def section(name: str, **fields: Any) -> Config:
    return {"config_overrides": {name: fields}}


def paths(config: Config) -> list[str]:
    notices = schema.warnings(config)
    assert all(notice.message for notice in notices)
    return [notice.path for notice in notices]


def tasks(**lists: Any) -> Config:
    return {"model_task_config": {task: {"model_list": names} for task, names in lists.items()}}


class TestWarnings:
    def test_defaults_get_no_warning(self) -> None:
        assert schema.warnings(schema.defaults()) == []

    @pytest.mark.parametrize(
        ("config", "path"),
        [
            ({"persona": {"state_probability": 1.01}}, "persona.state_probability"),
            (section("chat", talk_value=-0.5), "config_overrides.chat.talk_value"),
            (section("chat", max_context_size=0), "config_overrides.chat.max_context_size"),
            (section("chat", talk_value_rules=[{}, {"value": 2}]), "config_overrides.chat.talk_value_rules[1].value"),
            (section("chat", interest_rate_mode="slow"), "config_overrides.chat.interest_rate_mode"),
            (section("emoji", emoji_chance=40), "config_overrides.emoji.emoji_chance"),
            (section("dream", interval_minutes=-1), "config_overrides.dream.interval_minutes"),
            (section("maim_message", port=65536), "config_overrides.maim_message.port"),
            (
                section("lpmm_knowledge", rag_synonym_threshold=1.5),
                "config_overrides.lpmm_knowledge.rag_synonym_threshold",
            ),
            (model(api_providers=[{"name": "a", "timeout": 0}]), "config_overrides.model.api_providers[0].timeout"),
            (model(models=[{"name": "a", "price_in": -1}]), "config_overrides.model.models[0].price_in"),
            (
                section("model", model_task_config={"vlm": {"temperature": 3}}),
                "config_overrides.model.model_task_config.vlm.temperature",
            ),
        ],
    )
    def test_unusual_value_is_valid_but_gets_a_warning(self, config: Config, path: str) -> None:
        assert schema.validate(config, {}).errors == []
        assert paths(config) == [path]

    @pytest.mark.parametrize(
        "config",
        [
            section("chat", talk_value=0, auto_chat_value=1.0, max_context_size=1),
            section("maim_message", port=65535, mode="ws"),
            section("chat", interest_rate_mode=""),
            section("emoji", unknown=-1),
        ],
    )
    def test_usual_and_unknown_values_get_no_warning(self, config: Config) -> None:
        assert schema.warnings(config) == []

    @pytest.mark.parametrize("wrong", ["x", True, [], {}, None, 5])
    def test_value_of_another_type_is_reported_once(self, wrong: Any) -> None:
        configs: list[Config] = [
            {"persona": wrong},
            {"config_overrides": wrong},
            section("chat", talk_value=wrong, talk_value_rules=wrong),
            section("model", models=wrong, api_providers=[wrong], model_task_config=wrong),
            section("model", models=[wrong], model_task_config={"vlm": wrong, "voice": {"model_list": wrong}}),
        ]

        for config in configs:
            checked = schema.validate(config, config)
            told = [schema.path(warned.place) for warned in (*checked.errors, *checked.warnings)]
            assert sorted(paths(config)) == sorted(told)

    def test_too_many_faults_are_one_warning(self) -> None:
        assert paths(section("message_receive", ban_words=[1] * 5000, ban_msgs_regex=[1] * 5000)) == ["config"]


class TestUnknownModels:
    def unknown(self, config: Config, resolved: Config) -> list[str]:
        return [schema.path(warned.place) for warned in schema.unknown_models(config, resolved)]

    def test_task_may_only_name_models_of_the_resolved_config(self) -> None:
        config, resolved = (
            model(**tasks(vlm=["here", "gone", 5])),
            model(models=[{"name": "here"}], **tasks(voice=["l"])),
        )

        assert self.unknown(config, resolved) == ["config_overrides.model.model_task_config.vlm.model_list[1]"]

    def test_without_models_every_name_is_unknown(self) -> None:
        assert len(self.unknown(model(**tasks(vlm=["a"], voice=["b"])), {})) == 2

    def test_unknown_tasks_are_ignored(self) -> None:
        assert self.unknown(model(**tasks(own=["gone"])), {}) == []

    @pytest.mark.parametrize("wrong", ["x", True, [], {}, None])
    def test_values_of_another_type_are_ignored(self, wrong: Any) -> None:
        for config in (
            {"config_overrides": wrong},
            section("model", models=[wrong], model_task_config=wrong),
            section("model", models=wrong, model_task_config={"vlm": wrong, "voice": {"model_list": wrong}}),
        ):
            assert self.unknown(config, config) == []
