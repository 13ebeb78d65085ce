"""Prometheus metrics, summed over the workers of this machine.

`manage.py serve` has its workers count in files of one fresh directory (`count_together`).
"""

from __future__ import annotations

import os

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

CONTENT_TYPE = CONTENT_TYPE_LATEST

_requests = Counter("maim_http_requests_total", "Requests answered", ["port", "method", "route", "status"])
_seconds = Histogram(
    "maim_http_request_seconds",
    "Time to answer a request",
    ["port"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
verifications = Counter("maim_key_verifications_total", "Verdicts on API keys", ["code"])

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


def exposition() -> bytes:
    """All metrics in Prometheus' text format."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(PROCESS_REGISTRY)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
