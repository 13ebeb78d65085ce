"""Schemas that are read from the data files beside this module, such as data/maibot-1.2.toml.

A file describes its own format in its first lines. The fields that it takes over from maibot-0.12 keep that schema's
types, titles and descriptions.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, create_model

from agent_config.merging import persona_object
from agent_config.schema.formats import Regex, TimeRangeOrAlways
from agent_config.schema.objects import OpenObject, copied_field, field, nested_object, section
from agent_config.schema.root import Root
from agent_config.schema.sections import models

_FOLDER = Path(__file__).parent / "data"
_TYPES: dict[str, Any] = {
    "boolean": bool,
    "integer": int,
    "number": float,
    "object": dict[str, Any],
    "regexes": list[Regex],
    "secret": str,
    "secrets": list[str],
    "text": str,
    "texts": list[str],
    "time": TimeRangeOrAlways,
}
_SAME = "="
_WITHOUT_PREFIX = ("Root", "ConfigOverrides")  # classes whose objects are named after their key alone
_NOT_FIELDS = ("about", "group", "like", "kinds")

_Kind = type[OpenObject]


# A title and a description. Translated together, because one word as a title has several meanings.
Texts = tuple[str, str]


class DataSchema(NamedTuple):
    """A schema, and the Chinese of its titles and descriptions by their English."""

    root: _Kind
    chinese: dict[Texts, Texts]


def read_schema(name: str) -> DataSchema:
    """Return the schema in the data file of this name."""
    content = tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    reader = _Reader(content["kinds"])
    return DataSchema(reader.kind("Root", content, older=Root), reader.chinese)


class _Reader:
    """A reader of one data file, which makes a class for each object."""

    def __init__(self, shared: dict[str, Any]) -> None:
        self._shared = shared
        self._read: dict[str, _Kind] = {}
        self.chinese: dict[Texts, Texts] = {}

    def kind(self, name: str, table: dict[str, Any], *, older: _Kind | None, base: _Kind = OpenObject) -> _Kind:
        """Return the class of an object. `older` is the class at its place in maibot-0.12."""
        within = "" if name in _WITHOUT_PREFIX else name
        fields: dict[str, Any] = {
            key: self._field(f"{within}{_camel_case(key)}", key, value, older)
            for key, value in table.items()
            if key not in _NOT_FIELDS
        }
        title, about = self._texts(table["about"])
        said = {"title": title, "about": about, "group": table.get("group", "")}
        return create_model(name, __base__=base, __module__=__name__, __cls_kwargs__=said, **fields)

    def _field(self, name: str, key: str, value: Any, older: _Kind | None) -> tuple[Any, Any]:
        """Return the type and the declaration of a field."""
        known = None if older is None else older.model_fields.get(key)
        if isinstance(value, dict):
            within = self.kind(name, value, older=nested_object(known)[0] if known else None)
            declared = section(within)
            return (Annotated[within, BeforeValidator(persona_object)] if name == "Persona" else within), declared
        named, *values = value
        if named == _SAME and known is not None:
            return copied_field(known, *values)
        default, *texts = values
        title, about = self._texts(texts)
        if isinstance(named, list):
            return str, field(title, about, default, known=tuple(named))
        if (shared := named.strip("[]")) in self._shared:
            item = self._shared_kind(shared)
            return (list[item], field(title, about, [])) if named.startswith("[") else (item, field(title, about))  # type: ignore[valid-type]  # made at run time
        optional = named.removesuffix("?")
        declared = field(title, about, default if optional == named else None, secret=named.startswith("secret"))
        return _TYPES[optional], declared

    def _shared_kind(self, name: str) -> _Kind:
        if name not in self._read:
            table = self._shared[name]
            base = getattr(models, table["like"]) if "like" in table else OpenObject
            self._read[name] = self.kind(name, table, older=base, base=base)
        return self._read[name]

    def _texts(self, texts: list[str]) -> Texts:
        """Return a title and a description in English, and keep their Chinese."""
        title, about, chinese_title, chinese_about = texts
        self.chinese[title, about] = chinese_title, chinese_about
        return title, about


def _camel_case(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
