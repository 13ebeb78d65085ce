"""The schemas by name, one for each series of the bot's versions whose configs are alike."""

from __future__ import annotations

import copy
from functools import cache

from django.utils.translation import get_language, gettext

from agent_config.document import Config
from agent_config.schema.data_files import DataSchema, Texts, read_schema
from agent_config.schema.objects import OpenObject, nested_object
from agent_config.schema.root import Root

DEFAULT = "maibot-0.12"
NAMES = (DEFAULT, "maibot-1.2")


def get_schema(name: str) -> DataSchema:
    """Return the schema of this name; the default one for a name that only a later version of maim knows."""
    return _read(name) if name in NAMES else _read(DEFAULT)


def translated(name: str, title: str, about: str) -> Texts:
    """Return a title and a description of this schema in the active language."""
    chinese = get_schema(name).chinese if (get_language() or "").startswith("zh") else {}
    return chinese.get((title, about)) or (gettext(title), gettext(about))


def defaults(name: str = DEFAULT) -> Config:
    """Return a new config with the default of every field that has one, except in `model`."""
    found = _defaults(get_schema(name).root)
    del found["config_overrides"]["model"]
    return found


def _defaults(kind: type[OpenObject]) -> Config:
    found: Config = {}
    for name, known in kind.model_fields.items():
        within, is_list = nested_object(known)
        if within is not None and not is_list:
            found[name] = _defaults(within)
        elif known.default is not None:
            found[name] = copy.deepcopy(known.default)
    return found


@cache
def _read(name: str) -> DataSchema:
    return DataSchema(Root, {}) if name == DEFAULT else read_schema(name)
