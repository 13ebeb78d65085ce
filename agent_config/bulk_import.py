"""The import of configs that another system stored, which are kept as far as they can be stored here."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from django.utils.translation import gettext as _

from agent_config import merging, names, schema, secrets, system, validators
from agent_config.document import Config, section
from agent_config.errors import BadConfig
from agent_config.schema import Place, TooManyFaults, path
from agent_config.schema.paths import holder_of, topmost
from core.errors import FieldErrors

_SECRET_TYPES = (str, list)


@dataclass(frozen=True)
class ImportedConfig:
    """An imported config, not sealed yet, and the problems with it by path: values left out, and wrong values kept."""

    config: Config
    left_out: dict[str, list[str]]
    warnings: dict[str, list[str]]


def import_config(config: Config) -> ImportedConfig:
    """Return the part of `config` that can be stored, without changing `config` itself.

    Wrong values are kept, because bots run with them, and can be sent back as they are read. Only values that would
    prevent merging or sealing are left out.
    """
    left_out, warnings = dict[str, list[str]](), dict[str, list[str]]()
    config, reserved = secrets.without_reserved(config)
    for place in reserved:
        _note(left_out, {place: [_("this looks like a sealed secret, which only the server makes")]})
    try:
        faults = list(schema.faults(config))
    except TooManyFaults:
        found = schema.too_many_faults()
        _note(left_out, {path(found.place): [found.sentence]})
        return ImportedConfig({}, left_out, warnings)
    for fault in faults:
        _note(left_out if fault.blocks_merging else warnings, {path(fault.place): [fault.sentence]})
    places = topmost({_removable(fault.place) for fault in faults if fault.blocks_merging})
    # Values are emptied first and removed last, so that all others keep their paths while they are checked.
    kept = _emptied(config, places) if places or _has_odd_secrets(config) else config
    for holder, key, place in list(_known_secrets(kept)):
        if not isinstance(holder[key], _SECRET_TYPES):
            del holder[key]
            warnings.pop(place, None)
            _note(left_out, {place: [_("a secret is a text")]})
    _warn(warnings, _check_names, kept)
    for removed in places:
        del holder_of(kept, removed)[removed[-1]]
    result = merging.merge({}, kept)
    _warn(warnings, partial(validators.check_size, stored={}), result)
    return ImportedConfig(result, left_out, warnings)


def _has_odd_secrets(config: Config) -> bool:
    return any(not isinstance(holder[key], _SECRET_TYPES) for holder, key, _place in _known_secrets(config))


def _known_secrets(config: Config) -> Iterator[tuple[Config, str, str]]:
    """Yield each secret of the schema that is set, as (the object that holds it, its key, its path).

    These may be of any type here, while the rule about secrets covers texts and lists of texts only.
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
    """Return the place to remove for a fault: the whole item if its name is wrong."""
    return place[:-1] if place[-1] == "name" else place


def _emptied(config: Config, places: list[Place]) -> Config:
    """Return a copy with an empty object in each of these places."""
    config = copy.deepcopy(config)
    for place in places:
        holder_of(config, place)[place[-1]] = {}
    return config


def _note(notes: dict[str, list[str]], errors: FieldErrors) -> None:
    for place, sentences in errors.items():
        notes.setdefault(place, []).extend(map(str, sentences))
