"""Storing and merging configs through every API (docs/contract.md section 13)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agents.models import Agent
from agents.tests.api import ConfigApi
from core.models import AuditEntry
from tests.support.configs import MASK, Config, model, provider, secret_provider, stored

pytestmark = pytest.mark.django_db


class TestKeeping:
    @pytest.mark.parametrize(
        "config",
        [
            {},
            {"model": "gpt-4", "temperature": 0.7},
            {"custom_setting": {"deep": [{"er": [1, 2.5, True, "小明 🤖", "", {}, []]}]}},
            {"persona": "cheerful"},
            {"persona": {"personality": "cheerful", "own": 1}},
            {"bot_overrides": {"nickname": "麦麦", "own": {"a": 1}}},
            {"config_overrides": {"chat": {"talk_value": 0.5, "own": [1]}}},
            {"config_overrides": {"own_section": {"a": 1}, "own_scalar": 5, "own_list": [1], "own_text": "x"}},
            {"config_overrides": {"model": {"model_task_config": {"replyer": {"model_list": []}}, "own": 1}}},
            {"models": [{"name": "a"}, {"name": "a"}], "api_providers": "not the known ones"},
            {"big": 2**63 - 1, "small": -(2**63), "float": 1e300},
            {"z": 1, "a": 2, "m": 3},
        ],
    )
    def test_created_config_reads_back_as_it_was_sent(self, config_api: ConfigApi, config: Config) -> None:
        """No defaults filled in, unknown keys kept at every level, and in their order."""
        assert json.dumps(config_api.create(config)) == json.dumps(config)
        assert json.dumps(config_api.get()) == json.dumps(config)
        assert config_api.put({}) == config

    def test_updated_config_reads_back_as_it_was_sent(self, config_api: ConfigApi) -> None:
        config_api.create({})

        config = {"model": "gpt-4", "temperature": 0.7, "config_overrides": {"own": 5, "chat": {"own": None, "x": []}}}

        assert config_api.put(config) == {
            "model": "gpt-4",
            "temperature": 0.7,
            "config_overrides": {"own": 5, "chat": {"x": []}},
        }


@pytest.mark.embedded
class TestMerging:
    def test_objects_merge_key_by_key(self, config_api: ConfigApi) -> None:
        config_api.create({"a": {"b": {"c": 1, "d": 2}, "e": 3}, "f": 4})

        assert config_api.put({"a": {"b": {"c": 10, "g": 5}}}) == {
            "a": {"b": {"c": 10, "d": 2, "g": 5}, "e": 3},
            "f": 4,
        }
        assert config_api.get() == stored()

    def test_lists_replace(self, config_api: ConfigApi) -> None:
        config_api.create({"a": [1, 2, 3], "b": [{"name": "x", "y": 1}]})

        assert config_api.put({"a": [4], "b": [{"name": "x"}]}) == {"a": [4], "b": [{"name": "x"}]}

    @pytest.mark.parametrize(
        ("old", "new"),
        [(1, 2), ("x", 5), ({"a": 1}, 5), ({"a": 1}, [1]), ([1], {"a": 1}), (5, {"a": 1}), (True, False), (1, 0)],
    )
    def test_a_scalar_or_another_type_replaces(self, config_api: ConfigApi, old: Any, new: Any) -> None:
        config_api.create({"key": old})

        assert config_api.put({"key": new}) == {"key": new}

    def test_null_removes(self, config_api: ConfigApi) -> None:
        config_api.create({"a": 1, "b": {"c": 2, "d": 3}, "e": {"f": 4}})

        assert config_api.put({"a": None, "b": {"c": None}, "e": None}) == {"b": {"d": 3}}

    def test_null_for_a_missing_key_changes_nothing(self, config_api: ConfigApi) -> None:
        config_api.create({"a": 1})

        assert config_api.put({"b": None, "persona": None, "config_overrides": None}) == {"a": 1}

    def test_null_is_not_stored_on_create(self, config_api: ConfigApi) -> None:
        sent = {
            "a": None,
            "b": {"c": None, "d": 1},
            "e": [{"f": None, "g": 2}],
            "persona": {"personality": None, "own": 3},
            **model(api_providers=[provider(base_url=None)], models=None),
        }

        assert config_api.create(sent) == {
            "b": {"d": 1},
            "e": [{"g": 2}],
            "persona": {"own": 3},
            **model(api_providers=[provider()]),
        }
        assert "null" not in json.dumps(stored())

    def test_null_is_not_stored_in_new_objects_of_an_update(self, config_api: ConfigApi) -> None:
        config_api.create({})

        assert config_api.put({"a": {"b": None, "c": 1}, "d": [{"e": None}]}) == {"a": {"c": 1}, "d": [{}]}

    def test_sending_back_the_config_as_read_changes_nothing(self, config_api: ConfigApi) -> None:
        config_api.create(
            {
                "persona": "cheerful",
                "own": {"a": [1, {"b": 2}]},
                "config_overrides": {
                    "chat": {"talk_value": 1},
                    "maim_message": {"auth_token": ["secret"], "port": 5},
                    "model": {
                        "api_providers": [secret_provider(), secret_provider("other")],
                        "models": [{"name": "m", "api_provider": "mine"}],
                    },
                },
            }
        )
        agent = Agent.unscoped.get()
        written = AuditEntry.objects.count()

        config_api.put(config_api.get())

        after = Agent.unscoped.get()
        assert json.dumps(after.config) == json.dumps(agent.config)
        assert after.updated_at == agent.updated_at
        assert AuditEntry.objects.count() == written


@pytest.mark.embedded
class TestNamedLists:
    """`models` and `api_providers` in `config_overrides.model`."""

    @pytest.mark.parametrize("key", ["models", "api_providers"])
    def test_item_keeps_fields_that_are_not_sent(self, config_api: ConfigApi, key: str) -> None:
        config_api.create(model(**{key: [{"name": "a", "x": 1, "y": {"z": 2, "w": 3}, "v": [1]}]}))

        merged = config_api.put(model(**{key: [{"name": "a", "x": 10, "y": {"z": None}, "v": [2]}]}))

        assert merged == model(**{key: [{"name": "a", "x": 10, "y": {"w": 3}, "v": [2]}]})

    @pytest.mark.parametrize("key", ["models", "api_providers"])
    def test_the_sent_list_decides_membership_and_order(self, config_api: ConfigApi, key: str) -> None:
        config_api.create(model(**{key: [{"name": "a", "x": 1}, {"name": "b", "x": 2}, {"name": "c", "x": 3}]}))

        merged = config_api.put(model(**{key: [{"name": "c"}, {"name": "new"}, {"name": "a"}]}))

        assert merged == model(**{key: [{"name": "c", "x": 3}, {"name": "new"}, {"name": "a", "x": 1}]})
        assert config_api.put(model(**{key: []})) == model(**{key: []})

    def test_null_removes_a_whole_list(self, config_api: ConfigApi) -> None:
        config_api.create(model(models=[{"name": "a"}], api_providers=[provider()]))

        assert config_api.put(model(models=None)) == model(api_providers=[provider()])

    def test_null_removes_a_field_of_an_item(self, config_api: ConfigApi) -> None:
        config_api.create(model(api_providers=[secret_provider()]))

        assert config_api.put(model(api_providers=[{"name": "mine", "api_key": None}])) == model(
            api_providers=[provider(base_url=MASK)]
        )

    @pytest.mark.parametrize("key", ["models", "api_providers"])
    def test_a_name_that_occurs_twice_is_refused(self, config_api: ConfigApi, key: str) -> None:
        twice = model(**{key: [{"name": "a"}, {"name": "b"}, {"name": "a"}]})
        path = f"config_overrides.model.{key}[2].name"

        config_api.assert_invalid(config_api.try_create(twice), path)
        assert not Agent.unscoped.exists()
        config_api.create({"a": 1})
        config_api.assert_invalid(config_api.try_put(twice), path)
        assert stored() == {"a": 1}

    @pytest.mark.parametrize("item", [{}, {"name": None}, {"name": ""}, {"name": 5}])
    def test_an_item_needs_a_name(self, config_api: ConfigApi, item: Config) -> None:
        config_api.assert_invalid(config_api.try_create(model(models=[item])), "config_overrides.model.models[0].name")

    def test_provider_name_of_a_model_is_stored_as_api_provider(self, config_api: ConfigApi) -> None:
        config_api.create(model(models=[{"name": "m", "provider_name": "mine"}]))
        assert stored() == model(models=[{"api_provider": "mine", "name": "m"}])

        config_api.put(model(models=[{"name": "m", "provider_name": "other"}]))
        assert stored() == model(models=[{"api_provider": "other", "name": "m"}])

        config_api.put(model(models=[{"name": "m", "provider_name": "old", "api_provider": "new"}]))
        assert stored() == model(models=[{"api_provider": "new", "name": "m"}])

    def test_model_stored_with_provider_name_has_one_provider(self, config_api: ConfigApi) -> None:
        config_api.create({})
        Agent.unscoped.update(config=model(models=[{"name": "m", "provider_name": "mine"}]))

        config_api.put(model(models=[{"name": "m", "api_provider": "other"}]))

        assert stored() == model(models=[{"api_provider": "other", "name": "m"}])


@pytest.mark.embedded
class TestPersona:
    """An object, or a text, short for `{"personality": …}`."""

    @pytest.mark.parametrize(
        ("old", "sent", "merged"),
        [
            ("calm", "cheerful", "cheerful"),
            ({"personality": "calm", "own": 1}, "cheerful", {"personality": "cheerful", "own": 1}),
            ("calm", {"own": 1}, {"personality": "calm", "own": 1}),
            ("calm", {"personality": "cheerful"}, {"personality": "cheerful"}),
            ({"personality": "calm"}, {"own": 1}, {"personality": "calm", "own": 1}),
            ({"personality": "calm", "own": 1}, {"personality": None}, {"own": 1}),
        ],
    )
    def test_text_and_object_merge_with_each_other(
        self, config_api: ConfigApi, old: Any, sent: Any, merged: Any
    ) -> None:
        config_api.create({"persona": old, "x": 1})

        assert config_api.put({"persona": sent}) == {"persona": merged, "x": 1}

    @pytest.mark.parametrize("old", ["calm", {"personality": "calm"}])
    def test_null_removes_it(self, config_api: ConfigApi, old: Any) -> None:
        config_api.create({"persona": old, "x": 1})

        assert config_api.put({"persona": None}) == {"x": 1}
