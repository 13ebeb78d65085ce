"""The gauges of bridges in /metrics. They are read from maim's database, so that they reveal a dead bridge, too."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from django.db.models import Min
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from core.models import AuditEntry
from core.timed_reads import read_in_time
from legacy.bridge.change_sources import OBJECT_TYPES
from legacy.models import Bridge


class BridgeStatus(NamedTuple):
    """The figures of one bridge."""

    label: str
    lag_seconds: float
    current_at: datetime | None
    compared_at: datetime | None
    refused: int


def bridge_statuses() -> list[BridgeStatus]:
    """Return the status of each bridge that ever ran and was not forgotten."""
    return [
        BridgeStatus(bridge.label, _lag_seconds(bridge), bridge.current_at, bridge.compared_at, bridge.refused)
        for bridge in Bridge.objects.order_by("label")
    ]


def _lag_seconds(bridge: Bridge) -> float:
    """Return the age of the oldest change that is not in the old tables, or 0 if there is none."""
    oldest: datetime | None = bridge.created_at
    if bridge.current_at is not None:
        pending = AuditEntry.objects.filter(at__gt=bridge.current_at, object_type__in=OBJECT_TYPES)
        oldest = pending.aggregate(oldest=Min("at"))["oldest"]
    return 0.0 if oldest is None else max(0.0, (timezone.now() - oldest).total_seconds())


class BridgeCollector(Collector):
    """A collector of all bridges' gauges. There are none without a bridge, or if the database does not answer."""

    def collect(self) -> Iterator[Metric]:
        statuses = read_in_time(bridge_statuses)
        if not statuses:
            return
        lag = _gauge("lag_seconds", "Age of the oldest change that is not yet in the old tables")
        current = _gauge("current_timestamp_seconds", "When the bridge last had brought all changes")
        compared = _gauge("compared_timestamp_seconds", "When the last comparison of everything ended")
        refused = _gauge("refused_objects", "Objects that the old database does not take")
        for status in statuses:
            lag.add_metric([status.label], status.lag_seconds)
            refused.add_metric([status.label], status.refused)
            for family, time in ((current, status.current_at), (compared, status.compared_at)):
                if time is not None:
                    family.add_metric([status.label], time.timestamp())
        yield from (lag, current, compared, refused)


def _gauge(name: str, documentation: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"maim_bridge_{name}", documentation, labels=["target"])
