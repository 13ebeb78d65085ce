"""Prometheus metrics, summed over the workers of this machine.

`manage.py serve` makes its workers count in files of one new directory (`use_shared_directory`).
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

_fastpath_seconds = Counter(
    "maim_verification_seconds_total",
    "Time spent on what is answered below Django, which maim_http_request_seconds leaves out",
    ["route"],
)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def use_shared_directory(directory: str) -> None:
    """Make this process, and those forked from it, keep their counts in files of `directory`.

    Setting the variable is not enough: prometheus_client reads it when it is imported, and the system checks have done
    that before `serve` has a directory.
    """
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
    values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]  # untyped in the library


def record_request(request: HttpRequest, status: int, seconds: float) -> None:
    """Record a request served by Django. Labels come from closed sets, so that no client can make them grow."""
    match = request.resolver_match
    port = str(request.META["SERVER_PORT"])
    method = request.method if request.method in _METHODS else "other"
    _requests.labels(port, method, match.route if match else "none", str(status)).inc()
    _seconds.labels(port).observe(seconds)


def record_refusal(port: str, method: str, status: int) -> None:
    """Record a request that was refused before anything handled it."""
    _refusals.add((port, method if method in _METHODS else "other", "none", str(status)))


def record_fastpath_request(  # noqa: PLR0917  # thousands of times a second, and keywords take time
    port: str, method: str, route: str, status: int, seconds: float, verdict: str | None = None
) -> None:
    """Record a request served by the fast path. `route` is labelled as in `record_request`.

    `verdict` is its code, if the request was a verification.
    """
    _fastpath_requests.add((port, method, route, status, verdict), seconds)


def record_verification(code: str) -> None:
    """Record a verdict on a key."""
    _verifications.labels(code).inc()


class _FastpathRequests:
    """Sums of requests that are too frequent for a write to a shared file each. They are written now and then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: dict[tuple[str, str, str, int, str | None], tuple[int, float]] = {}

    def add(self, labels: tuple[str, str, str, int, str | None], seconds: float) -> None:
        with self._lock:
            number, total = self._sums.get(labels, (0, 0.0))
            self._sums[labels] = number + 1, total + seconds

    def flush(self) -> None:
        with self._lock:
            sums, self._sums = self._sums, {}
        for (port, method, route, status, verdict), (number, seconds) in sums.items():
            _requests.labels(port, method, route, str(status)).inc(number)
            _fastpath_seconds.labels(route).inc(seconds)
            if verdict is not None:
                _verifications.labels(verdict).inc(number)


class _Refusals:
    """Numbers of refused requests, which are too frequent for a write each when a server is overloaded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: dict[tuple[str, str, str, str], int] = {}

    def add(self, labels: tuple[str, str, str, str]) -> None:
        with self._lock:
            self._numbers[labels] = self._numbers.get(labels, 0) + 1

    def flush(self) -> None:
        with self._lock:
            numbers, self._numbers = self._numbers, {}
        for labels, number in numbers.items():
            _requests.labels(*labels).inc(number)


_fastpath_requests = _FastpathRequests()
_refusals = _Refusals()


def flush() -> None:
    """Make the counts in this process' memory visible to `exposition` in any process."""
    _fastpath_requests.flush()
    _refusals.flush()


# Metrics that no worker counts, because they are read for each exposition.
_read_registry = CollectorRegistry()


def register(collector: Collector) -> None:
    """Add a collector to all expositions of this process. It is called for each."""
    _read_registry.register(collector)


def exposition() -> bytes:
    """Return all metrics in Prometheus' text format."""
    flush()
    registry = PROCESS_REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # untyped in the library
    return generate_latest(registry) + generate_latest(_read_registry)
