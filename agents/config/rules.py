"""What a config may not say, whatever its schema: sizes, and names that belong to a layer below."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from django.utils.translation import gettext as _

from agents.config import secrets
from agents.config.document import Config, section
from agents.config.layers import Layer
from agents.errors import BadConfig
from maim.common import sealing
from maim.common.text import fold

MAX_BYTES = 256 * 1024
MAX_LEAVES = 5000


def check_names(sent: Config, stored: Config, below: Sequence[Layer]) -> None:
    """Raises BadConfig if a sent provider or model takes a name of a layer below, or uses an operator's provider.

    A bot would send the operator's key to whatever `base_url` a namesake of its provider gives. What is stored
    already may be sent again: the name was taken later, and such an item inherits nothing (agents.config.layers).
    """
    errors: dict[str, list[str]] = {}
    providers, models, operators = set[str](), set[str](), set[str]()
    for layer in below:
        theirs = section(layer.config, "model")
        names = {_folded(item.get("name")) for item in _items(theirs, "api_providers")} - {""}
        providers |= names
        models |= {_folded(item.get("name")) for item in _items(theirs, "models")} - {""}
        if layer.is_trusted:
            operators |= names
    model, before = section(sent, "model"), section(stored, "model")
    providers -= {_folded(item.get("name")) for item in _items(before, "api_providers")}
    used_before = defaultdict[str, set[str]](set)
    for item in _items(before, "models"):
        used_before[_folded(item.get("name"))].add(_folded(item.get("api_provider")))
    models -= used_before.keys()
    for number, provider in enumerate(_items(model, "api_providers")):
        if _folded(provider.get("name")) in providers:
            errors[f"config_overrides.model.api_providers[{number}].name"] = [
                _("the system, the template or the tenant has a provider of this name")
            ]
    for number, item in enumerate(_items(model, "models")):
        path = f"config_overrides.model.models[{number}]"
        if _folded(item.get("name")) in models:
            errors[f"{path}.name"] = [_("the system, the template or the tenant has a model of this name")]
        for key in ("api_provider", "provider_name"):
            used = _folded(item.get(key))
            if used in operators and used not in used_before.get(_folded(item.get("name")), ()):
                errors[f"{path}.{key}"] = [_("a model of your own needs a provider of your own")]
    if errors:
        raise BadConfig(errors)


def check_sent(sent: Config, stored: Config) -> None:
    """Raise BadConfig if so much is sent that it could be no change of `stored`, before any of it is looked at.

    What a config may hold is for `check_size` to say, once it is merged. Up to there as many values again, which are
    null, may remove what is stored.
    """
    if _has_more_values(sent, MAX_LEAVES + max(MAX_LEAVES, _values(stored))):
        raise BadConfig({"config": [_("the config may have at most 5,000 values")]})


def check_size(config: Config, stored: Config) -> None:
    """Raises BadConfig if the config is larger than MAX_BYTES, or has more than MAX_LEAVES values.

    One that was taken over with more may be changed, but does not grow.
    """
    if _size(config) > MAX_BYTES and _size(_opened(config)) > max(MAX_BYTES, _size(_opened(stored))):
        raise BadConfig({"config": [_("the config may have at most 256 KiB")]})
    if (number := _values(config)) > MAX_LEAVES and number > _values(stored):
        raise BadConfig({"config": [_("the config may have at most 5,000 values")]})


def _size(config: Config) -> int:
    return len(json.dumps(config, ensure_ascii=False, separators=(",", ":")).encode())


def _values(config: Config) -> int:
    return sum(1 for _value in _leaves(config))


def _has_more_values(config: Config, number: int) -> bool:
    return next(islice(_leaves(config), number, None), _NOTHING) is not _NOTHING


def _opened(config: Config) -> Config:
    """With its secrets as they were sent, which is shorter than they are stored."""
    try:
        return secrets.opened(config)
    except sealing.Unsealable:
        return config


_NOTHING = object()


def _leaves(config: Config) -> Iterator[Any]:
    """Yield every value that has none within it, in any order."""
    left: list[Any] = [config]
    while left:
        value = left.pop()
        members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        if members:
            left += members
        else:
            yield value


def _items(model: Config, name: str) -> list[dict[str, Any]]:
    found = model.get(name)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _folded(name: Any) -> str:
    return fold(name) if isinstance(name, str) else ""
