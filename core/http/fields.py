"""Serializer fields that accept only their own JSON type.

DRF's own fields are made for forms and convert values: 5 to "5", "true" to True. A client that sends a wrong type
should get an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from core import strict_json
from core.fields import ID_LENGTH
from core.http.responses import utc_text

NAME_LENGTH = 100
DESCRIPTION_LENGTH = 2000
MAX_PAGE = 2**31 - 1
MAX_ID = 2**63 - 1
LOG_FORMATS = ("json", "jsonl")
FIRST_YEAR = 1970
MUST_BE_A_LIST = _("Must be a list.")


class StrictCharField(serializers.CharField):
    """Text. A number is not text. The length is checked before the surrounding blanks are stripped."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        if self.max_length is not None and len(data) > self.max_length:
            self.fail("max_length", max_length=self.max_length)
        text: str = super().to_internal_value(data)
        return text


class StrictIntegerField(serializers.IntegerField):
    """A JSON number without a fraction."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return data


class NumberParameter(serializers.IntegerField):
    """A whole number in a query, in plain digits: not ` 1`, `1.0`, `1_000` or `１`."""

    def to_internal_value(self, data: Any) -> int:
        if not _DIGITS.fullmatch(data):
            self.fail("invalid")
        return int(data)


_FLAGS = {"true": True, "1": True, "false": False, "0": False}


@extend_schema_field({"type": "string", "enum": list(_FLAGS), "default": "false"})
class FlagParameter(serializers.BooleanField):
    """A switch in a query: 1 or true, 0 or false; off where it is not sent."""

    def __init__(self, **options: Any) -> None:
        super().__init__(default=False, **options)

    def to_internal_value(self, data: Any) -> bool:
        if data not in _FLAGS:
            self.fail("invalid", input=data)
        return _FLAGS[data]


_DIGITS = re.compile("-?[0-9]{1,19}")


class ChoiceField(serializers.ChoiceField):
    """One of a few words. The error does not quote the value, which may be a secret in the wrong place."""

    default_error_messages = {"invalid_choice": _("Must be one of: {choices}.")}

    def fail(self, key: str, **kwargs: Any) -> NoReturn:
        super().fail(key, choices=", ".join(map(str, self.choices)), **kwargs)


class StrictBooleanField(serializers.BooleanField):
    """`true` or `false`."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class BoundedListField(serializers.ListField):
    """A list of at most `max_length` items. A longer one is rejected before its items are validated.

    DRF validates the items first, which takes half a minute for the half a million that fit into a body.
    """

    default_error_messages = {"not_a_list": MUST_BE_A_LIST}

    def __init__(self, *, max_length: int, **options: Any) -> None:
        super().__init__(max_length=max_length, **options)
        self._max_length = max_length

    def to_internal_value(self, data: Any) -> list[Any]:
        if isinstance(data, list) and len(data) > self._max_length:
            self.fail("max_length", max_length=self._max_length)
        items: list[Any] = super().to_internal_value(data)
        return items


class JSONObjectField(serializers.DictField):
    """An open JSON object, at most MAX_DEPTH deep, kept as it was sent."""

    default_error_messages = {"not_a_dict": _("Must be an object.")}

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            self.fail("not_a_dict")
        _refuse_too_deep(data)
        return data

    def to_representation(self, value: Any) -> Any:
        return value


class AnyJSONField(serializers.JSONField):
    """Any JSON value, at most MAX_DEPTH deep."""

    def to_internal_value(self, data: Any) -> Any:
        _refuse_too_deep(data)
        return data


def _refuse_too_deep(value: Any) -> None:
    try:
        strict_json.check_depth(value)
    except strict_json.NotAcceptable as error:
        raise serializers.ValidationError(str(error)) from error


_HAS_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}[\x20-\x7e]*")


@extend_schema_field(OpenApiTypes.DATETIME)
class UTCDateTimeField(serializers.Field):  # type: ignore[type-arg]  # generic in the stubs only
    """An ISO 8601 time. One without an offset is in UTC. A date alone is rejected."""

    default_error_messages = {
        "invalid": _("Write a time as 2026-01-31T12:00:00Z."),
        "range": _("The time must lie between 1970 and 9999."),
    }

    def to_internal_value(self, data: Any) -> datetime:
        if not isinstance(data, str) or not _HAS_TIME.fullmatch(data):
            self.fail("invalid")
        try:
            moment = parse_datetime(data)
        except ValueError:
            self.fail("invalid")
        if moment is None:
            self.fail("invalid")
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        try:
            moment = moment.astimezone(UTC)
        except OverflowError:
            self.fail("range")
        if moment.year < FIRST_YEAR:
            self.fail("range")
        return moment

    def to_representation(self, value: datetime) -> str:
        return utc_text(value)


class RequestSerializer(serializers.Serializer):  # type: ignore[type-arg]  # generic in the stubs only
    """A request body. Unknown keys are ignored, and named by `ignored_fields`.

    An optional field sent as null counts as not sent, except the fields in `clearable`, which null empties
    (docs/contract.md section 2). A field may still convert another value to None, and so empty the column.
    """

    default_error_messages = {"invalid": _("Must be an object.")}
    clearable: frozenset[str] = frozenset()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for field in cls._declared_fields.values():
            if not field.required:
                field.allow_null = True
                field._kwargs["allow_null"] = True  # type: ignore[attr-defined]  # what copies are made of

    def run_validation(self, data: Any = serializers.empty) -> Any:
        is_body = getattr(self, "parent", None) is None  # where the stubs know no None
        if is_body and not isinstance(data, dict):
            raise serializers.ValidationError({"body": [_("The body must be a JSON object")]})
        return super().run_validation(data)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        values: dict[str, Any] = super().to_internal_value(data)
        return {key: value for key, value in values.items() if data.get(key) is not None or key in self.clearable}

    def ignored_fields(self, data: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
        """Yield the paths of the fields of a body that are unknown here, or have no effect as they are.

        `values` is the validated body.
        """
        for name, value in data.items():
            field = self.fields.get(name)
            child = getattr(field, "child", None)
            if field is None:
                yield name
            elif isinstance(field, RequestSerializer) and isinstance(value, dict):
                yield from (f"{name}.{path}" for path in field.ignored_fields(value, values.get(name) or {}))
            elif isinstance(child, RequestSerializer) and isinstance(value, list):
                for number, (item, validated) in enumerate(zip(value, values[name], strict=True)):
                    yield from (f"{name}.{number}.{path}" for path in child.ignored_fields(item, validated))


class QuerySerializer(serializers.Serializer):  # type: ignore[type-arg]  # generic in the stubs only
    """Query parameters. Unknown ones are ignored."""


_ORDERED_BY_ID = _("A list with `after` comes in the order of ids, from that one on; leave this out")


class CursorQuerySerializer(QuerySerializer):
    """The query parameters of a list that can be read by cursor, ordered by id."""

    after: serializers.Field[Any, Any, Any, Any] = serializers.CharField(
        required=False,
        allow_blank=True,
        trim_whitespace=False,
        max_length=ID_LENGTH,
        help_text="In the order of ids: what comes after this one, the last that was read. Empty: from the beginning.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Raise ValidationError for an order, page or offset beside `after`."""
        if "after" in attrs:
            firsts = {"page": 1, "skip": 0, "sort": None, "before": None}
            wrong = [name for name, first in firsts.items() if attrs.get(name, first) != first]
            if wrong:
                raise serializers.ValidationError(dict.fromkeys(wrong, _ORDERED_BY_ID))
        return attrs


@extend_schema_field({"type": "string", "pattern": "^[0-9]*$"})
class NumberCursor(NumberParameter):
    """A cursor that is a number, or an empty text for the beginning."""

    def __init__(self, *, max_value: int, **options: Any) -> None:
        super().__init__(required=False, min_value=0, max_value=max_value, **options)

    def to_internal_value(self, data: Any) -> int:
        return 0 if data == "" else super().to_internal_value(data)


class OptionalCursorQuerySerializer(CursorQuerySerializer):
    """The query parameters of a list that is returned whole, unless it is read by cursor."""

    limit = NumberParameter(min_value=1, max_value=100, default=100, help_text="With `after`.")


class PageQuerySerializer(CursorQuerySerializer):
    """The query parameters of v2's pages."""

    page = NumberParameter(min_value=1, max_value=MAX_PAGE, default=1)
    size = NumberParameter(min_value=1, max_value=100, default=20)


class SliceQuerySerializer(CursorQuerySerializer):
    """The query parameters of v1's lists."""

    skip = NumberParameter(min_value=0, max_value=MAX_PAGE, default=0)
    limit = NumberParameter(min_value=1, max_value=100, default=100)


class LogQuerySerializer(CursorQuerySerializer):
    """The query parameters of a log: newest first or by cursor, as JSON or JSON Lines, without a total.

    After validation, `from` and `to` are `since` and `until`.
    """

    after = NumberCursor(max_value=MAX_ID, help_text="In the order of ids: what comes after this one, the last read.")
    before = NumberParameter(
        required=False, min_value=1, max_value=MAX_ID, help_text="Newest first: what comes before this id."
    )
    limit = NumberParameter(min_value=1, max_value=1000, default=100)
    format = ChoiceField(LOG_FORMATS, default="json", help_text="`jsonl`: an item each line.")

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        # Not as attributes of the class, because `from` is a word of Python's own.
        times = {
            "from": UTCDateTimeField(required=False, help_text="From this time on."),
            "to": UTCDateTimeField(required=False, help_text="Before this time."),
        }
        return {**super().get_fields(), **times}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        names = {"from": "since", "to": "until"}
        return {names.get(name, name): value for name, value in attrs.items()}


def name_field(max_length: int = NAME_LENGTH, **options: Any) -> StrictCharField:
    """Return the field of a name: not blank, stripped of surrounding blanks."""
    return StrictCharField(max_length=max_length, **options)


def description_field(**options: Any) -> StrictCharField:
    return StrictCharField(max_length=DESCRIPTION_LENGTH, required=False, allow_blank=True, **options)


def id_field(**options: Any) -> StrictCharField:
    """Return the field of an id. The access functions find out whether it exists."""
    return StrictCharField(max_length=ID_LENGTH, **options)
