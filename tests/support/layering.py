"""Hypothesis strategies for similar layers, and an independent model of their sources."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from agent_config.items import folded
from agent_config.layers import Layer, normalize
from tests.support.configs import Config

Path = tuple[str, ...]
LISTS = (("config_overrides", "model", "api_providers"), ("config_overrides", "model", "models"))
NAMES = ("x", "X", "caf\u00e9", "CAFE\u0301", "a/b~c")
KEYS = ("a", "b", "a/b", "m~n", "~1", "", "0", "__proto__", "$sealed")
MISSING = object()


# ---- layers that have much in common


_SCALARS = st.sampled_from((0, 1, True, 1.0, "", "x", [], [1], [{"name": "x"}], {}))
_KEYS = st.sampled_from(KEYS)
_VALUES = _SCALARS | st.dictionaries(_KEYS, _SCALARS | st.dictionaries(_KEYS, _SCALARS, max_size=2), max_size=2)
_OBJECTS = st.dictionaries(_KEYS, _VALUES, max_size=2)


def objects() -> SearchStrategy[Config]:
    """Return objects with few different keys, so that layers often have the same ones."""
    return _OBJECTS


def _named(*keys: str) -> SearchStrategy[list[Config]]:
    """Return lists of items with few different names and keys, whose folded names are distinct."""
    item = st.fixed_dictionaries({"name": st.sampled_from(NAMES)}, optional=dict.fromkeys(keys, _VALUES))
    return st.lists(item, max_size=2, unique_by=lambda each: folded(each["name"]))


_SECTIONS = st.fixed_dictionaries(
    {"api_providers": _named("a", "__proto__")},
    optional={"models": _named("api_provider", "provider_name"), "model_task_config": _OBJECTS},
)
_OVERRIDES = st.fixed_dictionaries({"model": _SECTIONS}, optional={"own": _VALUES})
_KNOWN = st.fixed_dictionaries(
    {"config_overrides": _OVERRIDES}, optional={"persona": st.sampled_from(("", "cheerful")) | _OBJECTS}
)
_CONFIGS = _OBJECTS | st.builds(lambda others, known: {**others, **known}, _OBJECTS, _KNOWN)


def layer_configs() -> SearchStrategy[Config]:
    """Return configs for one layer."""
    return _CONFIGS


@st.composite
def stacks(draw: st.DrawFn, of: Callable[[], SearchStrategy[Config]] = layer_configs) -> list[Layer]:
    """Draw four layers, whose template is an operator's or a tenant's."""
    drawn = [draw(of()) for _ in range(4)]
    trusted = (True, draw(st.booleans()), False, False)
    names = ("default", "template", "tenant", "agent")
    return [Layer(*parts) for parts in zip(names, drawn, trusted, strict=True)]


# ---- the model of layers


def by_name(config: Any, path: Path = ()) -> Any:
    """Return a config with each list of named items as an object by folded name."""
    if path in LISTS and isinstance(config, list):
        return {folded(item["name"]): item for item in config}
    if isinstance(config, dict):
        return {key: by_name(member, (*path, key)) for key, member in config.items()}
    return config


def differences(before: Any, after: Any, path: Path = ()) -> set[Path]:
    """Return the paths where two documents differ; 1, 1.0 and true differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        found: set[Path] = set()
        for key in before.keys() | after.keys():
            found |= differences(before.get(key, MISSING), after.get(key, MISSING), (*path, key))
        return found
    is_same = MISSING not in (before, after) and json.dumps(before) == json.dumps(after)
    return set() if is_same else {path}


def leaves(value: Any, pointer: str = "", path: Path = ()) -> Iterator[str]:
    """Yield the JSON pointers (RFC 6901) of the scalars, empty objects, and lists other than those of named items."""
    members: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        members = list(value.items())
    elif isinstance(value, list) and (path in LISTS or path[:-1] in LISTS):
        members = [(str(number), member) for number, member in enumerate(value)] if path in LISTS else []
    if not members:
        yield pointer
    for key, member in members:
        yield from leaves(member, f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}", (*path, key))


def located(pointer: str, config: Config) -> Path:
    """Return the path in `by_name(config)` of a pointer into a config."""
    path: list[str] = []
    value: Any = config
    for escaped in pointer.split("/")[1:]:
        step = escaped.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list):
            value = value[int(step)]
            path.append(folded(value["name"]))
        else:
            value = value[step]
            path.append(step)
    return tuple(path)


def is_name(path: Path) -> bool:
    """Return whether a path is of a named item's name."""
    return path[:3] in LISTS and path[4:] == ("name",)


def without(config: Config, path: Path) -> Config:
    """Return a layer's config without the value at a path, or without the whole item if that is its name."""
    result = copy.deepcopy(normalize(config))
    value: Any = result
    for depth, step in enumerate(path[:-1]):
        if path[:depth] in LISTS:
            number = next(n for n, item in enumerate(value) if folded(item["name"]) == step)
            if is_name(path):
                del value[number]
                return result
            value = value[number]
        else:
            value = value[step]
    del value[path[-1]]
    return result
