"""Series as the pages show them: the same numbers for the script that draws and for the table behind it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apikeys.durations import Durations
from apikeys.periods import DAY
from apikeys.statistics import Series, Span
from apikeys.verification import (
    ADDRESS_NOT_ALLOWED,
    DISABLED,
    EXPIRED,
    LIMIT_EXCEEDED,
    MALFORMED,
    NOT_ACTIVE,
    PERMISSION_MISSING,
    UNKNOWN,
    VALID,
)
from core.errors import Text

SPAN_NAMES: dict[Span, Text] = {
    Span.HOUR: _("Last hour"),
    Span.DAY: _("Last day"),
    Span.MONTH: _("Last 30 days"),
}
OUTCOME_NAMES: dict[str, Text] = {
    VALID: _("valid"),
    MALFORMED: _("malformed"),
    EXPIRED: _("expired"),
    PERMISSION_MISSING: _("permission missing"),
    DISABLED: _("disabled"),
    UNKNOWN: _("unknown"),
    LIMIT_EXCEEDED: _("limit reached"),
    NOT_ACTIVE: _("tenant or agent not active"),
    ADDRESS_NOT_ALLOWED: _("address not allowed"),
}


class Line(NamedTuple):
    """The numbers of one thing in each period, and their sum where they have one. None stands for no number."""

    code: str
    name: str
    numbers: list[float | None]
    total: int | None = None


class Chart(NamedTuple):
    """Lines over periods that begin at `starts`."""

    span: Span
    length: timedelta
    starts: list[datetime]
    lines: list[Line]

    @property
    def span_name(self) -> Text:
        return SPAN_NAMES[self.span]

    @property
    def labels(self) -> list[str]:
        """The beginnings of the periods: times in the current time zone, or days, which are those of UTC."""
        if self.length == DAY:
            return [f"{start:%Y-%m-%d}" for start in self.starts]
        return [f"{timezone.localtime(start):%H:%M}" for start in self.starts]

    @property
    def rows(self) -> list[tuple[str, tuple[float | None, ...]]]:
        """The label of each period with its numbers, for a table."""
        return list(zip(self.labels, zip(*(line.numbers for line in self.lines), strict=True), strict=True))

    def as_json(self) -> dict[str, Any]:
        """Return what the script draws."""
        return {
            "span": self.span.value,
            "seconds": int(self.length.total_seconds()),
            "starts": [f"{start:%Y-%m-%dT%H:%M:%SZ}" for start in self.starts],
            "labels": self.labels,
            "lines": [{"code": line.code, "name": str(line.name), "numbers": line.numbers} for line in self.lines],
        }


def of_verifications(span: Span, series: Series) -> Chart:
    """Return a line for each outcome that occurred, and in any case for VALID."""
    lines = [
        Line(
            str(outcome),
            str(OUTCOME_NAMES.get(outcome, outcome)),
            [period.numbers.get(outcome, 0) for period in series.periods],
            total,
        )
        for outcome, total in series.totals.items()
    ]
    return Chart(span, series.length, [period.start for period in series.periods], lines)


def of_durations(span: Span, length: timedelta, durations: Sequence[Durations]) -> Chart:
    """Return the lines of the median and of p99, in milliseconds."""

    def milliseconds(seconds: float | None) -> float | None:
        return None if seconds is None else round(1000 * seconds, 3)

    lines = [
        Line("p50", "p50", [milliseconds(each.p50) for each in durations]),
        Line("p99", "p99", [milliseconds(each.p99) for each in durations]),
    ]
    return Chart(span, length, [each.start for each in durations], lines)
