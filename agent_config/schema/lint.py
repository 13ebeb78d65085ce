"""What is allowed in a config, but hardly meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from django.utils.translation import gettext as _
from pydantic.fields import FieldInfo

from agent_config.document import Config, section
from agent_config.schema.objects import OpenObject, object_within, remarks
from agent_config.schema.paths import MODEL, Place
from agent_config.schema.root import Root
from agent_config.schema.sections.models import ModelTasks


class Notice(NamedTuple):
    """What looks odd in a config, by the path of its place."""

    path: str
    message: str


class Warned(NamedTuple):
    """A place in a config, and what is wrong there or looks odd."""

    place: Place
    sentence: str


def oddities(config: Config) -> Iterator[Warned]:
    """Yield the places of values out of the ordinary, each with a sentence about it."""
    return _out_of_the_ordinary(Root, config, ())


def unknown_models(config: Config, resolved: Config) -> Iterator[Warned]:
    """Yield where a task of a config names a model that the resolved config does not have, with a sentence about it."""
    models = section(resolved, "model").get("models")
    names = {
        item["name"]
        for item in (models if isinstance(models, list) else ())
        if isinstance(item, dict) and isinstance(item.get("name"), str)
    }
    for place, name in named_models(config):
        if name not in names:
            yield Warned(place, _("no model has this name"))


def named_models(config: Config) -> Iterator[tuple[Place, str]]:
    """Yield the names of models that tasks of a config name, with their places."""
    tasks = section(config, "model").get("model_task_config")
    for task in ModelTasks.model_fields:
        settings = tasks.get(task) if isinstance(tasks, dict) else None
        wanted = settings.get("model_list") if isinstance(settings, dict) else None
        for number, name in enumerate(wanted if isinstance(wanted, list) else ()):
            if isinstance(name, str):
                yield (*MODEL, "model_task_config", task, "model_list", number), name


def _out_of_the_ordinary(kind: type[OpenObject], value: Any, place: Place) -> Iterator[Warned]:
    if not isinstance(value, dict):
        return
    for name, known in kind.model_fields.items():
        member = value.get(name)
        if member is None:
            continue
        here = (*place, name)
        within, is_list = object_within(known)
        if within is None:
            message = _oddity(member, known)
            if message:
                yield Warned(here, message)
        elif not is_list:
            yield from _out_of_the_ordinary(within, member, here)
        elif isinstance(member, list):
            for number, item in enumerate(member):
                yield from _out_of_the_ordinary(within, item, (*here, number))


def _oddity(value: Any, field: FieldInfo) -> str:
    """What is odd about a value, given what its field says is ordinary; empty if nothing is."""
    ordinary = remarks(field)
    if isinstance(value, str) and value:
        known = ordinary.get("x-enum", [value])
        return "" if value in known else _("is none of the usual values: %(values)s") % {"values": ", ".join(known)}
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    if field.annotation is int and isinstance(value, float):
        return _("must be %(kind)s") % {"kind": _("a whole number")}
    low, high = ordinary.get("x-minimum", value), ordinary.get("x-maximum", value)
    if low <= value <= high:
        return ""
    if "x-maximum" in ordinary:
        return _("is usually between %(low)s and %(high)s") % {"low": low, "high": high}
    return _("is usually at least %(low)s") % {"low": low}
