"""The config's JSON Schema, from which a form generator can make an editor."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import WithDefaultSchema

from agent_config.schema.root import GROUPS
from agent_config.schema.versions import DEFAULT, get_schema, translated


class _Generator(GenerateJsonSchema):
    """A generator that gives a field without a default none, instead of null, which would mean "remove it"."""

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        return (
            self.generate_inner(schema["schema"]) if schema.get("default") is None else super().default_schema(schema)
        )


def json_schema(name: str = DEFAULT) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a config, in the active language.

    `x-minimum`, `x-maximum` and `x-enum` describe usual values; others are accepted with a warning. `x-groups` names
    the groups in which an editor may show the objects that have an `x-group`.
    """
    schema: dict[str, Any] = _translated(_untranslated(name), name)
    return schema


@cache
def _untranslated(name: str) -> dict[str, Any]:
    schema = get_schema(name).root.model_json_schema(schema_generator=_Generator)
    persona = schema["$defs"]["Persona"]
    schema["properties"]["persona"] = {
        "title": persona["title"],
        "description": persona["description"],
        "anyOf": [
            {"type": "string", "title": persona["properties"]["personality"]["title"]},
            {"$ref": "#/$defs/Persona"},
        ],
    }
    groups = [{"name": group, "title": title} for group, title in GROUPS.items()]
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema, "x-groups": groups}


def _translated(value: Any, schema_name: str) -> Any:
    """Return a copy in the active language. A title is translated with its description, which says what it means."""
    if isinstance(value, list):
        return [_translated(member, schema_name) for member in value]
    if not isinstance(value, dict):
        return value
    found = {key: _translated(member, schema_name) for key, member in value.items()}
    texts = {key: text for key in ("title", "description") if isinstance(text := value.get(key), str)}
    title, description = translated(schema_name, texts.get("title", ""), texts.get("description", ""))
    both = {"title": title, "description": description}
    return {**found, **{key: both[key] for key in texts}}
