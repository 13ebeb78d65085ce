"""The base class of the objects in the config's schema, and their fields."""

from __future__ import annotations

import copy
from typing import Annotated, Any, ClassVar, get_args, get_origin

from pydantic import BaseModel, Field, GetJsonSchemaHandler, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema

from agent_config.secret_names import names
from agent_config.secret_paths import is_mask

MAX_ITEMS = 5_000  # of a list: as many as a config may have leaves


class OpenObject(BaseModel, extra="allow", strict=True):
    """An object of a config, whose known fields are validated and whose other fields are kept unchanged.

    Titles and descriptions are msgids, which are translated when the JSON Schema is made.
    """

    about: ClassVar[str]
    group: ClassVar[str]

    def __init_subclass__(cls, *, about: str, group: str = "", **config: Any) -> None:
        super().__init_subclass__(**config)
        cls.about, cls.group = about, group

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls_and_masks(cls, value: Any) -> Any:
        """Drop nulls, which remove a field, and masks, which keep a stored secret: neither is a value to validate."""
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
        schema = handler.resolve_ref_schema(reference)
        schema["description"] = cls.about
        if cls.group:
            schema["x-group"] = cls.group
        return reference

    @classmethod
    def _is_secret(cls, name: str) -> bool:
        known = cls.model_fields.get(name)
        return names()[name] or (known is not None and "writeOnly" in schema_extra(known))


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
    """Return a known field, which has no default if `default` is None.

    Values outside `low` to `high`, values other than the known ones, and longer texts only get a warning, because
    earlier systems accepted them.
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


def copied_field(known: FieldInfo, *default: Any) -> tuple[Any, Any]:
    """Return the type and the declaration of a field like a known one, with another default if one is given."""
    declared = Field(
        *(default or [copy.deepcopy(known.default)]),
        title=known.title,
        description=known.description,
        json_schema_extra=schema_extra(known),
    )
    annotation: Any = known.annotation
    for constraint in known.metadata:
        annotation = Annotated[annotation, constraint]
    return annotation, declared


def section(kind: type[OpenObject]) -> Any:
    """Return a known field whose value is an object of this kind."""
    return field(kind.model_config["title"] or "", kind.about)


def schema_extra(known: Any) -> dict[str, Any]:
    """Return the extra keys of a field's JSON Schema."""
    extra = known.json_schema_extra
    return extra if isinstance(extra, dict) else {}


def nested_object(known: Any) -> tuple[type[OpenObject] | None, bool]:
    """Return the kind of object that a field holds, or None, and whether it holds a list."""
    is_list = get_origin(known.annotation) is list
    kind = get_args(known.annotation)[0] if is_list else known.annotation
    return (kind, is_list) if isinstance(kind, type) and issubclass(kind, OpenObject) else (None, is_list)
