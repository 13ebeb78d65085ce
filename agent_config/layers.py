"""Layers of configs, resolved into one effective config.

    system defaults ← template ← tenant defaults ← agent

Objects merge key by key, lists and scalars replace. The two lists of named items are joined: a layer adds its items to
those below. Only an operator's layer changes an item of another layer by using its name again. In any other layer, an
item whose name is taken below replaces that item and inherits nothing from it, so that an operator's key is never sent
to somebody else's `base_url`. Other ways to get at the key are closed by agent_config.trust.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from agent_config import trust
from agent_config.document import NAMED_LISTS, Config, is_object
from agent_config.items import folded
from agent_config.merging import persona_object, with_api_provider
from agent_config.schema import ConfigWarning


class Layer(NamedTuple):
    """A config and its owner: `name` is `default`, `template`, `tenant` or `agent`; an operator's is trusted."""

    name: str
    config: Config
    is_trusted: bool = False


Path = tuple[str, ...]
MAX_POINTER = 1000  # characters, because the pointers into an object of long keys take many times its own size


def lower_layers(
    defaults: Layer,
    *,
    tenant_id: str,
    tenant_defaults: Config,
    template_tenant_id: str | None,
    template_config: Config | None,
) -> list[Layer]:
    """Return the layers below an agent's own, lowest first: the system's, its template's and its tenant's.

    `template_config` is None for an agent without a template. A template of another tenant is ignored.
    """
    below = [defaults]
    if template_config is not None and template_tenant_id in (None, tenant_id):
        below.append(Layer("template", template_config, is_trusted=template_tenant_id is None))
    return [*below, Layer("tenant", tenant_defaults)]


def resolve(layers: Sequence[Layer]) -> Config:
    """Return the effective config of layers, lowest first. It shares parts with them and must not be changed."""
    result: Config = {}
    is_trusted = True
    for layer in trust.admitted(layers):
        is_trusted = is_trusted and layer.is_trusted  # an operator's item does not inherit from somebody else's either
        result = _merge(result, normalize(layer.config), (), is_trusted=is_trusted)
    return result


def sources(layers: Sequence[Layer], resolved: Config) -> dict[str, str]:
    """Return the layer that each leaf of a resolved config comes from, by its JSON pointer (RFC 6901).

    A leaf is a scalar, an empty object, a list other than those of named items, or an object whose pointer has more
    than MAX_POINTER characters. Takes time in proportion to the leaves and the layers.
    """
    topmost_first = [(layer.name, _indexed(normalize(layer.config))) for layer in reversed(trust.admitted(layers))]
    found: dict[str, str] = {}
    _find_sources(found, resolved, "", (), topmost_first)
    return found


def shadowed(layers: Sequence[Layer]) -> list[ConfigWarning]:
    """Return a warning for each provider and model whose name is taken by a layer below."""
    warnings: list[ConfigWarning] = []
    for path in NAMED_LISTS:
        seen: set[str] = set()
        for layer in layers:
            names = [(number, str(item["name"])) for number, item in enumerate(_items(layer.config, path))]
            if not layer.is_trusted:
                warnings += [
                    ConfigWarning(
                        f"{'.'.join(path)}[{number}].name",
                        _("%(name)s, of the layer %(layer)s, hides another of this name")
                        % {"name": name, "layer": layer.name},
                    )
                    for number, name in names
                    if folded(name) in seen
                ]
            seen |= {folded(name) for _number, name in names}
    return warnings


def normalize(config: Config) -> Config:
    """Return a config in which everything that has two spellings has the current one."""
    if isinstance(config.get("persona"), str):
        config = {**config, "persona": persona_object(config["persona"])}
    path = ("config_overrides", "model", "models")
    models = _items(config, path)
    if any("provider_name" in model for model in models):
        overrides = config["config_overrides"]
        spelled = {**overrides["model"], "models": [with_api_provider(model) for model in models]}
        config = {**config, "config_overrides": {**overrides, "model": spelled}}
    return config


def _merge(lower: Config, upper: Config, path: Path, *, is_trusted: bool) -> Config:
    result = dict(lower)
    for key, value in upper.items():
        here = (*path, key)
        below = result.get(key)
        if here in NAMED_LISTS and isinstance(value, list) and isinstance(below, list):
            result[key] = _join_items(below, value, here, is_trusted=is_trusted)
        elif is_object(value) and is_object(below):
            result[key] = _merge(below, value, here, is_trusted=is_trusted)
        else:
            result[key] = value
    return result


def _join_items(lower: list[Config], upper: list[Config], path: Path, *, is_trusted: bool) -> list[Config]:
    items = {folded(item["name"]): item for item in lower}
    for item in upper:
        name = folded(item["name"])
        below = items.get(name) if is_trusted else None
        items[name] = item if below is None else _merge(below, item, (*path, "*"), is_trusted=True)
    return list(items.values())


_Values = list[tuple[str, Any]]  # the values of one member by layer, topmost first, without layers that lack it


def _find_sources(found: dict[str, str], value: Any, pointer: str, path: Path, layers: _Values) -> None:
    """Add the source of every leaf in a resolved value, whose values in the layers are `layers`."""
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


def _within(layers: _Values, key: str) -> _Values:
    """Return the layers' values of a member."""
    members = ((name, value.get(key)) for name, value in layers if isinstance(value, dict))
    return [(name, member) for name, member in members if member is not None]


def _indexed(config: Config, path: Path = ()) -> Config:
    """Return a config with each list of named items as an object by folded name. Only these lists are copied."""
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
