"""What is allowed in a config, but hardly meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from agents.config.document import Config, section
from agents.config.schema.objects import OpenObject, object_within, remarks
from agents.config.schema.places import MODEL, Place, path
from agents.config.schema.root import Root
from agents.config.schema.sections.models import ModelTasks
from agents.errors import BadConfig


class Notice(NamedTuple):
    """A place in a config, and what is odd about it."""

    path: str
    message: str


def warnings(config: Config) -> list[Notice]:
    """What is odd in a config: values out of the ordinary, and tasks whose models it does not have."""
    found = [Notice(path(place), message) for place, message in _out_of_the_ordinary(Root, config, ())]
    return [*found, *(Notice(path(place), _no_such_model()) for place, _task, _name in _unknown_models(config, config))]


def check_models(sent: Config, resolved: Config, *, stored: Config, resolved_before: Config) -> None:
    """Raises BadConfig, which names every one, if tasks of `sent` name models that `resolved` does not have.

    What a stored task named without there being such a model may be sent again: a layer below has changed since.
    """
    let_be = {(task, name) for _place, task, name in _unknown_models(stored, resolved_before)}
    errors = {
        path(place): [_no_such_model()]
        for place, task, name in _unknown_models(sent, resolved)
        if (task, name) not in let_be
    }
    if errors:
        raise BadConfig(errors)


def _no_such_model() -> str:
    return _("no model has this name")


def _unknown_models(sent: Config, resolved: Config) -> Iterator[tuple[Place, str, str]]:
    """Where a task names a model that there is not, with the task and the name."""
    models = section(resolved, "model").get("models")
    names = {
        item["name"]
        for item in (models if isinstance(models, list) else ())
        if isinstance(item, dict) and isinstance(item.get("name"), str)
    }
    tasks = section(sent, "model").get("model_task_config")
    for task in ModelTasks.model_fields:
        settings = tasks.get(task) if isinstance(tasks, dict) else None
        wanted = settings.get("model_list") if isinstance(settings, dict) else None
        for number, name in enumerate(wanted if isinstance(wanted, list) else ()):
            if isinstance(name, str) and name not in names:
                yield (*MODEL, "model_task_config", task, "model_list", number), task, name


def _out_of_the_ordinary(kind: type[OpenObject], value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    if not isinstance(value, dict):
        return
    for name, known in kind.model_fields.items():
        member = value.get(name)
        if member is None:
            continue
        here = (*place, name)
        within, is_list = object_within(known)
        if within is None:
            message = _oddity(member, remarks(known))
            if message:
                yield here, message
        elif not is_list:
            yield from _out_of_the_ordinary(within, member, here)
        elif isinstance(member, list):
            for number, item in enumerate(member):
                yield from _out_of_the_ordinary(within, item, (*here, number))


def _oddity(value: Any, ordinary: dict[str, Any]) -> str:
    """What is odd about a value, given what its field says is ordinary; empty if nothing is."""
    if isinstance(value, str) and value:
        known = ordinary.get("x-enum", [value])
        return "" if value in known else _("is none of the usual values: %(values)s") % {"values": ", ".join(known)}
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    low, high = ordinary.get("x-minimum", value), ordinary.get("x-maximum", value)
    if low <= value <= high:
        return ""
    if "x-maximum" in ordinary:
        return _("is usually between %(low)s and %(high)s") % {"low": low, "high": high}
    return _("is usually at least %(low)s") % {"low": low}
