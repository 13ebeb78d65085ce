"""URLs of the internal surface, for bots and other services on the private network."""

from __future__ import annotations

from django.urls import include, path

from agent_config import system
from core.http import handlers, home, probes
from core.http.docs import OpenAPIView, RedocView, SwaggerView
from core.http.surfaces import INTERNAL

handler400 = handlers.bad_request
handler403 = handlers.permission_denied
handler404 = handlers.not_found
handler500 = handlers.server_error

urlpatterns = [
    path("", home.AboutView.as_view()),
    path("favicon.ico", home.FaviconView.as_view()),
    path("health", probes.InternalHealthView.as_view()),
    path("ready", probes.ReadyView.as_view(warn=system.problems)),
    path("info", probes.InfoView.as_view()),
    path("metrics", probes.MetricsView.as_view()),
    path("openapi.json", OpenAPIView.as_view(surface=INTERNAL), name="openapi"),
    path("docs", SwaggerView.as_view(surface=INTERNAL)),
    path("redoc", RedocView.as_view(surface=INTERNAL)),
    path("api/", include("internal_api.urls")),
]
