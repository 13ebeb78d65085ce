"""The OpenAPI documents and the pages that show them, without any outside host."""

from __future__ import annotations

from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.views import SpectacularRedocView, SpectacularSwaggerView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from maim.http.surfaces import INTERNAL, PUBLIC, Surface

_TITLES = {PUBLIC.name: "maim: public API", INTERNAL.name: "maim: internal API"}


@cache
def document(surface: Surface) -> dict[str, Any]:
    """The surface's OpenAPI document, made once in a process."""
    generator = SchemaGenerator(urlconf=surface.urlconf)  # type: ignore[no-untyped-call]
    schema: dict[str, Any] = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    schema["info"]["title"] = _TITLES[surface.name]
    return schema


class _Page(APIView):
    authentication_classes = ()
    permission_classes = (AllowAny,)
    schema = None


class OpenAPIDocument(_Page):
    surface: Surface = PUBLIC

    def get(self, request: Request) -> Response:
        return Response(document(self.surface))


class SwaggerPage(SpectacularSwaggerView):
    url_name = "openapi"


class RedocPage(SpectacularRedocView):
    url_name = "openapi"
