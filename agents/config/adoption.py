"""Taking over a config that was made elsewhere: as far as it can be kept, it is."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from agents.config import merging, rules, schema, system
from agents.config.document import Config, secret_places
from agents.config.schema import Fault, Place, path
from agents.errors import BadConfig
from maim.common.errors import FieldErrors


@dataclass(frozen=True)
class Adopted:
    """The config, unsealed; what had to be left out of it, and what was kept although it is wrong, by path."""

    config: Config
    left_out: dict[str, list[str]] = field(default_factory=dict)
    warnings: dict[str, list[str]] = field(default_factory=dict)


def adopted(config: Config) -> Adopted:
    """What of `config` can be stored. A bot that runs by a wrong value keeps it; it can be sent back as it is read.

    Left out is only what would be in the way of merging and of sealing.
    """
    found = Adopted(copy.deepcopy(config))
    try:
        faults = list(schema.faults(found.config))
    except BadConfig as error:  # there are too many of them to name
        _note(found.left_out, error.errors)
        return Adopted({}, found.left_out)
    for fault in faults:
        _note(found.left_out if fault.is_in_the_way else found.warnings, {path(fault.place): [fault.sentence]})
    _remove(found.config, [fault for fault in faults if fault.is_in_the_way])
    for holder, key, place in list(secret_places(found.config)):
        if not isinstance(holder[key], str | list):
            del holder[key]
            found.warnings.pop(place, None)
            _note(found.left_out, {place: [_("a secret is a text")]})
    result = merging.merge({}, found.config)
    try:
        rules.check_names(result, {}, [system.defaults().layer])
    except BadConfig as error:
        _note(found.warnings, error.errors)
    try:
        rules.check_size(result)
    except BadConfig as error:
        _note(found.warnings, error.errors)
    return Adopted(result, found.left_out, found.warnings)


def _remove(config: Config, faults: list[Fault]) -> None:
    # From the end of each list, so that what is before keeps its number.
    for place in sorted({_removable(fault.place) for fault in faults}, key=_order, reverse=True):
        holder: Any = config
        for step in place[:-1]:
            holder = holder[step]
        del holder[place[-1]]


def _removable(place: Place) -> Place:
    """The item, where it is its name that is wrong."""
    return place[:-1] if place[-1] == "name" else place


def _order(place: Place) -> list[tuple[int, str]]:
    return [(step, "") if isinstance(step, int) else (-1, step) for step in place]


def _note(notes: dict[str, list[str]], errors: FieldErrors) -> None:
    for place, sentences in errors.items():
        notes.setdefault(place, []).extend(map(str, sentences))
