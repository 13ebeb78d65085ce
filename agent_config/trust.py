"""Limits on the layers of others than operators, which protect the keys in the layers below.

An operator's provider may have a key. The key must never be sent to an address that somebody else chose, nor be used
for somebody else's model. Names that lead to no key are free.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence, Set
from enum import Enum
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple

from django.utils.translation import gettext as _

from agent_config.addresses import exposing, has_shared_address, redirected, secrets_in
from agent_config.document import NAMED_LISTS, Config
from agent_config.items import MODEL, MODELS, PROVIDERS, folded, named_items, provider_name
from agent_config.schema import ConfigWarning, Place, path

if TYPE_CHECKING:
    from agent_config.layers import Layer


class Names(NamedTuple):
    """The folded names of the providers and models that several layers define, by what they lead to."""

    providers: frozenset[str]  # those with a secret besides their address, or with a model that has a secret
    models: frozenset[str]  # those whose provider has a secret besides its address
    operators: frozenset[str]  # an operator's providers that have a secret
    misdirected: frozenset[str]  # an operator's models with a secret whose provider is not an operator's
    owners: Mapping[str, Layer]  # the layer that defines each provider


NO_NAMES = Names(frozenset(), frozenset(), frozenset(), frozenset(), {})


class _Item(NamedTuple):
    """A provider or a model, as defined by the layers up to one."""

    layer: Layer
    has_secret: bool
    provider: str = ""  # a model's, folded


def names_in(layers: Sequence[Layer]) -> Names:
    """Return the names that the layers, lowest first, define."""
    providers, models, operators_models = dict[str, _Item](), dict[str, _Item](), dict[str, _Item]()
    is_joined = True  # an operator's item is joined to the one below, if that is an operator's too
    for layer in layers:
        is_joined = is_joined and layer.is_trusted
        with_secrets = _items_with_secrets(layer.config) if has_items(layer.config) else set()
        _add_items(providers, layer, "api_providers", with_secrets, is_joined=is_joined)
        _add_items(models, layer, "models", with_secrets, is_joined=is_joined)
        if layer.is_trusted:
            _add_items(operators_models, layer, "models", with_secrets, is_joined=is_joined)
    keyed = frozenset(name for name, item in providers.items() if item.has_secret)
    foreign = frozenset(name for name, item in providers.items() if not item.layer.is_trusted)
    keyed_models = [model for model in models.values() if model.has_secret]
    return Names(
        providers=keyed | {model.provider for model in keyed_models if model.provider},
        models=frozenset(name for name, model in models.items() if model.provider in keyed),
        operators=keyed - foreign,
        misdirected=frozenset(
            name for name, model in operators_models.items() if model.has_secret and model.provider in foreign
        ),
        owners={name: item.layer for name, item in providers.items()},
    )


def _add_items(
    known: dict[str, _Item], layer: Layer, kind: str, with_secrets: Set[tuple[str, int]], *, is_joined: bool
) -> None:
    for number, item in named_items(layer.config, kind):
        name = folded(item["name"])
        below = known.get(name) if is_joined else None
        has_secret = (kind, number) in with_secrets or (below is not None and below.has_secret)
        provider = provider_name(item) or ("" if below is None else below.provider)
        known[name] = _Item(layer, has_secret, provider)


def admitted(layers: Sequence[Layer]) -> list[Layer]:
    """Return the layers without the models, secrets and addresses that the effective config leaves out."""
    return [
        layer._replace(config=_without(layer.config, places.keys())) if places else layer
        for layer, places in zip(layers, _not_admitted(layers), strict=True)
    ]


def left_out(layers: Sequence[Layer]) -> list[ConfigWarning]:
    """Return a warning for each model, secret and address that the effective config leaves out."""
    return [
        ConfigWarning(path(place), _sentence(reason) % {"layer": layer.name})
        for layer, places in zip(layers, _not_admitted(layers), strict=True)
        for place, reason in places.items()
    ]


def combined(lower: Config, upper: Config, place: Place = ()) -> Config:
    """Return two configs merged key by key, with the items of both in lists of named items."""
    result = dict(lower)
    for key, value in upper.items():
        here, below = (*place, key), result.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            result[key] = combined(below, value, here)
        elif here in NAMED_LISTS and isinstance(value, list) and isinstance(below, list):
            result[key] = [*below, *value]
        else:
            result[key] = value
    return result


class _Reason(Enum):
    """The reason why a part of a layer is left out."""

    MODEL = 1
    MODELS_SECRET = 2
    ADDRESS_ABOVE = 3
    ADDRESS_BELOW = 4


def _not_admitted(layers: Sequence[Layer]) -> list[dict[Place, _Reason]]:
    """Return the places in each layer that are left out, and why.

    These are models of other layers on an operator's provider with a key, models of an operator's that have a
    secret on a provider of another layer, secrets of other models on a provider that others may change, addresses
    over a secret of a layer below, and those of a tenant's template under a secret of a layer above.
    """
    names = names_in(layers) if any(has_items(layer.config) for layer in layers if not layer.is_trusted) else NO_NAMES
    found: list[dict[Place, _Reason]] = []
    below: list[Config] = []
    has_secrets = has_models_secrets = False
    for number, layer in enumerate(layers):
        places = _models_left_out(layer, names)
        is_redirecting = has_secrets or (has_models_secrets and has_shared_address(layer.config))
        if is_redirecting and not layer.is_trusted:
            places |= dict.fromkeys(redirected(reduce(combined, below), layer.config), _Reason.ADDRESS_ABOVE)
        if _is_changed_by_members(layer):
            above = reduce(combined, (layer.config for layer in layers[number + 1 :]), Config())
            places |= dict.fromkeys(exposing(layer.config, above), _Reason.ADDRESS_BELOW)
        found.append(places)
        if not any(above.config for above in layers[number + 1 :]):
            continue  # no address above can lead this layer's secrets astray, and to find them takes long
        below.append(_without(layer.config, places.keys()))
        of_models = [place[:2] == MODEL for place, _value in secrets_in(layer.config)]
        has_models_secrets = has_models_secrets or any(of_models)
        has_secrets = has_secrets or not all(of_models)
    return found


def _is_changed_by_members(layer: Layer) -> bool:
    """Return whether any member may change the layer, though not all layers above it: a tenant's own template."""
    return layer.name == "template" and not layer.is_trusted


def _models_left_out(layer: Layer, names: Names) -> dict[Place, _Reason]:
    models = [((*MODELS, number), model) for number, model in named_items(layer.config, "models")]
    if layer.is_trusted:
        return {place: _Reason.MODEL for place, model in models if folded(model["name"]) in names.misdirected}
    places = {place: _Reason.MODEL for place, model in models if provider_name(model) in names.operators}
    foreign = {place for place, model in models if not _may_serve(names.owners.get(provider_name(model), layer), layer)}
    if foreign := foreign - places.keys():
        secrets = (place for place, _value in secrets_in(layer.config) if place[: len(MODELS) + 1] in foreign)
        places |= dict.fromkeys(secrets, _Reason.MODELS_SECRET)
    return places


def _may_serve(owner: Layer, layer: Layer) -> bool:
    """Return whether the secrets of a layer's models may go to a provider. All trust the tenant's owners."""
    return owner is layer or owner.is_trusted or owner.name == "tenant"


def _sentence(reason: _Reason) -> str:
    if reason == _Reason.MODEL:
        return _(
            "this model of the layer %(layer)s is left out: models and keys of different owners do not go together"
        )
    if reason == _Reason.MODELS_SECRET:
        return _(
            "this secret of the layer %(layer)s is left out: its model's provider is of another layer, "
            "whose address others may change; define the provider in the same layer"
        )
    if reason == _Reason.ADDRESS_BELOW:
        return _(
            "this address of the layer %(layer)s is left out: a secret of a layer above stands beside it; "
            "set the address in the layer that has the secret"
        )
    return _("this address of the layer %(layer)s is left out: a secret of a layer below belongs to another address")


def has_items(config: Config) -> bool:
    """Return whether a config defines a provider or a model."""
    return any(any(named_items(config, kind)) for kind in ("api_providers", "models"))


def _items_with_secrets(config: Config) -> set[tuple[str, int]]:
    """Return the list and the number of each provider and model that has a secret besides its address."""
    return {
        (str(place[2]), int(place[3]))
        for place, _value in secrets_in(config)
        if place[:3] in (PROVIDERS, MODELS) and len(place) > 3
    }


def _without(value: Any, places: Collection[Place]) -> Any:
    """Return a copy of a document without the values in these places. It shares all unchanged parts."""
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
