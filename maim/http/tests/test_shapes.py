"""How moments look on the wire, whoever writes them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maim.http.shapes import json_bytes, utc_text

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (NOON, "2026-01-31T12:00:00Z"),
        (NOON + timedelta(microseconds=1), "2026-01-31T12:00:00.000001Z"),
        (NOON + timedelta(milliseconds=500), "2026-01-31T12:00:00.500000Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00Z"),
    ],
)
def test_a_moment_is_iso_8601_in_utc(moment: datetime, text: str) -> None:
    assert utc_text(moment) == text
    assert json.loads(json_bytes({"at": moment})) == {"at": text}


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_moment_left_in_json_is_written_as_its_text(moment: datetime) -> None:
    assert json_bytes([moment]) == json_bytes([utc_text(moment)])
