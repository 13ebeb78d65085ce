"""Parts of a config that its schema does not know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent_config.document import Config
from agent_config.schema.objects import OpenObject, nested_object
from agent_config.schema.paths import Place
from agent_config.schema.versions import get_schema


def unknown_places(config: Config, schema_name: str) -> Iterator[Place]:
    """Yield the places of the members that the schema does not know, without what is within them."""
    for place, _kind in unknown_members(get_schema(schema_name).root, config):
        yield place


def unknown_members(kind: type[OpenObject], value: Any, place: Place = ()) -> Iterator[tuple[Place, type[OpenObject]]]:
    """Yield the places of unknown members, each with the class of the object that it is in."""
    if not isinstance(value, dict):
        return
    for name, member in value.items():
        here = (*place, name)
        known = kind.model_fields.get(name)
        if known is None:
            yield here, kind
            continue
        within, is_list = nested_object(known)
        if within is None:
            continue
        if not is_list:
            yield from unknown_members(within, member, here)
        elif isinstance(member, list):
            for number, item in enumerate(member):
                yield from unknown_members(within, item, (*here, number))
