"""The resolution of random layers, and the sources of their leaves."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given

from agent_config import trust
from agent_config.items import folded
from agent_config.layers import Layer, normalize, resolve, shadowed, sources
from tests.support.config_strategies import configs
from tests.support.configs import Config, model, provider
from tests.support.examples import examples
from tests.support.layering import (
    LISTS,
    Path,
    by_name,
    differences,
    is_name,
    layer_configs,
    leaves,
    located,
    stacks,
    without,
)

pytestmark = pytest.mark.embedded

ANY_CONFIG = configs()
quickly = examples(12)


class TestSources:
    """Removing a leaf's value from its source layer changes exactly that leaf."""

    @quickly
    @given(stacks())
    def test_every_leaf_has_a_source(self, layers: list[Layer]) -> None:
        resolved = resolve(layers)

        assert list(sources(layers, resolved)) == [pointer for pointer in leaves(resolved) if pointer or not resolved]

    @examples(25)
    @given(stacks())
    def test_removing_a_leaf_from_its_source_changes_exactly_that_leaf(self, layers: list[Layer]) -> None:
        resolved = resolve(layers)
        for pointer, name in sources(layers, resolved).items():
            if not pointer:
                continue  # nothing at all is set
            path = located(pointer, resolved)
            less = [
                layer._replace(config=without(layer.config, path)) if layer.name == name else layer for layer in layers
            ]
            after = resolve(less)
            changed = differences(by_name(resolved), by_name(after))

            reach = path[:-1] if is_name(path) else path
            assert {each[: len(reach)] for each in changed} <= {reach}, pointer
            if not changed:  # a layer below says the same
                assert sources(less, after)[pointer] != name

    @examples(10)
    @given(stacks(lambda: ANY_CONFIG))
    def test_sources_of_configs_of_the_schema_are_right(self, layers: list[Layer]) -> None:
        resolved = resolve(layers)
        found = sources(layers, resolved)

        assert list(found) == [pointer for pointer in leaves(resolved) if pointer or not resolved]
        for pointer, name in found.items():
            above = [layer.name for layer in layers]
            for layer in trust.admitted(layers)[above.index(name) + 1 :]:
                with pytest.raises((KeyError, StopIteration, TypeError, IndexError)):
                    without(layer.config, located(pointer, resolved))


class TestResolving:
    @quickly
    @given(stacks())
    def test_layers_are_not_changed(self, layers: list[Layer]) -> None:
        before = copy.deepcopy(layers)

        sources(layers, resolve(layers))

        assert json.dumps(layers) == json.dumps(before)

    @quickly
    @given(layer_configs())
    def test_single_layer_resolves_to_itself(self, config: Config) -> None:
        empty = Layer("template", {})

        resolved = resolve([Layer("default", {}), empty, Layer("tenant", {}), Layer("agent", config)])

        assert json.dumps(resolved) == json.dumps(normalize(config))

    @pytest.mark.parametrize(
        ("lower", "upper", "resolved"),
        [
            ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}),
            ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
            ({"a": [1, 2]}, {"a": []}, {"a": []}),
            ({"a": {"b": 1}}, {"a": {}}, {"a": {"b": 1}}),
            ({"a": {"b": 1}}, {"a": 5}, {"a": 5}),
            ({"a": 5}, {"a": {}}, {"a": {}}),
            ({"a": 1}, {"a": False}, {"a": False}),
            ({"__proto__": {"a": 1}}, {"__proto__": {"b": 2}}, {"__proto__": {"a": 1, "b": 2}}),
            ({"own": {"a": 1}}, {"own": {"$sealed": "b"}}, {"own": {"a": 1, "$sealed": "b"}}),
            ({"persona": "calm"}, {"persona": {"own": 1}}, {"persona": {"personality": "calm", "own": 1}}),
            ({"persona": {"own": 1}}, {"persona": "calm"}, {"persona": {"own": 1, "personality": "calm"}}),
            ({"persona": "calm"}, {"persona": "cheerful"}, {"persona": {"personality": "cheerful"}}),
        ],
    )
    def test_objects_merge_and_other_values_replace(self, lower: Config, upper: Config, resolved: Config) -> None:
        assert resolve([Layer("tenant", lower), Layer("agent", upper)]) == resolved

    @pytest.mark.parametrize("key", ["models", "api_providers"])
    def test_lists_of_named_items_are_joined(self, key: str) -> None:
        lower = model(**{key: [{"name": "a", "x": 1}, {"name": "b", "x": 2}]})
        upper = model(**{key: [{"name": "c", "x": 3}]})

        resolved = resolve([Layer("default", lower, is_trusted=True), Layer("agent", upper)])

        assert resolved == model(**{key: [{"name": "a", "x": 1}, {"name": "b", "x": 2}, {"name": "c", "x": 3}]})

    @pytest.mark.parametrize("key", ["models", "api_providers"])
    def test_operators_layer_changes_an_item_by_its_name(self, key: str) -> None:
        lower = model(**{key: [{"name": "A", "x": 1, "y": {"z": 2}}, {"name": "b"}]})
        upper = model(**{key: [{"name": "a", "y": {"w": 3}}]})

        resolved = resolve([Layer("default", lower, is_trusted=True), Layer("template", upper, is_trusted=True)])

        assert resolved == model(**{key: [{"name": "a", "x": 1, "y": {"z": 2, "w": 3}}, {"name": "b"}]})

    def test_a_model_has_one_provider_whichever_spelling_its_layers_use(self) -> None:
        lower = Layer("default", model(models=[{"name": "m", "provider_name": "old"}]), is_trusted=True)
        upper = Layer("template", model(models=[{"name": "m", "api_provider": "new"}]), is_trusted=True)

        assert resolve([lower, upper]) == model(models=[{"name": "m", "api_provider": "new"}])
        assert resolve([upper, lower]) == model(models=[{"name": "m", "api_provider": "old"}])


class TestTrust:
    """An operator's key never goes with somebody else's address."""

    @quickly
    @given(stacks())
    def test_untrusted_item_inherits_nothing(self, layers: list[Layer]) -> None:
        resolved = resolve(layers)

        for place in LISTS:
            for name, item in _items(resolved, place).items():
                untrusted = [layer for layer in layers if not layer.is_trusted and name in _items(layer.config, place)]
                if untrusted:
                    assert item == _items(untrusted[-1].config, place)[name]

    @pytest.mark.parametrize("name", ["Ünïversal", "ÜNÏVERSAL", "U\u0308nïversal"])
    @pytest.mark.parametrize("layer", ["template", "tenant", "agent"])
    def test_provider_with_an_operators_name_inherits_nothing(self, name: str, layer: str) -> None:
        theirs = model(api_providers=[provider("Ünïversal", api_key="the operator's", base_url="https://good.example")])
        mine = model(api_providers=[{"name": name, "base_url": "https://evil.example"}])

        layers = [Layer("default", theirs, is_trusted=True), Layer(layer, mine)]

        assert resolve(layers) == model(api_providers=[{"name": name, "base_url": "https://evil.example"}])
        (notice,) = shadowed(layers)
        assert notice.path == "config_overrides.model.api_providers[0].name"
        assert layer in notice.message

    def test_operators_layer_shadows_nothing(self) -> None:
        config = model(api_providers=[provider("p")], models=[{"name": "m"}])

        layers = [Layer("default", config, is_trusted=True), Layer("template", config, is_trusted=True)]

        assert shadowed(layers) == []


def _items(config: Config, place: Path) -> dict[str, Config]:
    value: Any = normalize(config)
    for key in place:
        value = value.get(key, {})
    return {folded(item["name"]): item for item in value or ()}
