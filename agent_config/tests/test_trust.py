"""Random layers, in which an operator's secret never gets another layer's address or model."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from agent_config import trust
from agent_config.addresses import secrets_in
from agent_config.items import folded
from agent_config.layers import Layer, resolve
from tests.support.config_strategies import configs
from tests.support.configs import Config, model, provider
from tests.support.examples import examples

pytestmark = pytest.mark.embedded

NAMES = ("x", "X", "caf\u00e9", "CAFE\u0301")
ANY_CONFIG = configs()
thoroughly = examples(50)


def _marked(layer: int, key: str) -> str:
    """Return a text that names its layer."""
    return f"{key} of layer {layer}"


def _named(item: SearchStrategy[Config]) -> SearchStrategy[list[Config]]:
    return st.lists(item, max_size=2, unique_by=lambda each: each["name"])


def _sections(layer: int) -> SearchStrategy[Config]:
    names, spellings = st.sampled_from(NAMES), st.sampled_from(("api_provider", "provider_name"))
    texts = {key: st.sampled_from((_marked(layer, key), "")) for key in ("base_url", "api_key")}
    providers = _named(
        st.fixed_dictionaries({"name": names, "api_key": texts["api_key"]}, optional={"base_url": texts["base_url"]})
    )
    models = _named(
        st.builds(
            lambda name, spelling, used: {"name": name, spelling: used, "own": _marked(layer, "own")},
            names,
            spellings,
            names,
        )
    )
    server = st.fixed_dictionaries(
        {},
        optional={"host": st.just(_marked(layer, "host")), "auth_token": st.just([_marked(layer, "auth_token")])},
    )
    return st.fixed_dictionaries({"api_providers": providers, "models": models}, optional={"server": server})


@st.composite
def stacks(draw: st.DrawFn) -> list[Layer]:
    """Draw layers, any of which may be an operator's, whose values name their layers."""
    layers = []
    for number in range(draw(st.integers(2, 4))):
        section = draw(_sections(number))
        server = section.pop("server", None)
        overrides = {"model": section} | ({} if server is None else {"maim_message": server})
        layers.append(Layer(f"layer {number}", {"config_overrides": overrides}, draw(st.booleans())))
    return layers


def _items(config: Config, kind: str) -> list[Config]:
    found: list[Config] = config.get("config_overrides", {}).get("model", {}).get(kind, [])
    return found


def _trust_of(value: Any, layers: list[Layer]) -> set[bool]:
    """Return whether the layers that a value's texts come from are trusted."""
    text = json.dumps(value)
    return {layer.is_trusted for number, layer in enumerate(layers) if f"of layer {number}" in text}


@thoroughly
@given(stacks())
def test_item_mixes_no_operators_values_with_others(layers: list[Layer]) -> None:
    for kind in ("api_providers", "models"):
        for item in _items(resolve(layers), kind):
            assert len(_trust_of(item, layers)) <= 1
            if _trust_of(item, layers) == {False}:
                assert any(item == _spelled(each) for layer in layers for each in _items(layer.config, kind))


def _spelled(item: Config) -> Config:
    if "provider_name" not in item:
        return item
    return {"api_provider": item["provider_name"], **{k: v for k, v in item.items() if k != "provider_name"}}


@thoroughly
@given(stacks())
def test_no_model_of_another_layer_runs_on_an_operators_key(layers: list[Layer]) -> None:
    resolved = resolve(layers)
    # Of two providers whose names are equal but for their case, a bot could take either.
    keyed = {
        folded(item["name"])
        for item in _items(resolved, "api_providers")
        if item.get("api_key") and _trust_of(item["api_key"], layers) == {True}
    }
    for item in _items(resolved, "models"):
        if _trust_of(item, layers) == {False}:
            assert folded(item.get("api_provider", "")) not in keyed


@thoroughly
@given(stacks())
def test_no_address_of_another_layer_replaces_that_of_a_secret_below(layers: list[Layer]) -> None:
    server = resolve(layers).get("config_overrides", {}).get("maim_message", {})
    number = {
        key: next((number for number in range(len(layers)) if f"of layer {number}" in json.dumps(server.get(key))), -1)
        for key in ("host", "auth_token")
    }
    if number["host"] > number["auth_token"] >= 0:
        assert layers[number["host"]].is_trusted


@thoroughly
@given(stacks())
def test_left_out_values_get_warnings(layers: list[Layer]) -> None:
    admitted = trust.admitted(layers)
    resolved = resolve(layers)

    assert bool(trust.left_out(layers)) == (admitted != layers)
    assert resolve(admitted) == resolved


@settings(thoroughly, max_examples=10)
@given(st.lists(ANY_CONFIG, min_size=3, max_size=3))
def test_operators_secrets_are_protected_in_configs_of_the_schema(drawn: list[Config]) -> None:
    theirs, *others = drawn
    layers = [Layer("default", theirs, is_trusted=True), *(Layer("tenant", config) for config in others)]
    held = {json.dumps(value) for place, value in secrets_in(theirs) if "api_providers" in place}
    for item in _items(resolve(layers), "api_providers"):
        if any(json.dumps(value) in held for value in item.values()):
            assert item in _items(theirs, "api_providers") or any(
                item in _items(each, "api_providers") for each in others
            )


class TestAllowed:
    THEIRS = Layer("default", model(api_providers=[provider("p", api_key="k")], models=[{"name": "m"}]), True)

    def test_an_operators_own_model_stays(self) -> None:
        mine = model(models=[{"name": "n", "api_provider": "p"}])

        assert resolve([self.THEIRS, Layer("template", mine, is_trusted=True)]) == model(
            api_providers=[provider("p", api_key="k")], models=[{"name": "m"}, {"name": "n", "api_provider": "p"}]
        )

    def test_a_model_of_a_layer_whose_provider_hides_the_operators_stays(self) -> None:
        mine = model(api_providers=[provider("P", api_key="mine")], models=[{"name": "n", "api_provider": "P"}])

        assert trust.left_out([self.THEIRS, Layer("agent", mine)]) == []

    def test_an_operators_address_over_an_operators_secret_stays(self) -> None:
        server = {"auth_token": ["t"], "host": "a"}
        lower = Layer("default", {"config_overrides": {"maim_message": server}}, is_trusted=True)
        upper = Layer("template", {"config_overrides": {"maim_message": {"host": "b"}}}, is_trusted=True)

        assert resolve([lower, upper]) == {"config_overrides": {"maim_message": {**server, "host": "b"}}}

    def test_an_operators_model_with_a_secret_does_not_run_on_anothers_provider(self) -> None:
        secret = {"name": "m", "api_provider": "free", "extra_params": {"api_key": "the operator's"}}
        theirs = Layer("template", model(api_providers=[provider("free")], models=[secret]), is_trusted=True)
        evil = provider("free", base_url="https://evil.example")

        layers = [theirs, Layer("agent", model(api_providers=[evil]))]

        assert resolve(layers) == model(api_providers=[evil], models=[])
        assert "free" in trust.names_in([theirs]).providers
