"""Gauges of the dashboard: what takes too long to count for each page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum

from django.utils import timezone

from agents.services import active_agents
from apikeys import attention, rankings
from apikeys.models import ApiKey
from core import gauges
from operations import services as operations
from operations.models import BulkOperation


class GaugeName(StrEnum):
    """A number of all tenants."""

    ALIVE_AGENTS = "alive_agents"
    EXPIRING_KEYS = "expiring_keys"
    NEVER_USED_KEYS = "never_used_keys"
    LEAKED_SECRETS = "leaked_secrets"
    LEAKED_KEYS = "leaked_keys"
    CALLED_SUSPENDED_TENANTS = "called_suspended_tenants"
    FAILED_OPERATIONS = "failed_operations"


_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
# How often each is counted. The keys that were never used take a look at every key, half a second for a million.
_COUNTED: dict[GaugeName, tuple[timedelta, Callable[[], int]]] = {
    GaugeName.ALIVE_AGENTS: (_MINUTE, lambda: active_agents().count()),
    GaugeName.EXPIRING_KEYS: (_HOUR, lambda: attention.expiring(ApiKey.unscoped.all(), timezone.now()).count()),
    GaugeName.NEVER_USED_KEYS: (_HOUR, lambda: attention.never_used(ApiKey.unscoped.all(), timezone.now()).count()),
    GaugeName.LEAKED_SECRETS: (_HOUR, lambda: attention.leaked().count()),
    GaugeName.LEAKED_KEYS: (_MINUTE, lambda: attention.leaked_and_current().count()),
    GaugeName.CALLED_SUSPENDED_TENANTS: (5 * _MINUTE, rankings.count_called_suspended),
    GaugeName.FAILED_OPERATIONS: (_MINUTE, lambda: operations.lately_failed(BulkOperation.objects.all()).count()),
}


def measure_due() -> None:
    """Take the gauges whose time has come, unless another process does."""
    for name, (every, count) in _COUNTED.items():
        gauges.measure(name, every, count)


def read() -> dict[str, gauges.Measured]:
    """Return the gauges by name, as far as they were ever measured."""
    return gauges.read(GaugeName)
