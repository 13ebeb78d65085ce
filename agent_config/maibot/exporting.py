"""The export of a config as the bot's files, with comments from the schema's descriptions."""

from __future__ import annotations

from typing import Any, NamedTuple

import tomlkit
from django.utils.translation import gettext as _
from tomlkit.items import AoT, Array, Item, Table

from agent_config import schema
from agent_config.document import Config
from agent_config.maibot.places import FILE_VERSIONS, INNER, MODEL, OVERRIDES, RENAMED
from agent_config.merging import persona_object
from agent_config.schema.objects import OpenObject, nested_object
from agent_config.schema.versions import get_schema, translated

_FILES_NAMES = {place: name for name, place in RENAMED.items()}
_WIDTH = 100  # characters of a line, from which on a list has a line for each item


class BotFiles(NamedTuple):
    """The contents of bot_config.toml and model_config.toml; the latter is None without any models."""

    bot: str
    model: str | None


class NoTOML(Exception):
    """A config that TOML cannot hold, because it has a null in a list."""


def export_files(config: Config, schema_name: str) -> BotFiles:
    """Return a config as the bot's files, with comments in the active language. Raise NoTOML."""
    config = {**config, "persona": persona_object(config["persona"])} if "persona" in config else config
    overrides = config.get(OVERRIDES, {})
    versions = {**FILE_VERSIONS.get(schema_name, FILE_VERSIONS[schema.DEFAULT]), **config.get(INNER, {})}
    root = get_schema(schema_name).root
    known = _within(root, OVERRIDES)
    bot = _Writer(schema_name)
    bot.add_version(versions["bot"])
    for name, value in _ordered(config, root):
        if name not in (OVERRIDES, INNER):
            bot.add(_FILES_NAMES.get(name, name), value, _within(root, name))
    for name, value in _ordered(overrides, known):
        if name != MODEL:
            bot.add(name, value, _within(known, name))
    if not overrides.get(MODEL):
        return BotFiles(bot.text(), None)
    model = _Writer(schema_name)
    model.add_version(versions["model"])
    of_models = _within(known, MODEL)
    for name, value in _ordered(overrides[MODEL], of_models):
        model.add(name, value, _within(of_models, name))
    return BotFiles(bot.text(), model.text())


class _Writer:
    """A TOML document in which known fields have comments."""

    def __init__(self, schema_name: str) -> None:
        self._schema_name = schema_name
        self._document = tomlkit.document()

    def text(self) -> str:
        return tomlkit.dumps(self._document)

    def add_version(self, version: str) -> None:
        inner = tomlkit.table()
        inner.add("version", version)
        self._document.add(INNER, inner)

    def add(self, name: str, value: Any, kind: type[OpenObject] | None) -> None:
        """Add a member of the document."""
        if kind is not None:
            self._document.add(tomlkit.nl())
            self._document.add(tomlkit.comment(self._about(kind.model_config.get("title") or "", kind.about)))
        self._document.add(name, self._item(value, kind))

    def _item(self, value: Any, kind: type[OpenObject] | None) -> Item:
        if isinstance(value, dict):
            return self._table(value, kind)
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value) and kind is not None:
            found = AoT([])
            for item in value:
                found.append(self._table(item, kind, has_comments=not found))
            return found
        return _plain(value)

    def _table(self, value: Config, kind: type[OpenObject] | None, *, has_comments: bool = True) -> Table:
        """Return an object as a table, its plain members before its tables, as TOML needs it."""
        table = tomlkit.table()
        members = [(name, member, _within(kind, name)) for name, member in _ordered(value, kind)]
        for name, member, within in sorted(members, key=lambda each: _is_table(each[1], each[2])):
            known = kind.model_fields.get(name) if kind is not None and has_comments else None
            if known is not None:
                table.add(tomlkit.comment(self._about(known.title or "", known.description or "")))
            table.add(name, self._item(member, within))
        return table

    def _about(self, title: str, about: str) -> str:
        return " ".join(translated(self._schema_name, title, about)[1].split())


def _is_table(value: Any, kind: type[OpenObject] | None) -> bool:
    is_list = isinstance(value, list) and bool(value) and kind is not None
    return isinstance(value, dict) or (is_list and all(isinstance(item, dict) for item in value))


def _plain(value: Any) -> Item:
    """Return a value as an item without comments. Raise NoTOML."""
    if isinstance(value, list):
        array: Array = tomlkit.array()
        for member in value:
            array.append(_plain(member))
        return array.multiline(len(array.as_string()) > _WIDTH)
    if isinstance(value, dict):
        inline = tomlkit.inline_table()
        for name, member in value.items():
            inline.append(name, _plain(member))
        return inline
    if value is None:
        raise NoTOML(_("TOML has no null; take JSON"))
    return tomlkit.string(value, multiline="\n" in value) if isinstance(value, str) else tomlkit.item(value)


def _within(kind: type[OpenObject] | None, name: str) -> type[OpenObject] | None:
    """Return the class of the object, or of the objects in the list, that a field holds."""
    known = kind.model_fields.get(name) if kind is not None else None
    return nested_object(known)[0] if known is not None else None


def _ordered(value: Config, kind: type[OpenObject] | None) -> list[tuple[str, Any]]:
    """Return an object's members, the known ones in the schema's order and before the others."""
    names = [name for name in (kind.model_fields if kind is not None else ()) if name in value]
    return [(name, value[name]) for name in (*names, *(name for name in value if name not in names))]
