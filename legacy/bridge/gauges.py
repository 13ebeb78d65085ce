"""The figures of bridges in /metrics, as maim's database has them: they tell of a bridge that is dead, too."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import NamedTuple

from django.db import connection
from django.db.models import Min
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from core.db import DATABASE_ERRORS
from core.models import AuditEntry
from legacy.bridge.news import CHANGES
from legacy.models import Bridge

_PATIENCE_SECONDS = 0.5
_reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bridge-gauges")


class Figures(NamedTuple):
    """How a bridge stands."""

    label: str
    lag_seconds: float
    current_at: datetime | None
    compared_at: datetime | None
    refused: int


def figures() -> list[Figures]:
    """Return how each bridge stands that ever ran, and was not forgotten."""
    return [
        Figures(bridge.label, _lag(bridge), bridge.current_at, bridge.compared_at, bridge.refused)
        for bridge in Bridge.objects.order_by("label")
    ]


def _lag(bridge: Bridge) -> float:
    """The age of the oldest change that is not in the old tables."""
    oldest: datetime | None = bridge.created_at
    if bridge.current_at is not None:
        pending = AuditEntry.objects.filter(at__gt=bridge.current_at, object_type__in=CHANGES)
        oldest = pending.aggregate(oldest=Min("at"))["oldest"]
    return 0.0 if oldest is None else max(0.0, (timezone.now() - oldest).total_seconds())


class BridgeCollector(Collector):
    """The gauges of all bridges; none where there is no bridge, or the database does not answer in time."""

    def collect(self) -> Iterator[Metric]:
        found = _figures_in_time()
        if not found:
            return
        lag = _gauge("lag_seconds", "Age of the oldest change that is not yet in the old tables")
        current = _gauge("current_timestamp_seconds", "When the bridge last had brought all changes")
        compared = _gauge("compared_timestamp_seconds", "When the last comparison of everything ended")
        refused = _gauge("refused_objects", "Objects that the old database does not take")
        for each in found:
            lag.add_metric([each.label], each.lag_seconds)
            refused.add_metric([each.label], each.refused)
            for family, moment in ((current, each.current_at), (compared, each.compared_at)):
                if moment is not None:
                    family.add_metric([each.label], moment.timestamp())
        yield from (lag, current, compared, refused)


def _gauge(name: str, meaning: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"maim_bridge_{name}", meaning, labels=["target"])


def _figures_in_time() -> list[Figures]:
    reading = _reader.submit(_read)
    try:
        return reading.result(_PATIENCE_SECONDS)
    except (TimeoutError, *DATABASE_ERRORS):
        reading.cancel()
        return []


def _read() -> list[Figures]:
    try:
        return figures()
    finally:
        connection.close()  # the thread has no request that would
