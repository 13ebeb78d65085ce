"""Warnings about values that are valid, but probably mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from django.utils.translation import gettext as _
from pydantic.fields import FieldInfo

from agent_config.document import Config, section
from agent_config.schema.objects import OpenObject, nested_object, schema_extra
from agent_config.schema.paths import MODEL, Place
from agent_config.schema.versions import NAMES, get_schema


class ConfigWarning(NamedTuple):
    """A warning about a config, for clients: the path of a value and a sentence."""

    path: str
    message: str


class Finding(NamedTuple):
    """An error or warning about a config: the place of a value and a sentence."""

    place: Place
    sentence: str


def unusual_values(config: Config, schema_name: str) -> Iterator[Finding]:
    """Yield a finding for each value that is unusual for its field."""
    return _unusual_values(get_schema(schema_name).root, config, ())


def unknown_models(config: Config, resolved: Config) -> Iterator[Finding]:
    """Yield a finding for each model that a config's tasks name and the resolved config does not have."""
    models = section(resolved, "model").get("models")
    names = {
        item["name"]
        for item in (models if isinstance(models, list) else ())
        if isinstance(item, dict) and isinstance(item.get("name"), str)
    }
    for place, name in named_models(config):
        if name not in names:
            yield Finding(place, _("no model has this name"))


def named_models(config: Config) -> Iterator[tuple[Place, str]]:
    """Yield the places and names of the models that a config's tasks name."""
    tasks = section(config, "model").get("model_task_config")
    for task in _known_tasks():
        settings = tasks.get(task) if isinstance(tasks, dict) else None
        wanted = settings.get("model_list") if isinstance(settings, dict) else None
        for number, name in enumerate(wanted if isinstance(wanted, list) else ()):
            if isinstance(name, str):
                yield (*MODEL, "model_task_config", task, "model_list", number), name


@cache
def _known_tasks() -> tuple[str, ...]:
    """Return the tasks of all schemas, because a layer may be of another version than the agent."""
    found: dict[str, None] = {}
    for name in NAMES:
        kind = get_schema(name).root
        for step in (*MODEL, "model_task_config"):
            within, _is_list = nested_object(kind.model_fields[str(step)])
            assert within is not None
            kind = within
        found |= dict.fromkeys(kind.model_fields)
    return tuple(found)


def _unusual_values(kind: type[OpenObject], value: Any, place: Place) -> Iterator[Finding]:
    if not isinstance(value, dict):
        return
    for name, known in kind.model_fields.items():
        member = value.get(name)
        if member is None:
            continue
        here = (*place, name)
        within, is_list = nested_object(known)
        if within is None:
            message = _warning(member, known)
            if message:
                yield Finding(here, message)
        elif not is_list:
            yield from _unusual_values(within, member, here)
        elif isinstance(member, list):
            for number, item in enumerate(member):
                yield from _unusual_values(within, item, (*here, number))


def _warning(value: Any, field: FieldInfo) -> str:
    """Return a sentence about a value that is unusual for its field, or an empty one."""
    usual = schema_extra(field)
    if isinstance(value, str) and value:
        known = usual.get("x-enum", [value])
        return "" if value in known else _("is none of the usual values: %(values)s") % {"values": ", ".join(known)}
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    if field.annotation is int and isinstance(value, float):
        return _("must be %(kind)s") % {"kind": _("a whole number")}
    low, high = usual.get("x-minimum", value), usual.get("x-maximum", value)
    if low <= value <= high:
        return ""
    if "x-maximum" in usual:
        return _("is usually between %(low)s and %(high)s") % {"low": low, "high": high}
    return _("is usually at least %(low)s") % {"low": low}
