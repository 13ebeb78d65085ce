"""Warnings about what people get wrong when they move a bot's settings."""

from __future__ import annotations

from typing import Any

import pytest

from agent_config import schema
from agent_config.layers import Layer
from agent_config.updates import lint_config
from tests.support.configs import Config, model, provider
from tests.support.maibot_1_2 import document

pytestmark = pytest.mark.embedded

NEW = "maibot-1.2"


def warned(config: Config, name: str = schema.DEFAULT) -> dict[str, str]:
    return {warning.path: warning.message for warning in schema.warnings(config, name)}


class TestPlaces:
    def test_section_of_a_bots_file_at_the_top_is_told_where_it_belongs(self) -> None:
        file = {
            "bot": {"nickname": "x"},
            "personality": {},
            "chat": {"talk_value": 1},
            "webui": {},
            "inner": {"a": "1"},
        }

        assert warned(file) == {
            "bot": "has no effect here; it belongs to bot_overrides",
            "personality": "has no effect here; it belongs to persona",
            "chat": "has no effect here; it belongs to config_overrides.chat",
            "webui": "has no effect here; it belongs to config_overrides.webui",
        }

    @pytest.mark.parametrize("config", [{"chat": 1, "own": {"chat": {}}}, {"config_overrides": {"bot": {}}}])
    def test_what_is_no_section_there_is_not_told(self, config: Config) -> None:
        assert warned(config) == {}


class TestNames:
    @pytest.mark.parametrize(
        ("config", "path", "name"),
        [
            ({"config_overrides": {"chat": {"talk_valeu": 1}}}, "config_overrides.chat.talk_valeu", "talk_value"),
            ({"config_overrides": {"chat": {"Talk-Value": 1}}}, "config_overrides.chat.Talk-Value", "talk_value"),
            ({"config_overrides": {"emojis": {}}}, "config_overrides.emojis", "emoji"),
            ({"personna": {}}, "personna", "persona"),
            (
                model(models=[{"name": "m", "model_identifier": "m", "api_provider": "p", "temprature": 1}]),
                "config_overrides.model.models[0].temprature",
                "temperature",
            ),
        ],
    )
    def test_unknown_field_near_a_known_one_is_told(self, config: Config, path: str, name: str) -> None:
        assert warned(config) == {path: f"not known; did you mean {name}?"}

    def test_unknown_field_near_none_is_silent(self) -> None:
        assert warned({"own": 1, "config_overrides": {"my_section": {}, "chat": {"my_field": 1}}}) == {}

    def test_field_of_another_schema_is_silent(self) -> None:
        assert warned({"config_overrides": {"chat": {"max_private_context_size": 1}}}) == {}
        assert warned(document()) == {
            path: message for path, message in warned(document()).items() if "did you mean" not in message
        }

    def test_suggestions_in_one_config_are_bounded(self) -> None:
        config = {"config_overrides": {"chat": {f"talk_value{number}": 1 for number in range(4000)}}}

        assert len(warned(config)) == 100


class TestModels:
    def test_model_without_identifier_or_provider(self) -> None:
        tasks = {"replyer": {"model_list": ["m"]}}

        assert warned(model(models=[{"name": "m"}])) == {}  # which nobody uses
        assert warned(model(models=[{"name": "m"}], model_task_config=tasks)) == {
            "config_overrides.model.models[0].model_identifier": "a model needs the name that its provider gives it",
            "config_overrides.model.models[0].api_provider": "a model needs a provider",
        }

    def test_model_of_a_provider_that_no_layer_has(self) -> None:
        tasks = {"replyer": {"model_list": ["m"]}}
        models = [{"name": "m", "model_identifier": "m", "api_provider": "theirs"}]
        config = model(models=models, model_task_config=tasks)
        below = [Layer("default", model(api_providers=[provider("theirs")]), is_trusted=True)]

        assert [warning.message for warning in lint_config(config, [])] == ["no provider has this name"]
        assert lint_config(config, below) == []

    @pytest.mark.parametrize(
        ("fields", "path", "sentence"),
        [
            ({}, "api_key", "the provider has no key"),
            ({"api_key": ""}, "api_key", "the provider has no key"),
            ({"api_key": "sk-1 "}, "api_key", "a key has no blanks or line breaks"),
            ({"api_key": "sk-1\nsk-2"}, "api_key", "a key has no blanks or line breaks"),
            ({"api_key": "your-api-key-here"}, "api_key", "this looks like a placeholder, and not like a key"),
            ({"api_key": "sk-xxxxxxxx"}, "api_key", "this looks like a placeholder, and not like a key"),
            ({"api_key": "<key>"}, "api_key", "this looks like a placeholder, and not like a key"),
            ({"api_key": "在此填写密钥"}, "api_key", "this looks like a placeholder, and not like a key"),
            (
                {"api_key": "sk-1", "api_keys": ["sk-1", "sk-2 "]},
                "api_keys[1]",
                "a key has no blanks or line breaks",
            ),
            (
                {"api_key": "sk-1", "base_url": "api.example.com/v1"},
                "base_url",
                "must be an address that begins with https:// or http://",
            ),
        ],
    )
    def test_odd_provider(self, fields: Config, path: str, sentence: str) -> None:
        models = [{"name": "m", "model_identifier": "m", "api_provider": "mine"}]
        tasks = {"replyer": {"model_list": ["m"]}}
        config = model(api_providers=[provider(**fields)], models=models, model_task_config=tasks)

        assert warned(config) == {f"config_overrides.model.api_providers[0].{path}": sentence}

    @pytest.mark.parametrize(
        "fields",
        [
            {"api_key": "sk-5f1b2c3d4e", "base_url": "https://api.example.com"},
            {"api_key": "********"},
            {"auth_type": "none", "base_url": "http://localhost:11434/v1"},
            {"api_key": "mysterious-but-real"},
        ],
    )
    def test_provider_that_is_not_odd(self, fields: Config) -> None:
        assert warned(model(api_providers=[provider(**fields)])) == {}


class TestTexts:
    def test_short_row_of_a_learning_list(self) -> None:
        rows: list[Any] = [["", "enable", "enable", "1.0"], ["", "enable"]]

        assert list(warned({"config_overrides": {"expression": {"learning_list": rows}}})) == [
            "config_overrides.expression.learning_list[1]"
        ]

    @pytest.mark.parametrize("name", schema.NAMES)
    def test_full_width_colon_in_a_time(self, name: str) -> None:
        rules = {"talk_value_rules": [{"time": "09：00-22：00"}]}
        chat = rules if name == schema.DEFAULT else {"reply_timing": rules}

        assert list(warned({"config_overrides": {"chat": chat}}, name).values()) == [
            "has a full-width colon (：) in place of :"
        ]


class TestOddValues:
    """Values of the wrong kind, which the schemas let pass in unknown fields, or with a warning."""

    MODEL = {"name": "a", "api_provider": "a", "provider_name": "a", "model_identifier": "a", "temperature": 1}
    PROVIDER = {"name": "a", "base_url": "https://a.example", "api_key": "sk-x", "api_keys": ["k"], "auth_type": "none"}

    @pytest.mark.parametrize("odd", [[], ["a"], [[]], {}, {"a": 1}, 5, 1.5, True, None, ""], ids=repr)
    @pytest.mark.parametrize("name", schema.NAMES)
    def test_odd_value_causes_no_fault(self, odd: Any, name: str) -> None:
        of_models = [{**self.MODEL, field: odd} for field in self.MODEL]
        without_known_provider = {"name": "a", "provider_name": odd}
        of_providers = [{**self.PROVIDER, field: odd} for field in self.PROVIDER]
        tasks = {"utils": {"model_list": ["a", odd]}}

        for item in [*of_models, without_known_provider]:
            schema.warnings(model(models=[item], model_task_config=tasks), name)
        for item in of_providers:
            schema.warnings(model(models=[self.MODEL], api_providers=[item], model_task_config=tasks), name)
