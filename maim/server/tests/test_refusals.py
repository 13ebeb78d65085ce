"""Refusals by the event loop: browsers find the same headers in them as in Django's responses."""

from __future__ import annotations

from typing import Any

import pytest

from core.http.surfaces import INTERNAL, PUBLIC, Surface
from internal_api.fastpath import Headers, Request
from maim.server.refusals import Busy, refuse
from tests.support.client import SurfaceClient

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]

OURS, ANOTHER = "https://console.example.com", "https://evil.example.com"
FOR_BROWSERS = {
    "vary",
    "x-content-type-options",
    "access-control-allow-origin",
    "access-control-expose-headers",
}


def refused(surface: Surface, path: str, **headers: str) -> dict[str, str]:
    """Return the headers of a refusal."""
    lines = [(name.encode(), value.encode()) for name, value in headers.items()]
    reply = refuse(surface, Request("GET", path, "", str(surface.bind.port), Headers(lines)), Busy)
    return {name.lower(): value for name, value in reply.headers}


def answered(path: str, **headers: str) -> dict[str, str]:
    """Return the headers of Django's response."""
    response = SurfaceClient().send("GET", path, **{f"HTTP_{name.upper()}": value for name, value in headers.items()})
    return {name.lower(): value for name, value in response.headers.items()}


@pytest.mark.parametrize("path", ["/api/v1/agents", "/api/v1/tenants", "/nowhere"])
@pytest.mark.parametrize("headers", [{}, {"origin": OURS}, {"origin": ANOTHER}, {"accept_language": "zh-CN"}])
def test_headers_for_browsers_are_those_of_django(settings: Any, path: str, headers: dict[str, str]) -> None:
    settings.CORS_ALLOWED_ORIGINS = [OURS]

    of_django = answered(path, **headers)
    of_refusal = refused(PUBLIC, path, **{name.replace("_", "-"): value for name, value in headers.items()})

    assert {name: of_refusal.get(name) for name in FOR_BROWSERS} == {name: of_django.get(name) for name in FOR_BROWSERS}


def test_page_of_the_admin_is_taken_for_nothing_else() -> None:
    assert refused(PUBLIC, "/admin/")["x-content-type-options"] == "nosniff"


def test_bots_get_none_of_them() -> None:
    assert FOR_BROWSERS & set(refused(INTERNAL, "/api/v2/tenants", origin=OURS)) == {"x-content-type-options"}
