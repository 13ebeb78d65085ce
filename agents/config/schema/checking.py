"""What is wrong in a sent config, place by place."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from django.utils.translation import gettext as _
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from agents.config.document import NAMED_LISTS, Config
from agents.config.merging import persona_object
from agents.config.schema.forms import FORM_ERROR, RegexAllowance
from agents.config.schema.places import Place, path
from agents.config.schema.root import Root
from agents.errors import BadConfig

MAX_PROBLEMS = 5_000  # named one by one: as many as a config may have leaves


class _Problem(NamedTuple):
    place: Place
    sentence: str
    kind: str  # pydantic's type of error


def check(sent: Config, stored: Config) -> None:
    """Raises BadConfig, which names every wrong place, if `sent` may not be merged into `stored`.

    A wrong value that `stored` has in the same place is let be: a config that was imported with a fault can be
    sent back as it was read. Only the objects and names by which configs are merged have to be right.
    """
    before = _Stored(stored)
    errors: dict[str, list[str]] = {}
    for fault in faults(sent):
        if fault.is_in_the_way or not before.has(fault.place, sent):
            errors.setdefault(path(fault.place), []).append(fault.sentence)
    if errors:
        raise BadConfig(errors)


class Fault(NamedTuple):
    """A wrong value; one that is in the way keeps the config from being merged with others."""

    place: Place
    sentence: str
    is_in_the_way: bool


def faults(config: Config) -> Iterator[Fault]:
    """Everything in a config that is not as the schema wants it; raises BadConfig for more than MAX_PROBLEMS."""
    for problem in (*_problems(config), *_repeated_names(config)):
        yield Fault(problem.place, problem.sentence, _is_in_the_way_of_merging(problem))


def is_mergeable(config: Config) -> bool:
    """Whether nothing in a config is in the way of merging it, whatever else is wrong."""
    try:
        return not any(fault.is_in_the_way for fault in faults(config))
    except BadConfig:
        return False


def _problems(sent: Config) -> Iterator[_Problem]:
    try:
        Root.model_validate(sent, context=RegexAllowance())
    except ValidationError as error:
        if error.error_count() > MAX_PROBLEMS:
            sentence = _("more than %(number)s of its values are wrong") % {"number": MAX_PROBLEMS}
            raise BadConfig({"config": [sentence]}) from error
        for details in error.errors(include_url=False, include_input=False):
            place = details["loc"]
            if place[0] == "persona" and isinstance(sent["persona"], str):
                place = place[:1]
            yield _Problem(place, _sentence(details), details["type"])


def _repeated_names(sent: Config) -> Iterator[_Problem]:
    for place in NAMED_LISTS:
        seen: set[str] = set()
        for number, item in enumerate(_items(sent, place)):
            name = _name(item)
            if name in seen:
                yield _Problem((*place, number, "name"), _("this name occurs twice in the list"), "repeated")
            if name:
                seen.add(name)


def _sentence(details: ErrorDetails) -> str:
    kind, place = details["type"], details["loc"]
    if kind == FORM_ERROR:
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


def _is_in_the_way_of_merging(problem: _Problem) -> bool:
    """Whether an object that is merged key by key is none, or an item of a named list is not one.

    Of a repeated name, the later item is.
    """
    place = problem.place
    if place[: len(_LIST)] in NAMED_LISTS:
        is_of_name = place[len(_LIST) + 1 :] == ("name",)
        return len(place) <= len(_LIST) + 1 or (is_of_name and problem.kind != "string_too_long")
    return len(place) == 1 or (len(place) == 2 and place[0] == "config_overrides")


_LIST = NAMED_LISTS[0]  # as long as each of them
_NOWHERE = object()


class _Stored:
    """What is stored, as the place of a value in what was sent finds it."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._named: dict[Place, dict[str | None, Any]] = {
            place: {_name(item): item for item in _items(config, place)} for place in NAMED_LISTS
        }

    def has(self, place: Place, sent: Config) -> bool:
        """Whether the same value is stored in the same place; in a named list, in the item of the same name."""
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


def _items(config: Config, place: Place) -> list[Any]:
    value: Any = config
    for step in place:
        value = _step(value, step)
    return value if isinstance(value, list) else []


def _name(item: Any) -> str | None:
    name = _step(item, "name")
    return name if isinstance(name, str) else None
