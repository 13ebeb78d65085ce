"""What a layer that is not an operator's may not do with the layers below it.

An operator's provider may hold a key. It must never go to an address of somebody else's choice, nor run a
model of somebody else's. Names that lead to no key are free.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple

from django.utils.translation import gettext as _

from agent_config.addresses import redirected, secrets_in
from agent_config.document import Config, section
from agent_config.schema import Notice, Place, path
from core.text import fold

if TYPE_CHECKING:
    from agent_config.layers import Layer

_PROVIDERS: Place = ("config_overrides", "model", "api_providers")
_MODELS: Place = ("config_overrides", "model", "models")


class Names(NamedTuple):
    """The folded names, among those that several layers define, by what they lead to."""

    providers: frozenset[str]  # those that have a secret besides their address, or serve a model that has one
    models: frozenset[str]  # those whose provider has a secret besides its address
    operators: frozenset[str]  # an operator's providers that have one
    astray: frozenset[str]  # an operator's models that have a secret, and whose provider is another layer's


_NO_NAMES = Names(*[frozenset[str]()] * 4)


class _Item(NamedTuple):
    """A provider or a model, as the layers so far define it."""

    is_operators: bool
    has_secret: bool
    provider: str = ""  # a model's, folded


def names_in(layers: Sequence[Layer]) -> Names:
    """Return the names that the layers, lowest first, define."""
    providers, models, operators_models = dict[str, _Item](), dict[str, _Item](), dict[str, _Item]()
    is_joined = True  # an operator's item is joined to the one below, if that is an operator's too
    for layer in layers:
        is_joined = is_joined and layer.is_trusted
        _add_items(providers, layer, "api_providers", is_joined=is_joined)
        _add_items(models, layer, "models", is_joined=is_joined)
        if layer.is_trusted:
            _add_items(operators_models, layer, "models", is_joined=is_joined)
    keyed = frozenset(name for name, item in providers.items() if item.has_secret)
    foreign = frozenset(name for name, item in providers.items() if not item.is_operators)
    keyed_models = [model for model in models.values() if model.has_secret]
    return Names(
        providers=keyed | {model.provider for model in keyed_models if model.provider in providers},
        models=frozenset(name for name, model in models.items() if model.provider in keyed),
        operators=keyed - foreign,
        astray=frozenset(
            name for name, model in operators_models.items() if model.has_secret and model.provider in foreign
        ),
    )


def _add_items(known: dict[str, _Item], layer: Layer, kind: str, *, is_joined: bool) -> None:
    items = list(named_items(layer.config, kind))
    with_secrets = _items_with_secrets(layer.config) if items else set()
    for number, item in items:
        name = fold(item["name"])
        below = known.get(name) if is_joined else None
        has_secret = (kind, number) in with_secrets or (below is not None and below.has_secret)
        provider = provider_of(item) or ("" if below is None else below.provider)
        known[name] = _Item(layer.is_trusted, has_secret, provider)


def admitted(layers: Sequence[Layer]) -> list[Layer]:
    """Return the layers without what the config that they make together leaves out (`left_out`)."""
    return [
        layer._replace(config=_without(layer.config, places)) if places else layer
        for layer, places in zip(layers, _not_admitted(layers), strict=True)
    ]


def left_out(layers: Sequence[Layer]) -> list[Notice]:
    """Return a notice for each model and address of the layers that is left out of what they make together."""
    return [
        Notice(path(place), _sentence(place) % {"layer": layer.name})
        for layer, places in zip(layers, _not_admitted(layers), strict=True)
        for place in places
    ]


def provider_of(model: Config) -> str:
    """Return the folded name of the provider that a model names, in either spelling; empty if it names none."""
    name = model.get("api_provider", model.get("provider_name"))
    return fold(name) if isinstance(name, str) else ""


def combined(lower: Config, upper: Config) -> Config:
    """Return one config over another: objects key by key, lists of named items like any other list."""
    result = dict(lower)
    for key, value in upper.items():
        is_object = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = combined(result[key], value) if is_object else value
    return result


def _not_admitted(layers: Sequence[Layer]) -> list[list[Place]]:
    """Return the places in each layer that are left out.

    These are models of other layers on an operator's provider with a key, models of an operator's that have a
    secret on a provider of another layer, and addresses over a secret of a layer below.
    """
    names = names_in(layers) if any(_has_items(layer) for layer in layers if not layer.is_trusted) else _NO_NAMES
    found: list[list[Place]] = []
    below: list[Config] = []
    has_secrets = False  # beside the models, whose items stand alone
    for layer in layers:
        places = _models_left_out(layer, names)
        if has_secrets and not layer.is_trusted:
            places += redirected(reduce(combined, below), layer.config)
        found.append(places)
        below.append(_without(layer.config, places))
        has_secrets = has_secrets or any(place[:2] != _MODELS[:2] for place, _value in secrets_in(layer.config))
    return found


def _models_left_out(layer: Layer, names: Names) -> list[Place]:
    if not (names.astray if layer.is_trusted else names.operators):
        return []
    return [
        (*_MODELS, number)
        for number, model in named_items(layer.config, "models")
        if (fold(model["name"]) in names.astray if layer.is_trusted else provider_of(model) in names.operators)
    ]


def _has_items(layer: Layer) -> bool:
    return any(any(named_items(layer.config, kind)) for kind in ("api_providers", "models"))


def _sentence(place: Place) -> str:
    if place[:-1] == _MODELS:
        return _(
            "this model of the layer %(layer)s is left out: models and keys of different owners do not go together"
        )
    return _("this address of the layer %(layer)s is left out: a secret of a layer below belongs to another address")


def named_items(config: Config, name: str) -> Iterator[tuple[int, Config]]:
    """Yield the items of a list of the section `model` that have a name, with their numbers."""
    found = section(config, "model").get(name)
    for number, item in enumerate(found if isinstance(found, list) else ()):
        if isinstance(item, dict) and isinstance(item.get("name"), str):
            yield number, item


def _items_with_secrets(config: Config) -> set[tuple[str, int]]:
    """Return the list and the number of each provider and model that has a secret besides its address."""
    return {
        (str(place[2]), int(place[3]))
        for place, _value in secrets_in(config)
        if place[:3] in (_PROVIDERS, _MODELS) and len(place) > 3
    }


def _without(value: Any, places: Sequence[Place]) -> Any:
    """Return a copy of a document without the values in these places; what it does not change is shared."""
    if not places:
        return value
    gone = {place[0] for place in places if len(place) == 1}
    inner = defaultdict[Any, list[Place]](list)
    for place in places:
        if len(place) > 1:
            inner[place[0]].append(place[1:])
    if isinstance(value, list):
        return [_without(member, inner.get(n, ())) for n, member in enumerate(value) if n not in gone]
    return {key: _without(member, inner.get(key, ())) for key, member in value.items() if key not in gone}
