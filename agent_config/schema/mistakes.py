"""Warnings about what people get wrong when they move a bot's settings: places, names, keys, addresses, rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import lru_cache
from itertools import islice
from typing import Any

from django.utils.translation import gettext as _

from agent_config.document import NAMED_LISTS, Config, section
from agent_config.schema.lint import Finding, named_models
from agent_config.schema.objects import OpenObject, nested_object
from agent_config.schema.paths import MODEL, Place
from agent_config.schema.unknown import unknown_members
from agent_config.schema.versions import NAMES, get_schema

# Names of a bot's file whose place in a config has another name.
_RENAMED = {"personality": "persona", "bot": "bot_overrides"}
_ROW_LENGTH = 4  # of `learning_list` in 0.12: the chat, use, learn, and how strongly
_MAX_SUGGESTIONS = 100  # in one config, because each takes a millisecond
_LONGEST_NAME = 50
_LONGEST_KEY = 500
_PLACEHOLDER = re.compile(
    r"(sk-)?(your[-_ ]|my[-_ ]|xxx|yyy|\.{3}|\*{3}(?!\*{5}$))|<.{0,40}>|"
    r".{0,40}(api[-_ ]?key[-_ ]?here|替换|填写|填入|你的|您的)|"
    r"(changeme|placeholder|none|null|todo|test|example)$",
    re.IGNORECASE,
)


def probable_mistakes(config: Config, schema_name: str, *, needs_keys: bool) -> Iterator[Finding]:
    """Yield a finding for each value that is probably a mistake, in time in proportion to the config.

    With `needs_keys`, a provider without a key is one.
    """
    yield from _misplaced(config)
    yield from islice(_misspelled(config, schema_name), _MAX_SUGGESTIONS)
    yield from _incomplete_models(config, needs_keys=needs_keys)
    yield from _short_rows(config)


def unknown_providers(config: Config, resolved: Config) -> Iterator[Finding]:
    """Yield a finding for each model in use whose provider the resolved config does not have."""
    names = {item["name"] for _number, item in _items(resolved, "api_providers")}
    used = {name for _place, name in named_models(resolved)}
    for number, item in _items(config, "models"):
        provider = item.get("api_provider")
        if isinstance(provider, str) and provider and provider not in names and item["name"] in used:
            yield Finding((*MODEL, "models", number, "api_provider"), _("no provider has this name"))


def names_others(config: Config) -> bool:
    """Return whether a config names models or providers, which may be in a layer below."""
    return next(named_models(config), None) is not None or any(
        item.get("api_provider") for _number, item in _items(config, "models")
    )


def _misplaced(config: Config) -> Iterator[Finding]:
    """Yield a finding for each section of a bot's file at the top of a config, where it has no effect."""
    for name, value in config.items():
        if not isinstance(value, dict):
            continue
        place = _RENAMED.get(name) or (f"config_overrides.{name}" if name in _all_sections() else None)
        if place is not None:
            yield Finding((name,), _("has no effect here; it belongs to %(place)s") % {"place": place})


def _misspelled(config: Config, schema_name: str) -> Iterator[Finding]:
    """Yield a finding for each unknown field whose name is near a known one, and that no other schema knows."""
    misplaced = {finding.place for finding in _misplaced(config)}
    for place, kind in unknown_members(get_schema(schema_name).root, config):
        name = str(place[-1])
        if name == "api_keys":  # of a provider, which is documented
            continue
        near = _near_name(name, kind) if len(name) <= _LONGEST_NAME else None
        if near is not None and place not in misplaced and not _is_known_to_another(place, schema_name):
            yield Finding(place, _("not known; did you mean %(name)s?") % {"name": near})


@lru_cache(maxsize=10_000)
def _near_name(name: str, kind: type[OpenObject]) -> str | None:
    known = list(kind.model_fields)
    folded = name.replace("-", "_").lower()
    return folded if folded in known else next(iter(get_close_matches(folded, known, n=1, cutoff=0.8)), None)


def _is_known_to_another(place: Place, schema_name: str) -> bool:
    return any(_knows(get_schema(name).root, place) for name in NAMES if name != schema_name)


def _knows(kind: type[OpenObject] | None, place: Place) -> bool:
    for step in place:
        if isinstance(step, int):
            continue
        known = kind.model_fields.get(step) if kind is not None else None
        if known is None:
            return False
        kind = nested_object(known)[0]
    return True


@lru_cache(maxsize=1)
def _all_sections() -> frozenset[str]:
    kinds = (nested_object(get_schema(name).root.model_fields["config_overrides"])[0] for name in NAMES)
    return frozenset(name for kind in kinds if kind is not None for name in kind.model_fields)


def _incomplete_models(config: Config, *, needs_keys: bool) -> Iterator[Finding]:
    """Yield findings about the models that the config's tasks name, and about all providers."""
    used = {name for _place, name in named_models(config)}
    providers: set[str] = set()
    for number, item in _items(config, "models"):
        if item["name"] not in used:
            continue
        place = (*MODEL, "models", number)
        provider = item.get("api_provider", item.get("provider_name"))
        if isinstance(provider, str):
            providers.add(provider)
        if not item.get("model_identifier"):
            yield Finding((*place, "model_identifier"), _("a model needs the name that its provider gives it"))
        if not provider:
            yield Finding((*place, "api_provider"), _("a model needs a provider"))
    for number, item in _items(config, "api_providers"):
        is_used = item["name"] in providers
        yield from _odd_provider(item, (*MODEL, "api_providers", number), needs_keys=needs_keys and is_used)


def _odd_provider(provider: Config, place: Place, *, needs_keys: bool) -> Iterator[Finding]:
    key, keys = provider.get("api_key"), provider.get("api_keys")
    if key or keys:
        yield from _odd_keys(key, keys, place)
    elif needs_keys and provider.get("auth_type") != "none":
        yield Finding((*place, "api_key"), _("the provider has no key"))


def _odd_keys(key: Any, keys: Any, place: Place) -> Iterator[Finding]:
    places: Iterable[tuple[Place, Any]] = (((*place, "api_key"), key),)
    if isinstance(keys, list):
        places = (*places, *(((*place, "api_keys", number), each) for number, each in enumerate(keys)))
    for here, each in places:
        if not isinstance(each, str) or not each or len(each) > _LONGEST_KEY:
            continue
        if each != each.strip() or re.search(r"\s", each):
            yield Finding(here, _("a key has no blanks or line breaks"))
        elif _PLACEHOLDER.match(each):
            yield Finding(here, _("this looks like a placeholder, and not like a key"))


def _short_rows(config: Config) -> Iterator[Finding]:
    """Yield a finding for each row of 0.12's `learning_list` that is shorter than the bot reads."""
    rows = section(config, "expression").get("learning_list")
    for number, row in enumerate(rows if isinstance(rows, list) else ()):
        if isinstance(row, list) and 1 < len(row) < _ROW_LENGTH:
            place = ("config_overrides", "expression", "learning_list", number)
            sentence = _('the bot reads four texts: chat, enable or disable, enable or disable, and a number as "1.0"')
            yield Finding(place, sentence)


def _items(config: Config, kind: str) -> Iterator[tuple[int, Config]]:
    """Yield the named items of `models` or `api_providers`, with their numbers."""
    assert (*MODEL, kind) in NAMED_LISTS
    found = section(config, "model").get(kind)
    for number, item in enumerate(found if isinstance(found, list) else ()):
        if isinstance(item, dict) and isinstance(item.get("name"), str):
            yield number, item
