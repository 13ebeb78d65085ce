"""Taking over a config that was made elsewhere: as far as it can be kept, it is."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.utils.translation import gettext as _

from agent_config import merging, names, schema, secrets, system, validators
from agent_config.document import Config, section
from agent_config.errors import BadConfig
from agent_config.schema import Place, TooManyFaults, path
from core.errors import FieldErrors

_SECRET_TYPES = (str, list)


@dataclass(frozen=True)
class Adopted:
    """The config, unsealed; what had to be left out of it, and what was kept although it is wrong, by path."""

    config: Config
    left_out: dict[str, list[str]]
    warnings: dict[str, list[str]]


def adopted(config: Config) -> Adopted:
    """What of `config` can be stored. A bot that runs by a wrong value keeps it; it can be sent back as it is read.

    Left out is only what would be in the way of merging and of sealing. `config` is not changed.
    """
    left_out, warnings = dict[str, list[str]](), dict[str, list[str]]()
    config, reserved = secrets.without_reserved(config)
    for place in reserved:
        _note(left_out, {place: [_("this looks like a sealed secret, which only the server makes")]})
    try:
        faults = list(schema.faults(config))
    except TooManyFaults:
        found = schema.too_many()
        _note(left_out, {path(found.place): [found.sentence]})
        return Adopted({}, left_out, warnings)
    for fault in faults:
        _note(left_out if fault.is_in_the_way else warnings, {path(fault.place): [fault.sentence]})
    places = _topmost({_removable(fault.place) for fault in faults if fault.is_in_the_way})
    # What goes is emptied first, so that all else keeps its place while it is looked at.
    kept = _emptied(config, places) if places or _has_odd_secrets(config) else config
    for holder, key, place in list(_known_secrets(kept)):
        if not isinstance(holder[key], _SECRET_TYPES):
            del holder[key]
            warnings.pop(place, None)
            _note(left_out, {place: [_("a secret is a text")]})
    _warn(warnings, _check_names, kept)
    result = merging.merge({}, _without(kept, places))
    _warn(warnings, partial(validators.check_size, stored={}), result)
    return Adopted(result, left_out, warnings)


def _has_odd_secrets(config: Config) -> bool:
    return any(not isinstance(holder[key], _SECRET_TYPES) for holder, key, _place in _known_secrets(config))


def _known_secrets(config: Config) -> Iterator[tuple[Config, str, str]]:
    """Yield each secret of the schema that is set, as (the object that holds it, its key, its path).

    Here a number is none that could be sealed, while the rule about secrets holds it for no secret.
    """
    providers = section(config, "model").get("api_providers")
    for number, provider in enumerate(providers if isinstance(providers, list) else ()):
        for key in ("api_key", "base_url") if isinstance(provider, dict) else ():
            if provider.get(key):
                yield provider, key, f"config_overrides.model.api_providers[{number}].{key}"
    message = section(config, "maim_message")
    if message.get("auth_token"):
        yield message, "auth_token", "config_overrides.maim_message.auth_token"


def _check_names(config: Config) -> None:
    names.check_names(config, [[system.defaults().layer]], stored={}, sent=config)


def _warn(warnings: dict[str, list[str]], check: Callable[[Config], None], config: Config) -> None:
    try:
        check(config)
    except BadConfig as error:
        _note(warnings, error.errors)


def _removable(place: Place) -> Place:
    """The item, where it is its name that is wrong."""
    return place[:-1] if place[-1] == "name" else place


def _topmost(places: set[Place]) -> list[Place]:
    """Without those that are inside of others; from the end of each list, so that what is before keeps its number."""
    found = [place for place in places if not any(place[:length] in places for length in range(1, len(place)))]
    return sorted(found, key=_order, reverse=True)


def _order(place: Place) -> list[tuple[int, str]]:
    return [(step, "") if isinstance(step, int) else (-1, step) for step in place]


def _emptied(config: Config, places: list[Place]) -> Config:
    """A copy with an empty object in each of these places."""
    config = copy.deepcopy(config)
    for place in places:
        _holder(config, place)[place[-1]] = {}
    return config


def _without(config: Config, places: list[Place]) -> Config:
    """The config itself, from which these places are removed."""
    for place in places:
        del _holder(config, place)[place[-1]]
    return config


def _holder(config: Config, place: Place) -> Any:
    holder: Any = config
    for step in place[:-1]:
        holder = holder[step]
    return holder


def _note(notes: dict[str, list[str]], errors: FieldErrors) -> None:
    for place, sentences in errors.items():
        notes.setdefault(place, []).extend(map(str, sentences))
