"""What a bot's config is, and why: layers, each over the one before.

    system defaults ← template ← tenant defaults ← agent

Objects merge key by key, lists and scalars replace. The two lists of named items are joined: a layer adds
to what is below it. Only an operator's layer changes the items of another by naming them again; of anybody
else's, an item under a name that is taken below stands alone, and inherits nothing: the operator's key
never goes with somebody else's `base_url`. What would lead to it in another way is left out (agent_config.trust).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from agent_config import trust
from agent_config.document import NAMED_LISTS, Config, is_object
from agent_config.items import folded
from agent_config.merging import one_spelling, persona_object
from agent_config.schema import Notice


class Layer(NamedTuple):
    """One layer: `name` is `default`, `template`, `tenant` or `agent`; an operator's is trusted."""

    name: str
    config: Config
    is_trusted: bool = False


Path = tuple[str, ...]
MAX_POINTER = 1000  # characters; else an object of long keys would be told of in many times its own size


def resolve(layers: Sequence[Layer]) -> Config:
    """The config that the layers, lowest first, make together. They are not changed, but shared: read only."""
    result: Config = {}
    is_trusted = True
    for layer in trust.admitted(layers):
        is_trusted = is_trusted and layer.is_trusted  # over somebody else's item an operator's stands alone, too
        result = _over(result, normal(layer.config), (), is_trusted=is_trusted)
    return result


def sources(layers: Sequence[Layer], resolved: Config) -> dict[str, str]:
    """Return which layer each leaf of what `resolve` made comes from, by its JSON pointer (RFC 6901).

    A leaf is a scalar, a list (but for the lists of named items, which are joined), an empty object, or an object
    whose pointer has more than MAX_POINTER characters. Takes time in proportion to the leaves and the layers.
    """
    topmost_first = [(layer.name, _indexed(normal(layer.config))) for layer in reversed(trust.admitted(layers))]
    found: dict[str, str] = {}
    _find_sources(found, resolved, "", (), topmost_first)
    return found


def shadowed(layers: Sequence[Layer]) -> list[Notice]:
    """The providers and models that take a name which a layer below has given."""
    notices: list[Notice] = []
    for path in NAMED_LISTS:
        seen: set[str] = set()
        for layer in layers:
            names = [(number, str(item["name"])) for number, item in enumerate(_items(layer.config, path))]
            if not layer.is_trusted:
                notices += [
                    Notice(
                        f"{'.'.join(path)}[{number}].name",
                        _("%(name)s, of the layer %(layer)s, hides another of this name")
                        % {"name": name, "layer": layer.name},
                    )
                    for number, name in names
                    if folded(name) in seen
                ]
            seen |= {folded(name) for _number, name in names}
    return notices


def normal(config: Config) -> Config:
    """The config with what can be written in two ways written in one."""
    if isinstance(config.get("persona"), str):
        config = {**config, "persona": persona_object(config["persona"])}
    path = ("config_overrides", "model", "models")
    models = _items(config, path)
    if any("provider_name" in model for model in models):
        overrides = config["config_overrides"]
        spelled = {**overrides["model"], "models": [one_spelling(model) for model in models]}
        config = {**config, "config_overrides": {**overrides, "model": spelled}}
    return config


def _over(lower: Config, upper: Config, path: Path, *, is_trusted: bool) -> Config:
    result = dict(lower)
    for key, value in upper.items():
        here = (*path, key)
        below = result.get(key)
        if here in NAMED_LISTS and isinstance(value, list) and isinstance(below, list):
            result[key] = _joined(below, value, here, is_trusted=is_trusted)
        elif is_object(value) and is_object(below):
            result[key] = _over(below, value, here, is_trusted=is_trusted)
        else:
            result[key] = value
    return result


def _joined(lower: list[Config], upper: list[Config], path: Path, *, is_trusted: bool) -> list[Config]:
    items = {folded(item["name"]): item for item in lower}
    for item in upper:
        name = folded(item["name"])
        below = items.get(name) if is_trusted else None
        items[name] = item if below is None else _over(below, item, (*path, "*"), is_trusted=True)
    return list(items.values())


_Below = list[tuple[str, Any]]  # what each layer that has a value says of it, topmost first


def _find_sources(found: dict[str, str], value: Any, pointer: str, path: Path, layers: _Below) -> None:
    """Add the source of every leaf within a resolved value, of which `layers` are those that have it."""
    if isinstance(value, dict) and value and len(pointer) <= MAX_POINTER:
        for key, member in value.items():
            _find_sources(found, member, f"{pointer}/{_escaped(key)}", (*path, key), _within(layers, key))
    elif path in NAMED_LISTS and isinstance(value, list) and value:
        for number, item in enumerate(value):
            of_item = _within(layers, folded(item["name"]))
            for key, member in item.items():
                here = f"{pointer}/{number}/{_escaped(key)}"
                _find_sources(found, member, here, (*path, item["name"], key), _within(of_item, key))
    else:
        found[pointer] = layers[0][0]


def _within(layers: _Below, key: str) -> _Below:
    """Return what the layers say of a member, without those that do not have it."""
    members = ((name, value.get(key)) for name, value in layers if isinstance(value, dict))
    return [(name, member) for name, member in members if member is not None]


def _indexed(config: Config, path: Path = ()) -> Config:
    """Return the config with each list of named items as an object by folded name. Only these are copied."""
    found = dict(config)
    for key in {known[len(path)] for known in NAMED_LISTS if known[: len(path)] == path} & config.keys():
        here, value = (*path, key), config[key]
        if here in NAMED_LISTS and isinstance(value, list):
            items: Config = {}
            for item in value:
                name = folded(item["name"])
                items[name] = {**items.get(name, {}), **item}
            found[key] = items
        elif isinstance(value, dict):
            found[key] = _indexed(value, here)
    return found


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _items(config: Config, path: Path) -> list[Config]:
    value: Any = config
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, list) else []
