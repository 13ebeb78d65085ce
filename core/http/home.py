"""The root of each surface: JSON for programs, a small page for browsers; and the icon that browsers ask for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.staticfiles import finders
from django.http import HttpResponse
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import Text
from core.http.addresses import may_reach_admin
from core.http.docs import DocsView, page
from core.http.operations import operation
from core.http.probes import DESCRIPTION, FEATURES
from core.http.request_context import RequestContext
from core.http.surfaces import INTERNAL, PUBLIC, Surface
from core.http.views import AnonymousView, InternalV1View


class WelcomeResponse(serializers.Serializer[Any]):
    message = serializers.CharField()


class AboutResponse(WelcomeResponse):
    version = serializers.CharField()
    description = serializers.CharField()
    endpoints = serializers.DictField(child=serializers.CharField())
    features = serializers.ListField(child=serializers.CharField())


class _HomeMixin:
    """A small page in place of JSON for browsers, which ask for HTML."""

    surface: ClassVar[Surface]
    links: ClassVar[Mapping[str, Text]]

    def respond_home(self, request: Request, document: dict[str, Any]) -> HttpResponse:
        """Return the page for a browser, the document for a program."""
        is_browser = "text/html" in request.headers.get("Accept", "")
        response = (
            page(self.surface, "maim/home.html", version=settings.VERSION, links=self.links_for(request).items())
            if is_browser
            else Response(document)
        )
        patch_vary_headers(response, ["Accept"])
        return response

    def links_for(self, request: Request) -> Mapping[str, Text]:
        """Return the links of the page for a client."""
        return self.links


class WelcomeView(_HomeMixin, AnonymousView):
    surface = PUBLIC
    links = {"/admin/": _("Admin, for operators"), "/docs": _("API documentation")}

    def links_for(self, request: Request) -> Mapping[str, Text]:
        has_admin = may_reach_admin(RequestContext.of(request).address)
        return {path: text for path, text in self.links.items() if path != "/admin/" or has_admin}

    @operation("Welcome", tag="service", response=WelcomeResponse, offline=True)
    def get(self, request: Request) -> HttpResponse:
        return self.respond_home(request, {"message": "Welcome to MaimWebBackend API"})


class AboutView(_HomeMixin, InternalV1View):
    surface = INTERNAL
    links = {
        "/docs": _("API documentation"),
        "/redoc": _("API documentation on one page"),
        "/ready": _("Is it ready for traffic?"),
        "/metrics": _("Metrics for Prometheus"),
    }

    @operation("About this API", tag="service", response=AboutResponse, offline=True)
    def get(self, request: Request) -> HttpResponse:
        return self.respond_home(
            request,
            {
                "message": "maim internal API",
                "version": settings.VERSION,
                "description": DESCRIPTION,
                "endpoints": {
                    "tenants": "/api/v2/tenants",
                    "agents": "/api/v2/agents",
                    "api_keys": "/api/v2/api-keys",
                    "auth": "/api/v2/auth",
                    "docs": "/docs",
                    "health": "/health",
                },
                "features": FEATURES,
            },
        )


class FaviconView(DocsView):
    """The icon, under the path that browsers ask for on pages that name none."""

    def get(self, request: Request) -> HttpResponse:
        return HttpResponse(_icon(), content_type="image/svg+xml", headers={"Cache-Control": "max-age=86400"})


@cache
def _icon() -> bytes:
    return Path(finders.find("maim/favicon.svg") or "").read_bytes()
