"""Warnings about stored configs, for the views that show them.

They depend on the config, on the language and, where the config names models, on the layers below it. Each worker
caches them for as long as none of these changes, so that a list of a hundred agents is hardly slower with them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from threading import Lock
from typing import Any, NamedTuple

import orjson
from cachetools import LRUCache
from django.utils.translation import get_language

from agent_config import schema, system
from agent_config.document import Config
from agent_config.layers import Layer
from agent_config.schema import ConfigWarning
from agent_config.updates import lint_config
from agents.effective_config import ConfigState, get_lower_layers, get_states
from agents.models import Agent, Template
from core import primary

# Lists skip configs of more values, or more objects and lists, because a page of the largest would take many seconds.
MAX_LISTED_VALUES = 500
_MAX_CACHED = 20_000  # configs and warnings


class StoredConfig(NamedTuple):
    """A reader of an agent's config, and the state of its layers."""

    state: ConfigState
    revision: int
    read: Callable[[], Config]


def parsed_later(config_json: str) -> Callable[[], Config]:
    """Return a reader of JSON that keeps no parsed config, since a hundred would fill 60 MB."""
    return lambda: orjson.loads(config_json)


class _Result(NamedTuple):
    """The warnings about a config; None where a list was asked for, and the config is too large for it."""

    warnings: Sequence[ConfigWarning] | None


_cache: LRUCache[Hashable, _Result] = LRUCache(_MAX_CACHED, getsizeof=lambda result: 1 + len(result.warnings or ()))
_cache_lock = Lock()


def find_warnings(agent: Agent) -> None:
    """Find the warnings about the config of an agent that was read; those that a write has found are kept.

    Costs a query. Not for use in a transaction that has written: the result is cached, and the transaction may be
    rolled back.
    """
    if agent.found_warnings is None:
        state = get_states([agent.id]).get(agent.id)
        found = [] if state is None else get_warnings(StoredConfig(state, agent.revision, lambda: agent.config))
        agent.found_warnings = found


def get_warnings(stored: StoredConfig) -> Sequence[ConfigWarning]:
    """Return the warnings about a config."""
    [warnings] = _of_agents([stored], in_list=False)
    return warnings or []


def get_listed_warnings(configs: Sequence[StoredConfig]) -> list[Sequence[ConfigWarning] | None]:
    """Return the warnings about each config; None for one that is too large for a list.

    Where a config names models, the layers below it may be no larger either.
    """
    return _of_agents(configs, in_list=True)


def find_template_warnings(template: Template) -> None:
    """Find the warnings about the config of a template that was read; those that a write has found are kept."""
    if template.found_warnings is None:
        template.found_warnings = _of_template(template, lambda: template.config, in_list=False) or []


def get_listed_template_warnings(template: Template, read: Callable[[], Config]) -> Sequence[ConfigWarning] | None:
    """Return the warnings about the config of a template; None if it is too large for a list."""
    return _of_template(template, read, in_list=True)


def _of_agents(configs: Sequence[StoredConfig], *, in_list: bool) -> list[Sequence[ConfigWarning] | None]:
    contexts = {name: _context(name) for name in {each.state.schema_name for each in configs}}
    keys = [(each.state, each.revision, *contexts[each.state.schema_name]) for each in configs]
    cached = [_get_cached(key, in_list=in_list) for key in keys]
    needed = [
        each.state
        for each, result in zip(configs, cached, strict=True)
        if result is None and schema.names_others(each.read())
    ]
    below = get_lower_layers(needed) if needed else {}
    sizes = dict[int, bool]()
    return [
        (
            result
            or _lint(
                key,
                each.read(),
                below.get(each.state.agent_id, ()),
                sizes,
                in_list=in_list,
                schema_name=each.state.schema_name,
            )
        ).warnings
        for key, each, result in zip(keys, configs, cached, strict=True)
    ]


def _of_template(template: Template, read: Callable[[], Config], *, in_list: bool) -> Sequence[ConfigWarning] | None:
    name = template.schema_name
    key = (template.pk, template.revision, name, *_context(name))
    result = _get_cached(key, in_list=in_list) or _lint(
        key,
        read(),
        [system.defaults(name).layer],
        {},
        in_list=in_list,
        schema_name=name,
        is_trusted=template.tenant_id is None,
    )
    return result.warnings


def _context(schema_name: str) -> tuple[str, str | None, Hashable]:
    """Return what warnings depend on besides a row and its layers."""
    return system.defaults(schema_name).fingerprint, get_language(), primary.server()


def _get_cached(key: Hashable, *, in_list: bool) -> _Result | None:
    """Return the cached result. That a config is too large for a list counts for lists only."""
    with _cache_lock:
        result = _cache.get(key)
    return result if in_list or result is None or result.warnings is not None else None


def _lint(
    key: Hashable,
    config: Config,
    below: Sequence[Layer],
    sizes: dict[int, bool],
    *,
    in_list: bool,
    schema_name: str,
    is_trusted: bool = False,
) -> _Result:
    """Return the warnings about a config over the layers below it. Large configs are skipped in lists, and not cached.

    `sizes` keeps which layers are large, by the identities of their configs.
    """
    is_large = _is_large(config)
    for layer in below:
        if layer.name != "default":  # the operators' own
            if id(layer.config) not in sizes:
                sizes[id(layer.config)] = _is_large(layer.config)
            is_large = is_large or sizes[id(layer.config)]
    if is_large and in_list:
        result = _Result(None)
    else:
        result = _Result(lint_config(config, below, schema_name=schema_name, is_trusted=is_trusted))
        if is_large:
            return result
    with _cache_lock, suppress(ValueError):  # raised for a result that is larger than the whole cache
        _cache[key] = result
    return result


def _is_large(config: Config) -> bool:
    left: list[Any] = [config]
    values = containers = 0
    while left and values <= MAX_LISTED_VALUES and containers <= MAX_LISTED_VALUES:
        value = left.pop()
        members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        if members:
            containers += 1
            left += members
        else:
            values += 1
    return values > MAX_LISTED_VALUES or containers > MAX_LISTED_VALUES
