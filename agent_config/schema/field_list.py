"""The fields of a config as a flat list, for people who look for one by its name or meaning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from agent_config.document import AGENT_DEFAULTS
from agent_config.schema.json_schema import json_schema
from agent_config.schema.versions import DEFAULT


class Field(NamedTuple):
    """A field of a config. `[]` in the path stands for each item of a list, `*` for each member of an object."""

    path: str
    type: str
    title: str
    description: str


def list_fields(name: str = DEFAULT) -> list[Field]:
    """Return the fields of a schema in its order, in the active language."""
    schema = json_schema(name)
    return list(_members(schema, "", schema["$defs"]))


def list_tenant_fields(name: str = DEFAULT) -> list[Field]:
    """Return the fields of a tenant's config, whose agents' defaults have the fields of a schema."""
    defaults = _("What its agents have where their own config says nothing. It has the fields of an agent's config.")
    others = _("Anything else: it is kept for the tenant's own programs, and means nothing to agents.")
    return [
        Field(AGENT_DEFAULTS, "object", _("Defaults of the agents"), defaults),
        *(field._replace(path=f"{AGENT_DEFAULTS}.{field.path}") for field in list_fields(name)),
        Field("*", "", "", others),
    ]


def _members(node: dict[str, Any], path: str, definitions: dict[str, Any]) -> Iterator[Field]:
    """Yield the fields inside a part of the schema."""
    for each in _choices(node, definitions):
        for name, member in each.get("properties", {}).items():
            yield from _field(member, f"{path}.{name}" if path else name, definitions)
        if isinstance(items := each.get("items"), dict):
            yield from _members(items, f"{path}[]", definitions)
        if isinstance(others := each.get("additionalProperties"), dict):
            yield from _members(others, f"{path}.*", definitions)


def _field(node: dict[str, Any], path: str, definitions: dict[str, Any]) -> Iterator[Field]:
    choices = list(_choices(node, definitions))
    types = dict.fromkeys(str(each["type"]) for each in choices if each.get("type", "null") != "null")
    texts = {key: next((each[key] for each in (node, *choices) if key in each), "") for key in ("title", "description")}
    yield Field(path, " | ".join(types), **texts)
    yield from _members(node, path, definitions)


def _choices(node: dict[str, Any], definitions: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a part of the schema with its reference resolved, or each of the parts that it may be."""
    if "$ref" in node:
        yield definitions[node["$ref"].rpartition("/")[2]]
    elif "anyOf" in node:
        for each in node["anyOf"]:
            yield from _choices(each, definitions)
    else:
        yield node
