"""Numbers that take long to count, counted now and then by one process for all pages and machines."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import IntegrityError, transaction
from django.utils import timezone

from core.models import Gauge


class Measured(NamedTuple):
    """A number as it was at a time, or None if it is being counted for the first time."""

    number: int | None
    at: datetime


def measure(name: str, every: timedelta, count: Callable[[], int]) -> bool:
    """Store what `count` returns, and return True, unless a process anywhere did so or began to since `every` ago."""
    if not _is_due(name, every):
        return False
    Gauge.objects.filter(pk=name).update(number=count())
    return True


def read(names: Iterable[str]) -> dict[str, Measured]:
    """Return the gauges of these names that were ever measured."""
    rows = Gauge.objects.filter(pk__in=list(names)).values_list("name", "number", "measured_at")
    return {name: Measured(number, at) for name, number, at in rows}


def _is_due(name: str, every: timedelta) -> bool:
    """Return whether a gauge is to be measured by this process, and keep others from measuring it meanwhile."""
    now = timezone.now()
    rows = Gauge.objects.filter(pk=name)
    # Read first, because an update would lock the row for nothing most of the time.
    measured_at = rows.values_list("measured_at", flat=True).first()
    if measured_at is not None:
        return measured_at <= now - every and bool(rows.filter(measured_at=measured_at).update(measured_at=now))
    try:
        with transaction.atomic():
            Gauge.objects.create(name=name, measured_at=now)
    except IntegrityError:  # another process is the first
        return False
    return True
