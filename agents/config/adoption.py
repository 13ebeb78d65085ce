"""Taking over a config that was made elsewhere: as far as it can be kept, it is."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from agents.config import merging, rules, schema, system
from agents.config.document import Config, secret_places
from agents.config.schema import Place, path
from agents.errors import BadConfig
from maim.common.errors import FieldErrors


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
    try:
        faults = list(schema.faults(config))
    except BadConfig as error:  # there are too many of them to name
        _note(left_out, error.errors)
        return Adopted({}, left_out, warnings)
    for fault in faults:
        _note(left_out if fault.is_in_the_way else warnings, {path(fault.place): [fault.sentence]})
    result = merging.merge({}, _without(config, [fault.place for fault in faults if fault.is_in_the_way]))
    for holder, key, place in list(secret_places(result)):
        if not isinstance(holder[key], str | list):
            del holder[key]
            warnings.pop(place, None)
            _note(left_out, {place: [_("a secret is a text")]})
    for check in (_check_names, rules.check_size):
        try:
            check(result)
        except BadConfig as error:
            _note(warnings, error.errors)
    return Adopted(result, left_out, warnings)


def _check_names(config: Config) -> None:
    rules.check_names(config, {}, [system.defaults().layer])


def _without(config: Config, places: list[Place]) -> Config:
    if not places:
        return config
    config = copy.deepcopy(config)
    # From the end of each list, so that what is before keeps its number.
    for place in sorted(set(map(_removable, places)), key=_order, reverse=True):
        holder: Any = config
        for step in place[:-1]:
            holder = holder[step]
        del holder[place[-1]]
    return config


def _removable(place: Place) -> Place:
    """The item, where it is its name that is wrong."""
    return place[:-1] if place[-1] == "name" else place


def _order(place: Place) -> list[tuple[int, str]]:
    return [(step, "") if isinstance(step, int) else (-1, step) for step in place]


def _note(notes: dict[str, list[str]], errors: FieldErrors) -> None:
    for place, sentences in errors.items():
        notes.setdefault(place, []).extend(map(str, sentences))
