"""The repair of values whose type is not the field's, as old versions of the bot and people write them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, get_args, get_origin

from django.utils.translation import gettext_noop as _

from agent_config.document import Config
from agent_config.schema import Place
from agent_config.schema.objects import OpenObject, nested_object
from agent_config.schema.validation import replace_values, spelled_number
from agent_config.schema.versions import get_schema

_TRUTHS = {"true": True, "1": True, "false": False, "0": False}
_UNCHANGED = object()
MAX_SHORT = 10_000  # greater numbers with a fraction of zero are accounts


class Repair(NamedTuple):
    """A value that was replaced, and a msgid that says how, without the value, which may be a secret."""

    place: Place
    value: Any
    message: str


def repaired(config: Config, schema_name: str) -> tuple[Config, list[Repair]]:
    """Return a config with its known fields repaired, and the repairs."""
    found = list(_repairs(get_schema(schema_name).root, config, ()))
    return replace_values(config, [(repair.place, repair.value) for repair in found]), found


def _repairs(kind: type[OpenObject], value: Any, place: Place) -> Iterator[Repair]:
    if not isinstance(value, dict):
        return
    for name, known in kind.model_fields.items():
        if name not in value:
            continue
        member, here = value[name], (*place, name)
        within, is_list = nested_object(known)
        if within is None:
            yield from _repair(known.annotation, member, here)
        elif not is_list:
            yield from _repairs(within, member, here)
        elif isinstance(member, list):
            for number, item in enumerate(member):
                yield from _repairs(within, item, (*here, number))


def _repair(kind: Any, value: Any, place: Place) -> Iterator[Repair]:
    if place[-1] == "api_key" and isinstance(value, list) and value:
        yield Repair(place, str(value[0]), _("a list of keys: the first one is the key, and api_keys has all"))
        yield Repair((*place[:-1], "api_keys"), value, _("all keys of the list"))
        return
    new, message = _of_type(kind, value)
    if new is not _UNCHANGED:
        yield Repair(place, new, message)


def _of_type(kind: Any, value: Any) -> tuple[Any, str]:
    """Return what a value means as this type, and a msgid that says how it was read."""
    if get_origin(kind) is list:
        return _as_list(kind, value)
    if kind is str:
        return _as_text(value)
    if kind is bool:
        return _as_truth(value)
    return _as_number(kind, value) if kind in (int, float) else (_UNCHANGED, "")


def _as_text(value: Any) -> tuple[Any, str]:
    if isinstance(value, bool):
        return str(value).lower(), _("was true or false, and is now a text")
    if isinstance(value, int | float):
        return _item(value), _("was a number, and is now a text")
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return "\n".join(value), _("was a list of texts, and is now one text of so many lines")
    return _UNCHANGED, ""


def _as_truth(value: Any) -> tuple[Any, str]:
    if isinstance(value, str) and value.strip().lower() in _TRUTHS:
        return _TRUTHS[value.strip().lower()], _("was a text, and is now true or false")
    if isinstance(value, int | float) and not isinstance(value, bool) and value in (0, 1):
        return bool(value), _("was a number, and is now true or false")
    return _UNCHANGED, ""


def _as_number(kind: Any, value: Any) -> tuple[Any, str]:
    if isinstance(value, bool):
        return int(value), _("was true or false, and is now a number")
    if isinstance(value, str) and (number := spelled_number(value)) is not None:
        return number, _("was a text, and is now a number")
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value), _("had a fraction of zero, and is now a whole number")
    return _UNCHANGED, ""


def _as_list(kind: Any, value: Any) -> tuple[Any, str]:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return [str(value)] if value != "" else [], _("was one value, and is now a list")
    if not isinstance(value, list):
        return _UNCHANGED, ""
    rows_hold = next((inner for inner in get_args(kind) if get_origin(_bare(inner)) is list), None)
    new = [[_cell(cell) for cell in row] if isinstance(row, list) and rows_hold else _item(row) for row in value]
    return (new, _("numbers in the list are now texts")) if _differ(new, value) else (_UNCHANGED, "")


def _bare(kind: Any) -> Any:
    """Return a type without its constraints."""
    return kind.__origin__ if hasattr(kind, "__metadata__") else kind


def _item(value: Any) -> Any:
    """Return a number as a text, and any other value as it is."""
    if isinstance(value, float) and value.is_integer() and abs(value) > MAX_SHORT:
        value = int(value)  # an account
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _cell(value: Any) -> Any:
    """Return a cell of a row such as `["", "enable", "enable", "1.0"]` as the text it means."""
    return ("enable" if value else "disable") if isinstance(value, bool) else _item(value)


def _differ(new: list[Any], old: list[Any]) -> bool:
    return any(type(one) is not type(other) or one != other for one, other in zip(new, old, strict=True))
