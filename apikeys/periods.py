"""The periods of time, in UTC, by which verifications are counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

MINUTE, FIVE_MINUTES, HOUR, DAY = timedelta(minutes=1), timedelta(minutes=5), timedelta(hours=1), timedelta(days=1)


def start_of(moment: datetime, length: timedelta) -> datetime:
    """Return when the period of a moment began. Days are divided into periods of this length."""
    moment = moment.astimezone(UTC)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + (moment - midnight) // length * length
