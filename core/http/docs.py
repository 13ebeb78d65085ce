"""The OpenAPI documents, and pages that show them and load nothing from other hosts."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.http import HttpResponse
from django.template.loader import render_to_string
from rest_framework.request import Request
from rest_framework.response import Response

from core.http.surfaces import INTERNAL, PUBLIC, Surface
from core.http.views import AnonymousView

_INFO = {
    PUBLIC.name: {
        "title": "maim: public API",
        "description": "The API for people's clients. Sign in with `/api/v1/auth/login` and send the access token as "
        "`Authorization: Bearer …`; whoever is signed in sees their own tenants and nothing else.",
    },
    INTERNAL.name: {
        "title": "maim: internal API",
        "description": "The API for bots and other services on the private network: whose is this key, what is its "
        "agent's config. There is no token: whoever reaches this port is trusted with every tenant.",
    },
}

# Everything comes from this server; the pages' own code would fetch a logo from its makers' host.
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@cache
def document(surface: Surface) -> dict[str, Any]:
    """Return the surface's OpenAPI document, which is generated once in a process."""
    # Imported here because it imports Django's test client and Jinja, a tenth of a start.
    from drf_spectacular.generators import SchemaGenerator

    generator = SchemaGenerator(urlconf=surface.urlconf)  # type: ignore[no-untyped-call]  # untyped in the library
    schema: dict[str, Any] = generator.get_schema(  # type: ignore[no-untyped-call]  # untyped in the library
        request=None, public=True
    )
    schema["info"] |= _INFO[surface.name]
    return schema


class DocsView(AnonymousView):
    """A view that needs no token and is not in the documents."""

    surface: Surface = PUBLIC
    schema = None


class OpenAPIView(DocsView):
    def get(self, request: Request) -> Response:
        return Response(document(self.surface))


def page(surface: Surface, template: str, **context: Any) -> HttpResponse:
    """Return a page of the surface that loads nothing from other hosts."""
    text = render_to_string(template, {"title": _INFO[surface.name]["title"], **context})
    return HttpResponse(text, headers={"Content-Security-Policy": _CONTENT_SECURITY_POLICY})


class _PageView(DocsView):
    template: str

    def get(self, request: Request) -> HttpResponse:
        return page(self.surface, self.template)


class SwaggerView(_PageView):
    template = "maim/swagger.html"


class RedocView(_PageView):
    template = "maim/redoc.html"
