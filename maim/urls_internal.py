"""URLs of the internal surface, for bots and other services on the private network."""

from __future__ import annotations

from django.urls import include, path

from agent_config import system
from core.http import handlers, probes
from core.http.docs import OpenAPIDocument, RedocPage, SwaggerPage
from core.http.surfaces import INTERNAL

handler400 = handlers.bad_request
handler403 = handlers.permission_denied
handler404 = handlers.not_found
handler500 = handlers.server_error

urlpatterns = [
    path("", probes.About.as_view()),
    path("health", probes.InternalHealth.as_view()),
    path("ready", probes.Ready.as_view(warn=system.problems)),
    path("info", probes.Info.as_view()),
    path("metrics", probes.Metrics.as_view()),
    path("openapi.json", OpenAPIDocument.as_view(surface=INTERNAL), name="openapi"),
    path("docs", SwaggerPage.as_view(surface=INTERNAL)),
    path("redoc", RedocPage.as_view(surface=INTERNAL)),
    path("api/", include("internal_api.urls")),
]
