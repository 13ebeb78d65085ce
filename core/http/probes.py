"""Views of liveness, readiness, version and metrics, for load balancers, orchestrators and people."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.utils import timezone
from django_redis import get_redis_connection
from drf_spectacular.types import OpenApiTypes
from redis.exceptions import RedisError
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core import primary
from core.db import retry_if_disconnected
from core.http import metrics
from core.http.operations import operation
from core.http.problems import NOT_REACHABLE
from core.http.views import AnonymousView, InternalV1View

log = logging.getLogger("maim.http")

HEALTHY, UNHEALTHY = "healthy", "unhealthy"


class WelcomeResponse(serializers.Serializer[Any]):
    message = serializers.CharField()


class AboutResponse(WelcomeResponse):
    version = serializers.CharField()
    description = serializers.CharField()
    endpoints = serializers.DictField(child=serializers.CharField())
    features = serializers.ListField(child=serializers.CharField())


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


_DESCRIPTION = "The control plane for multi-tenant AI agents"
_FEATURES = [
    "multi-tenant isolation",
    "agent configuration",
    "API key issuing and verification",
    "agent activity",
    "plugin settings",
    "usage log",
]


_prober = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database-probe")
_QUICK_SECONDS, _READY_SECONDS = 0.5, 2.0


def database_works(seconds: float) -> bool:
    """Return whether the database responds within this time and takes writes."""
    probe = _prober.submit(_probe_database)
    try:
        return probe.result(seconds)
    except TimeoutError:
        probe.cancel()
        return False


def _probe_database() -> bool:
    try:
        retry_if_disconnected(primary.current_value)("SELECT 1")
    except NOT_REACHABLE as error:
        log.warning("the database does not answer or takes no writes: %s", error)
        return False
    return True


def cache_works() -> bool:
    """Return whether Redis takes a write, which a replica refuses."""
    try:
        return bool(get_redis_connection().set("maim:ready", 1, ex=60))
    except RedisError as error:
        log.warning("Redis does not answer or takes no writes: %s", error)
        return False


def _health(status: str, services: dict[str, str]) -> dict[str, Any]:
    return {
        "status": status,
        "timestamp": timezone.now().timestamp(),
        "version": settings.VERSION,
        "services": services,
    }


class WelcomeView(AnonymousView):
    @operation("Welcome", tag="service", response=WelcomeResponse, offline=True)
    def get(self, request: Request) -> Response:
        return Response({"message": "Welcome to MaimWebBackend API"})


class AboutView(InternalV1View):
    @operation("About this API", tag="service", response=AboutResponse, offline=True)
    def get(self, request: Request) -> Response:
        return Response(
            {
                "message": "maim internal API",
                "version": settings.VERSION,
                "description": _DESCRIPTION,
                "endpoints": {
                    "tenants": "/api/v2/tenants",
                    "agents": "/api/v2/agents",
                    "api_keys": "/api/v2/api-keys",
                    "auth": "/api/v2/auth",
                    "docs": "/docs",
                    "health": "/health",
                },
                "features": _FEATURES,
            }
        )


class InfoView(InternalV1View):
    @operation("Name, version, features", tag="service", response=InfoResponse, offline=True)
    def get(self, request: Request) -> Response:
        return Response(
            {
                "name": "maim",
                "description": _DESCRIPTION,
                "version": settings.VERSION,
                "architecture": "one Django application, two surfaces",
                "supported_features": _FEATURES,
            }
        )


class HealthView(AnonymousView):
    """Liveness. Responds quickly, and with success also if the database is down, which is no reason to restart."""

    @operation("Alive", tag="service", response=HealthResponse, offline=True)
    def get(self, request: Request) -> Response:
        database = HEALTHY if database_works(_QUICK_SECONDS) else UNHEALTHY
        return Response(_health(HEALTHY, {"api": HEALTHY, "database": database}))


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
        checks = {"database": database_works(_READY_SECONDS)}
        if settings.REDIS_URL:
            checks["cache"] = cache_works()
        services = {name: HEALTHY if good else UNHEALTHY for name, good in checks.items()}
        is_ready = all(checks.values())
        body = _health(HEALTHY if is_ready else UNHEALTHY, {"api": HEALTHY, **services})
        if warnings := self.warn():
            body["warnings"] = warnings
        return Response(body) if is_ready else Response(body, status=503, headers={"Retry-After": "1"})


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
