"""The validation of configs against the schema: errors, warnings, and values that can be corrected."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

from django.utils.translation import gettext as _
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from agent_config.document import NAMED_LISTS, SECTIONS, Config
from agent_config.merging import persona_object
from agent_config.schema.formats import FORMAT_ERROR, REGEX_ERROR, RegexBudget
from agent_config.schema.lint import ConfigWarning, Finding, unusual_values
from agent_config.schema.mistakes import probable_mistakes
from agent_config.schema.paths import Place, path
from agent_config.schema.versions import DEFAULT, get_schema
from core.strict_json import MAX_INTEGER, MIN_INTEGER

MAX_PROBLEMS = 5_000  # named one by one: as many as a config may have leaves


class Fault(NamedTuple):
    """A value that does not match the schema.

    It is either refused or gets a warning. One that `blocks_merging` keeps the config from being merged with others.
    A `replacement` other than None is a value of the right type that the value stands for.
    """

    place: Place
    sentence: str
    is_refused: bool
    blocks_merging: bool
    replacement: Any


class TooManyFaults(Exception):
    """More than MAX_PROBLEMS faults in one config."""


class ValidationResult(NamedTuple):
    """The findings about a config, and the replacements of values that stand for others."""

    replacements: list[tuple[Place, Any]]
    errors: list[Finding]
    warnings: list[Finding]


def validate(config: Config, stored: Config, schema_name: str = DEFAULT) -> ValidationResult:
    """Validate a config that is to replace `stored`; the secrets of both are in clear.

    A value that `stored` has in the same place gets a warning at most, so that a config that was imported with faults
    can be sent back as it was read. Only the objects and names by which configs are merged must always be valid.
    """
    before = _Stored(stored)
    errors: list[Finding] = []
    warnings: list[Finding] = []
    replacements: list[tuple[Place, Any]] = []
    try:
        for fault in faults(config, schema_name):
            is_kept = not fault.blocks_merging and before.has(fault.place, config)
            if not fault.is_refused or is_kept:
                warnings.append(Finding(fault.place, fault.sentence))
            elif fault.replacement is None:
                errors.append(Finding(fault.place, fault.sentence))
            else:
                replacements.append((fault.place, fault.replacement))
    except TooManyFaults:
        return ValidationResult([], [too_many_faults()], [])
    found = _with_unusual_values(warnings, replace_values(config, replacements), schema_name)
    return ValidationResult(replacements, errors, found)


def warnings(config: Config, schema_name: str = DEFAULT, *, needs_keys: bool = True) -> list[ConfigWarning]:
    """Return the warnings about a config, including faults that would be refused if it were sent.

    Without `needs_keys`, its providers may lack keys, as maim's built-in ones do.
    """
    try:
        found = [Finding(fault.place, fault.sentence) for fault in faults(config, schema_name)]
    except TooManyFaults:
        found = [too_many_faults()]
    found = _with_unusual_values(found, config, schema_name, needs_keys=needs_keys)
    return [ConfigWarning(path(place), sentence) for place, sentence in found]


def faults(config: Config, schema_name: str = DEFAULT) -> Iterator[Fault]:
    """Yield the values of a config that do not match the schema. Raise TooManyFaults."""
    yield from _invalid(config, schema_name)
    for place in _repeated_names(config):
        yield Fault(
            place, _("this name occurs twice in the list"), is_refused=True, blocks_merging=True, replacement=None
        )


def is_mergeable(config: Config) -> bool:
    """Return whether all that is merged by key are objects, and the items of named lists have distinct names."""
    overrides = config.get("config_overrides")
    objects = [persona_object(config.get("persona")), config.get("bot_overrides"), overrides]
    if isinstance(overrides, dict):
        objects += [overrides.get(name) for name in SECTIONS]
    if not all(each is None or isinstance(each, dict) for each in objects):
        return False
    for place in NAMED_LISTS:
        items = _at(config, place)
        if items is _NOWHERE or items is None:
            continue
        names = [_name(item) for item in items] if isinstance(items, list) else [None]
        if not all(names) or len(set(names)) < len(names):
            return False
    return True


def too_many_faults() -> Finding:
    """Return the finding that stands for more than MAX_PROBLEMS faults."""
    return Finding(("config",), _("more than %(number)s of its values are wrong") % {"number": MAX_PROBLEMS})


def _with_unusual_values(
    found: list[Finding], config: Config, schema_name: str, *, needs_keys: bool = True
) -> list[Finding]:
    """Return the findings, and those about unusual values and probable mistakes in other places."""
    places = {finding.place for finding in found}
    more = chain(unusual_values(config, schema_name), probable_mistakes(config, schema_name, needs_keys=needs_keys))
    return [*found, *(finding for finding in more if finding.place not in places)]


def _invalid(config: Config, schema_name: str) -> Iterator[Fault]:
    try:
        get_schema(schema_name).root.model_validate(config, context=RegexBudget())
    except ValidationError as error:
        if error.error_count() > MAX_PROBLEMS:
            raise TooManyFaults from error
        for details in error.errors(include_url=False):
            kind, place, value = details["type"], details["loc"], details["input"]
            if place[0] == "persona" and isinstance(config["persona"], str):
                place = place[:1]
            is_refused = _is_refused(place, kind, value)
            yield Fault(
                place,
                _sentence(details),
                is_refused=is_refused,
                blocks_merging=is_refused and _blocks_merging(place),
                replacement=_replacement(kind, value) if is_refused else None,
            )


def _is_refused(place: Place, kind: str, value: Any) -> bool:
    """Return whether a config with this value is refused.

    The types of known fields are enforced, but not within lists other than those of named items.
    """
    if kind in (FORMAT_ERROR, "string_too_long"):
        return False
    if kind in (REGEX_ERROR, "too_long"):
        return True
    if kind == "int_type" and isinstance(value, float):
        return False
    within = place[len(_LIST) + 1 :] if place[: len(_LIST)] in NAMED_LISTS else place
    return not any(isinstance(step, int) for step in within)


def _replacement(kind: str, value: Any) -> Any:
    """Return the value that one of another type stands for: true or false for 1 or 0, the number that a text spells."""
    if kind == "bool_type" and isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    if kind in ("float_type", "int_type") and isinstance(value, str):
        return spelled_number(value)
    return None


def spelled_number(text: str) -> float | None:
    """Return the number that a text spells, or None if it spells none that JSON can hold."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    number = float(text) if match["fraction"] or match["exponent"] else int(text)
    is_storable = math.isfinite(number) if isinstance(number, float) else MIN_INTEGER <= number <= MAX_INTEGER
    return number if is_storable else None


_NUMBER = re.compile(
    r"\s{0,9}[+-]?(?=\.?[0-9])[0-9]{0,99}(?P<fraction>\.[0-9]{0,99})?(?P<exponent>[eE][+-]?[0-9]{1,9})?\s{0,9}",
    re.ASCII,
)


def replace_values(config: Config, values: Iterable[tuple[Place, Any]]) -> Config:
    """Return a config with other values in some places. Only the objects and lists around them are copied."""
    copied: dict[Place, Any] = {}
    for place, value in values:
        holder = copied.setdefault((), dict(config))
        for depth, step in enumerate(place[:-1], start=1):
            here = place[:depth]
            if here not in copied:
                copied[here] = holder[step] = holder[step].copy()
            holder = copied[here]
        holder[place[-1]] = value
    result: Config = copied.get((), config)
    return result


def _repeated_names(config: Config) -> Iterator[Place]:
    for place in NAMED_LISTS:
        items = _at(config, place)
        seen: set[str] = set()
        for number, item in enumerate(items if isinstance(items, list) else ()):
            name = _name(item)
            if name in seen:
                yield (*place, number, "name")
            if name:
                seen.add(name)


def _sentence(details: ErrorDetails) -> str:
    kind, place = details["type"], details["loc"]
    if kind in (FORMAT_ERROR, REGEX_ERROR):
        return str(details["ctx"]["sentence"])
    if kind == "too_long":
        return _("may have at most %(limit)s items") % {"limit": details["ctx"]["max_length"]}
    if kind == "string_too_long":
        return _("may have at most %(limit)s characters") % {"limit": details["ctx"]["max_length"]}
    if place[-1] == "name":
        return _("every item needs a name")
    return _("must be %(kind)s") % {"kind": _("an object or a text") if place == ("persona",) else _KINDS[kind]()}


_KINDS: dict[str, Callable[[], str]] = {
    "bool_type": lambda: _("true or false"),
    "dict_type": lambda: _("an object"),
    "float_type": lambda: _("a number"),
    "int_type": lambda: _("a whole number"),
    "list_type": lambda: _("a list"),
    "model_type": lambda: _("an object"),
    "string_type": lambda: _("a text"),
}


def _blocks_merging(place: Place) -> bool:
    """Return whether a place is of an object that is merged by key, an item of a named list, or the name of one."""
    if place[: len(_LIST)] in NAMED_LISTS:
        return len(place) <= len(_LIST) + 1 or place[len(_LIST) + 1 :] == ("name",)
    return len(place) == 1 or (len(place) == 2 and place[0] == "config_overrides")


_LIST = NAMED_LISTS[0]  # as long as each of them
_NOWHERE = object()


class _Stored:
    """A stored config, for looking up the values in it by places in a sent one."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._named: dict[Place, dict[str | None, Any]] = {
            place: {_name(item): item for item in items}
            for place in NAMED_LISTS
            if isinstance(items := _at(config, place), list)
        }

    def has(self, place: Place, sent: Config) -> bool:
        """Return whether the same value is stored in the same place, or in the named item of the same name."""
        value, old = _step(sent, place[0]), _step(self._config, place[0])
        if place[0] == "persona" and len(place) > 1:
            value, old = persona_object(value), persona_object(old)
        for depth, step in enumerate(place[1:], start=1):
            value = _step(value, step)
            named = self._named.get(place[:depth])
            old = _step(old, step) if named is None else named.get(_name(value), _NOWHERE)
        # JSON tells 1, 1.0 and true apart.
        return old is not _NOWHERE and json.dumps(value, sort_keys=True) == json.dumps(old, sort_keys=True)


def _step(value: Any, step: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(step, _NOWHERE)
    if isinstance(value, list) and isinstance(step, int) and step < len(value):
        return value[step]
    return _NOWHERE


def _at(config: Config, place: Place) -> Any:
    value: Any = config
    for step in place:
        value = _step(value, step)
    return value


def _name(item: Any) -> str | None:
    name = _step(item, "name")
    return name if isinstance(name, str) else None
