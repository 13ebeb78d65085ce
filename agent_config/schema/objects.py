"""What every object of the config's schema has in common."""

from __future__ import annotations

from typing import Any, ClassVar, get_args, get_origin

from pydantic import BaseModel, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from agent_config.secret_places import is_mask
from agent_config.secret_rule import names

MAX_ITEMS = 5_000  # of a list: as many as a config may have leaves


class OpenObject(BaseModel, extra="allow", strict=True):
    """An object of a config: its known fields are checked, whatever else it has is kept as it is.

    Titles and descriptions are msgids, which are translated when the schema is drawn.
    """

    about: ClassVar[str]
    group: ClassVar[str]

    def __init_subclass__(cls, *, about: str, group: str = "", **config: Any) -> None:
        super().__init_subclass__(**config)
        cls.about, cls.group = about, group

    @model_validator(mode="before")
    @classmethod
    def _without_what_is_not_set(cls, value: Any) -> Any:
        """Null removes a field, and the mask keeps a stored secret: neither is a value to check."""
        if not isinstance(value, dict):
            return value
        return {
            key: member
            for key, member in value.items()
            if member is not None and not (is_mask(member) and cls._is_secret(key))
        }

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        reference = handler(core_schema)
        drawn = handler.resolve_ref_schema(reference)
        drawn["description"] = cls.about
        if cls.group:
            drawn["x-group"] = cls.group
        return reference

    @classmethod
    def _is_secret(cls, name: str) -> bool:
        known = cls.model_fields.get(name)
        return names()[name] or (known is not None and "writeOnly" in remarks(known))


def field(
    title: str,
    about: str,
    default: Any = None,
    *,
    low: float | None = None,
    high: float | None = None,
    known: tuple[str, ...] = (),
    max_length: int | None = None,
    secret: bool = False,
) -> Any:
    """A known field; without a default if that is None.

    Values outside `low` to `high`, others than the known ones, and longer texts are only warned of: the systems before
    this one took them.
    """
    if isinstance(default, list):
        max_length = MAX_ITEMS
    extra: dict[str, Any] = {}
    if low is not None:
        extra["x-minimum"] = low
    if high is not None:
        extra["x-maximum"] = high
    if known:
        extra["x-enum"] = list(known)
        extra["examples"] = list(known)
    if secret:
        hidden = {"format": "password"}
        extra |= {"writeOnly": True, **({"items": {"type": "string", **hidden}} if default == [] else hidden)}
    return Field(default, title=title, description=about, max_length=max_length, json_schema_extra=extra)


def section(kind: type[OpenObject]) -> Any:
    """A known object of a kind of which there is one."""
    return field(kind.model_config["title"] or "", kind.about)


def remarks(known: Any) -> dict[str, Any]:
    """What a field's JSON Schema says beyond its type."""
    extra = known.json_schema_extra
    return extra if isinstance(extra, dict) else {}


def object_within(known: Any) -> tuple[type[OpenObject] | None, bool]:
    """The kind of object that a field holds, if it holds any, and whether it holds a list of them."""
    is_list = get_origin(known.annotation) is list
    kind = get_args(known.annotation)[0] if is_list else known.annotation
    return (kind, is_list) if isinstance(kind, type) and issubclass(kind, OpenObject) else (None, is_list)
