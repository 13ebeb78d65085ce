"""Views of liveness, readiness, version and metrics, for load balancers, orchestrators and people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from django.conf import settings
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.http import dependencies, metrics
from core.http.operations import operation
from core.http.views import AnonymousView, InternalV1View

HEALTHY, UNHEALTHY = "healthy", "unhealthy"


class HealthResponse(serializers.Serializer[Any]):
    status = serializers.CharField()
    timestamp = serializers.FloatField(help_text="Unix seconds.")
    version = serializers.CharField()
    services = serializers.DictField(child=serializers.CharField())


class ReadyResponse(HealthResponse):
    warnings = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="Problems that do not keep traffic away."
    )


class InfoResponse(serializers.Serializer[Any]):
    name = serializers.CharField()
    description = serializers.CharField()
    version = serializers.CharField()
    architecture = serializers.CharField()
    supported_features = serializers.ListField(child=serializers.CharField())


DESCRIPTION = "The control plane for multi-tenant AI agents"
FEATURES = [
    "multi-tenant isolation",
    "agent configuration",
    "API key issuing and verification",
    "agent activity",
    "plugin settings",
    "usage log",
]


# Less than what a probe may wait for, half a second and two.
HEALTH_SECONDS, READY_SECONDS = 0.4, 1.5


class Readiness(NamedTuple):
    """The response to `/ready`."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]


def health(*, has_database: bool) -> dict[str, Any]:
    """Return the body of `/health`."""
    return _body(is_healthy=True, services={"database": has_database})


def check_readiness(warn: Callable[[], list[str]]) -> Readiness:
    """Return the response to `/ready`, after at most READY_SECONDS. `warn` returns its warnings."""
    services = dependencies.check_all(READY_SECONDS)
    is_ready = all(services.values())
    body = _body(is_healthy=is_ready, services=services)
    if warnings := warn():
        body["warnings"] = warnings
    return Readiness(200, {}, body) if is_ready else Readiness(503, {"Retry-After": "1"}, body)


def _body(*, is_healthy: bool, services: Mapping[str, bool]) -> dict[str, Any]:
    return {
        "status": HEALTHY if is_healthy else UNHEALTHY,
        "timestamp": timezone.now().timestamp(),
        "version": settings.VERSION,
        "services": {"api": HEALTHY, **{name: HEALTHY if good else UNHEALTHY for name, good in services.items()}},
    }


class InfoView(InternalV1View):
    @operation("Name, version, features", tag="service", response=InfoResponse, offline=True)
    def get(self, request: Request) -> Response:
        return Response(
            {
                "name": "maim",
                "description": DESCRIPTION,
                "version": settings.VERSION,
                "architecture": "one Django application, two surfaces",
                "supported_features": FEATURES,
            }
        )


class HealthView(AnonymousView):
    """Liveness. Responds quickly, and with success also if the database is down, which is no reason to restart."""

    @operation("Alive", tag="service", response=HealthResponse, offline=True)
    def get(self, request: Request) -> Response:
        return Response(health(has_database=dependencies.database_works(HEALTH_SECONDS)))


class InternalHealthView(InternalV1View, HealthView):
    """Liveness on the internal surface."""


class ReadyView(InternalV1View):
    """Readiness for traffic: the database, and Redis if it is configured, respond and take writes.

    `warn` returns problems that operators should know of, and that do not keep traffic away.
    """

    warn: Callable[[], list[str]] = list

    @operation(
        "Ready for traffic",
        tag="service",
        response=ReadyResponse,
        extra_responses={503: ReadyResponse},
        offline=True,
    )
    def get(self, request: Request) -> Response:
        status, headers, body = check_readiness(self.warn)
        return Response(body, status=status, headers=headers)


class MetricsView(InternalV1View):
    """Metrics in Prometheus' text format."""

    @operation(
        "Metrics in Prometheus' text format",
        tag="service",
        response=OpenApiTypes.STR,
        media_type="text/plain",
        offline=True,
    )
    def get(self, request: Request) -> HttpResponse:
        return HttpResponse(metrics.exposition(), content_type=metrics.CONTENT_TYPE)
