"""Rules for configs, through every API (docs/contract.md section 13)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent_config import validators
from agent_config.errors import BadConfig
from agents.models import Agent
from agents.tests.api import ConfigApi
from tests.support.configs import Config, model, provider, stored

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]


class TestRules:
    @pytest.mark.parametrize(
        ("config", "path"),
        [
            ({"persona": 5}, "persona"),
            ({"persona": []}, "persona"),
            ({"bot_overrides": "x"}, "bot_overrides"),
            ({"config_overrides": []}, "config_overrides"),
            ({"config_overrides": {"chat": 5}}, "config_overrides.chat"),
            ({"config_overrides": {"maim_message": []}}, "config_overrides.maim_message"),
            ({"config_overrides": {"model": "gpt-4"}}, "config_overrides.model"),
            (model(models={}), "config_overrides.model.models"),
            (model(api_providers="x"), "config_overrides.model.api_providers"),
            (model(models=["gpt-4"]), "config_overrides.model.models[0]"),
            (model(api_providers=[provider(), None]), "config_overrides.model.api_providers[1]"),
        ],
    )
    def test_a_wrong_type_in_a_known_part_is_named(self, config_api: ConfigApi, config: Config, path: str) -> None:
        config_api.assert_invalid(config_api.try_create(config), path)
        assert not Agent.unscoped.exists()
        config_api.create({"x": 1})
        config_api.assert_invalid(config_api.try_put({"x": 2, **config}), path)
        assert stored() == {"x": 1}

    @pytest.mark.parametrize("name", ["Ünïversal", "ünïversal", "U\u0308nïversal"])
    def test_a_provider_of_the_system_cannot_be_defined(self, config_api: ConfigApi, name: str) -> None:
        config = model(api_providers=[provider("mine"), provider(name, base_url="https://evil.example")])
        path = "config_overrides.model.api_providers[1].name"

        config_api.assert_invalid(config_api.try_create(config), path)
        config_api.create({})
        config_api.assert_invalid(config_api.try_put(config), path)
        assert stored() == {}

    @pytest.mark.parametrize("name", ["system-model", "SYSTEM-model"])
    def test_a_model_of_the_system_cannot_be_defined(self, config_api: ConfigApi, name: str) -> None:
        config = model(models=[{"name": name, "api_provider": "mine"}])
        path = "config_overrides.model.models[0].name"

        config_api.assert_invalid(config_api.try_create(config), path)
        config_api.create({})
        config_api.assert_invalid(config_api.try_put(config), path)

    @pytest.mark.parametrize("key", ["api_provider", "provider_name"])
    def test_a_custom_model_cannot_use_a_provider_of_the_system(self, config_api: ConfigApi, key: str) -> None:
        config = model(models=[{"name": "mine", key: "ÜNÏVERSAL"}])
        path = f"config_overrides.model.models[0].{key}"

        config_api.assert_invalid(config_api.try_create(config), path)
        config_api.create({})
        config_api.assert_invalid(config_api.try_put(config), path)

    def test_everything_that_is_wrong_is_named_at_once(self, config_api: ConfigApi) -> None:
        config_api.assert_invalid(
            config_api.try_create({"persona": 5, **model(models=[{"name": "a"}, {"name": "a"}])}),
            "persona",
            "config_overrides.model.models[1].name",
        )

    def test_a_config_is_at_most_28_deep(self, config_api: ConfigApi) -> None:
        deep: Any = {}
        for _ in range(27):
            deep = {"a": deep}

        assert config_api.create(deep) == deep
        assert config_api.put(deep) == deep
        assert config_api.try_put({"a": deep}).status_code == 400
        assert config_api.get() == deep

    @pytest.mark.parametrize("number", ["9223372036854775808", "-9223372036854775809", "1e400", "NaN", "Infinity"])
    def test_numbers_fit_in_64_bits(self, config_api: ConfigApi, number: str) -> None:
        config_api.create({})
        path = f"/api/{config_api.version}{config_api.path}"
        config = f'{{"n": {number}}}'
        body = config if config_api.is_document else f'{{"config": {config}}}'

        response = config_api.client.generic("PUT", path, body.encode(), "application/json")

        assert response.status_code == 400
        assert stored() == {}

    def test_a_config_is_at_most_256_kib_as_stored(self, config_api: ConfigApi) -> None:
        empty = len(json.dumps({"a": ""}, separators=(",", ":")))
        config_api.create({"a": "x" * (256 * 1024 - empty)})

        config_api.assert_invalid(config_api.try_put({"b": 1}), "config")
        assert list(stored()) == ["a"]

    @pytest.mark.parametrize("config", [[], "text", 5])
    def test_a_config_is_an_object(self, config_api: ConfigApi, config: Any) -> None:
        config_api.create({"x": 1})

        assert config_api.try_put(config).status_code == 400
        assert stored() == {"x": 1}


class TestTooLargeImportedConfig:
    def test_size_may_shrink_but_not_grow(self) -> None:
        stored: Config = {"own": "x" * validators.MAX_BYTES}

        validators.check_size({"own": "x" * (validators.MAX_BYTES - 1)}, stored)
        validators.check_size(stored, stored)
        with pytest.raises(BadConfig, match="256 KiB"):
            validators.check_size({**stored, "more": 1}, stored)
        with pytest.raises(BadConfig, match="256 KiB"):
            validators.check_size(stored, {})

    def test_number_of_values_may_shrink_but_not_grow(self) -> None:
        stored: Config = {"own": [1] * (validators.MAX_LEAVES + 1)}

        validators.check_size(stored, stored)
        with pytest.raises(BadConfig, match="5,000"):
            validators.check_size({**stored, "more": 1}, stored)
