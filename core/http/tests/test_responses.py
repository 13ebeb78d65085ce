"""Times in responses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from core.http.responses import utc_text

pytestmark = pytest.mark.embedded

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (NOON, "2026-01-31T12:00:00Z"),
        (NOON.astimezone(timezone(timedelta(hours=8))), "2026-01-31T12:00:00Z"),
        (NOON + timedelta(microseconds=1), "2026-01-31T12:00:00.000001Z"),
        (NOON + timedelta(milliseconds=500), "2026-01-31T12:00:00.500000Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00Z"),
    ],
)
def test_time_is_iso_8601_in_utc(moment: datetime, text: str) -> None:
    assert utc_text(moment) == text
