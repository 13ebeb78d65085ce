"""Fields accept only their own JSON type."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from rest_framework import serializers

from core.http.fields import (
    AnyJSONField,
    FlagParameter,
    JSONObjectField,
    NumberParameter,
    PageQuerySerializer,
    QuerySerializer,
    RequestSerializer,
    StrictBooleanField,
    StrictCharField,
    StrictIntegerField,
    UTCDateTimeField,
    description_field,
    name_field,
)

pytestmark = pytest.mark.embedded

EVERYTHING: list[Any] = [None, True, False, 0, 1, 1.0, 1.5, "", "1", "true", "text", [], ["text"], {}, {"a": 1}]


def accepted(field: serializers.Field[Any, Any, Any, Any]) -> list[Any]:
    """Return the values of EVERYTHING that the field accepts."""

    def takes(value: Any) -> bool:
        try:
            field.run_validation(value)
        except serializers.ValidationError:
            return False
        return True

    return [value for value in EVERYTHING if takes(value)]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (StrictCharField(), ["1", "true", "text"]),
        (StrictCharField(allow_blank=True), ["", "1", "true", "text"]),
        (StrictIntegerField(), [0, 1]),
        (StrictBooleanField(), [True, False]),
        (JSONObjectField(), [{}, {"a": 1}]),
        (AnyJSONField(), EVERYTHING[1:]),
        (UTCDateTimeField(), []),
    ],
    ids=lambda value: type(value).__name__,
)
def test_field_accepts_its_own_type_alone(field: serializers.Field[Any, Any, Any, Any], expected: list[Any]) -> None:
    taken = accepted(field)

    # True equals 1, and is not the same JSON.
    assert [(type(value), value) for value in taken] == [(type(value), value) for value in expected]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31t12:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31 12:00:00+05:30", datetime(2026, 1, 31, 6, 30, tzinfo=UTC)),
        ("1970-01-01T01:00:00+01:00", datetime(1970, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
    ],
)
def test_time_is_converted_to_utc(text: str, moment: datetime) -> None:
    assert UTCDateTimeField().run_validation(text) == moment


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("2026-01-31", "invalid"),
        ("2026-02-30T12:00:00Z", "invalid"),
        ("2026-01-31T24:00:01Z", "invalid"),
        ("２０２６-01-31T12:00:00Z", "invalid"),
        ("2026-01-31T12:00:00Z\n", "invalid"),
        ("10000-01-01T00:00:00Z", "invalid"),
        ("0000-01-01T00:00:00Z", "invalid"),
        ("1970-01-01T00:59:59+01:00", "range"),
        ("0001-01-01T00:00:00+01:00", "range"),
        ("9999-12-31T23:59:59-00:01", "range"),
    ],
)
def test_invalid_time_is_rejected(text: str, code: str) -> None:
    with pytest.raises(serializers.ValidationError) as caught:
        UTCDateTimeField().run_validation(text)

    assert caught.value.get_codes() == [code]


@pytest.mark.parametrize("text", [" 1", "1 ", "+1", "1.0", "1_0", "１", "²", "", "x", "0x1", "1e1", "9" * 5000])
def test_query_number_with_anything_but_digits_is_rejected(text: str) -> None:
    with pytest.raises(serializers.ValidationError):
        NumberParameter().run_validation(text)


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("007", 7), ("-5", -5), ("9223372036854775807", 2**63 - 1)])
def test_plain_digits_are_a_number(text: str, number: int) -> None:
    assert NumberParameter().run_validation(text) == number


@pytest.mark.parametrize(("sent", "kept"), [("abc", "abc"), (" ab", "ab"), ("a\v\t", "a")])
def test_surrounding_blanks_are_stripped(sent: str, kept: str) -> None:
    assert StrictCharField(max_length=3).run_validation(sent) == kept


@pytest.mark.parametrize("sent", ["abcd", " abc", "abc\v"])
def test_surrounding_blanks_count_for_the_length(sent: str) -> None:
    """The documents count the blanks, too."""
    with pytest.raises(serializers.ValidationError):
        StrictCharField(max_length=3).run_validation(sent)


class _Asked(QuerySerializer):
    explain = FlagParameter()


@pytest.mark.parametrize(
    ("sent", "is_on"),
    [
        ({}, False),
        ({"explain": "1"}, True),
        ({"explain": "true"}, True),
        ({"explain": "0"}, False),
        ({"explain": "false"}, False),
    ],
)
def test_flag_is_parsed(sent: dict[str, str], is_on: bool) -> None:
    asked = _Asked(data=sent)

    assert asked.is_valid(), asked.errors
    assert asked.validated_data == {"explain": is_on}


@pytest.mark.parametrize("text", ["", "TRUE", "True", "yes", "on", "2", "01", " 1", "1 ", "null", "１"])
def test_other_flag_values_are_rejected(text: str) -> None:
    assert not _Asked(data={"explain": text}).is_valid()


@pytest.mark.parametrize(("page", "size"), [("0", "1"), ("2147483648", "1"), ("1", "0"), ("1", "101")])
def test_page_or_size_out_of_range_is_rejected(page: str, size: str) -> None:
    assert not PageQuerySerializer(data={"page": page, "size": size}).is_valid()


class _Changes(RequestSerializer):
    clearable = frozenset({"description"})

    name = name_field(required=False)
    description = description_field()


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({}, {}),
        ({"unknown": 1}, {}),
        ({"name": None}, {}),
        ({"description": None}, {"description": None}),
        ({"name": " Ann ", "description": ""}, {"name": "Ann", "description": ""}),
    ],
)
def test_null_counts_as_not_sent_unless_the_field_is_clearable(sent: dict[str, Any], kept: dict[str, Any]) -> None:
    body = _Changes(data=sent)

    assert body.is_valid(), body.errors
    assert body.validated_data == kept
