"""Prometheus metrics, summed over the workers of this machine.

`manage.py serve` has its workers count in files of one fresh directory (`count_together`).
"""

from __future__ import annotations

import os
import threading

from django.http import HttpRequest
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
    multiprocess,
    values,
)
from prometheus_client import REGISTRY as PROCESS_REGISTRY
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST

_requests = Counter("maim_http_requests_total", "Requests answered", ["port", "method", "route", "status"])
_seconds = Histogram(
    "maim_http_request_seconds",
    "Time to answer a request",
    ["port"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
_verifications = Counter("maim_key_verifications_total", "Verdicts on API keys", ["code"])

_below_django = Counter(
    "maim_verification_seconds_total",
    "Time spent on what is answered below Django, which maim_http_request_seconds leaves out",
    ["route"],
)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def count_together(directory: str) -> None:
    """Makes this process, and those forked from it, keep their counts in files of `directory`.

    The variable alone comes too late: prometheus_client reads it when it is imported, and the system
    checks have done that by the time `serve` has a directory.
    """
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
    values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]


def request_served(request: HttpRequest, status: int, seconds: float) -> None:
    """Counts an answered request. Labels come from closed sets, so that no client can make them grow."""
    match = request.resolver_match
    port = str(request.META["SERVER_PORT"])
    method = request.method if request.method in _METHODS else "other"
    _requests.labels(port, method, match.route if match else "none", str(status)).inc()
    _seconds.labels(port).observe(seconds)


def answered_below_django(  # noqa: PLR0917  # thousands of times a second, and keywords take time
    port: str, method: str, route: str, status: int, seconds: float, code: str | None = None
) -> None:
    """Counts a request that never became Django's; `route` as `request_served` would name it.

    `code` is the verdict, where there was one.
    """
    _tally.add((port, method, route, status, code), seconds)


def verified(code: str) -> None:
    """Counts a verdict on a key."""
    _verifications.labels(code).inc()


class _Tally:
    """Counts that come too often for a lock and a write to a shared file each: summed here, written now and then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: dict[tuple[str, str, str, int, str | None], tuple[int, float]] = {}

    def add(self, what: tuple[str, str, str, int, str | None], seconds: float) -> None:
        with self._lock:
            number, total = self._sums.get(what, (0, 0.0))
            self._sums[what] = number + 1, total + seconds

    def write(self) -> None:
        with self._lock:
            sums, self._sums = self._sums, {}
        for (port, method, route, status, code), (number, seconds) in sums.items():
            _requests.labels(port, method, route, str(status)).inc(number)
            _below_django.labels(route).inc(seconds)
            if code is not None:
                _verifications.labels(code).inc(number)


_tally = _Tally()


def write_tally() -> None:
    """Makes what was counted in this process' memory visible to `exposition` in any."""
    _tally.write()


# What no worker counts: it is read anew for each exposition.
_read_registry = CollectorRegistry()


def expose(collector: Collector) -> None:
    """Add to all expositions of this process what a collector finds at that moment."""
    _read_registry.register(collector)


def exposition() -> bytes:
    """All metrics in Prometheus' text format."""
    write_tally()
    registry = PROCESS_REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry) + generate_latest(_read_registry)
