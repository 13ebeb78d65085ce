"""Rate limits and quotas of keys, agents and tenants.

A rate limit allows n uses in any window of s seconds. A quota allows n uses in a UTC day, in a UTC month, or in
total; it refills when the next day or month begins. Both are stored and shown as JSON objects.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models
from django.utils.translation import gettext_lazy as _

from core.fields import JSONTextField

# What people call the keys of limits.
LIMIT_LABELS = {"limit": _("Uses"), "window_seconds": _("Seconds"), "period": _("Period")}
MAX_RATE = 10_000
MAX_WINDOW_SECONDS = 86_400
MAX_QUOTA = 10**12


class Period(models.TextChoices):
    """The period of a quota."""

    DAY = "day", _("day")
    MONTH = "month", _("month")
    TOTAL = "total", _("in all")

    def start(self, moment: datetime) -> datetime | None:
        """Return the start of the period around `moment`; None for TOTAL."""
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        if self == Period.DAY:
            return midnight
        return midnight.replace(day=1) if self == Period.MONTH else None

    def end(self, moment: datetime) -> datetime | None:
        """Return the time when the quota refills; None for never."""
        start = self.start(moment)
        if start is None:
            return None
        if self == Period.DAY:
            return start + timedelta(days=1)
        return (start + timedelta(days=32)).replace(day=1)


class Limited(models.Model):
    """A model with limits: `{"limit", "window_seconds"}` and `{"limit", "period"}`, or null for none."""

    rate_limit = JSONTextField(
        _("rate limit"),
        null=True,
        blank=True,
        help_text=_("At most so many uses in any window of so many seconds; empty for no limit."),
    )
    quota = JSONTextField(
        _("quota"),
        null=True,
        blank=True,
        help_text=_("At most so many uses in a day or month of UTC, or in all; empty for no quota."),
    )

    class Meta:
        abstract = True
