"""The config's JSON Schema, from which a form generator can make an editor."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.utils.translation import gettext
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import WithDefaultSchema

from agent_config.schema.root import GROUPS, Root

_TRANSLATED = ("title", "description")


class _Generator(GenerateJsonSchema):
    """A generator that gives a field without a default none, instead of null, which would mean "remove it"."""

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        return (
            self.generate_inner(schema["schema"]) if schema.get("default") is None else super().default_schema(schema)
        )


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a config, in the active language.

    `x-minimum`, `x-maximum` and `x-enum` describe usual values; others are accepted with a warning. `x-groups` names
    the groups in which an editor may show the objects that have an `x-group`.
    """
    schema: dict[str, Any] = _translated(_untranslated())
    return schema


@cache
def _untranslated() -> dict[str, Any]:
    schema = Root.model_json_schema(schema_generator=_Generator)
    persona = schema["$defs"]["Persona"]
    schema["properties"]["persona"] = {
        "title": persona["title"],
        "description": persona["description"],
        "anyOf": [
            {"type": "string", "title": persona["properties"]["personality"]["title"]},
            {"$ref": "#/$defs/Persona"},
        ],
    }
    groups = [{"name": name, "title": title} for name, title in GROUPS.items()]
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema, "x-groups": groups}


def _translated(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: gettext(member) if key in _TRANSLATED and isinstance(member, str) else _translated(member)
            for key, member in value.items()
        }
    return [_translated(member) for member in value] if isinstance(value, list) else value
