"""The root of each surface: JSON for programs as ever, a page with links for people."""

from __future__ import annotations

import pytest

from core.http.surfaces import INTERNAL, PUBLIC, Surface
from tests.support.client import SurfaceClient

pytestmark = pytest.mark.embedded

NAMES = [PUBLIC.name, INTERNAL.name]
# What Firefox sends.
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize("accept", ["*/*", "application/json", ""])
@pytest.mark.parametrize("surface", [PUBLIC, INTERNAL], ids=NAMES)
def test_program_gets_json(surface: Surface, accept: str) -> None:
    response = SurfaceClient(surface).get("/", HTTP_ACCEPT=accept)

    assert "message" in response.json()
    assert "Accept" in response["Vary"]


@pytest.mark.django_db
@pytest.mark.parametrize("surface", [PUBLIC, INTERNAL], ids=NAMES)
def test_browser_gets_a_page_whose_links_work(surface: Surface) -> None:
    client = SurfaceClient(surface)

    page = client.get("/", HTTP_ACCEPT=BROWSER)

    assert page["Content-Type"].startswith("text/html")
    assert "Accept" in page["Vary"]
    links = [part.partition('"')[0] for part in page.content.decode().split('<a href="')[1:]]
    assert len(links) >= 2
    for link in links:
        assert client.get(link).status_code in (200, 302), link


def test_page_is_in_the_browsers_language() -> None:
    page = SurfaceClient(PUBLIC).get("/", HTTP_ACCEPT=BROWSER, HTTP_ACCEPT_LANGUAGE="zh-CN")

    assert '<html lang="zh-hans">' in page.content.decode()
    assert "接口文档" in page.content.decode()


@pytest.mark.parametrize("surface", [PUBLIC, INTERNAL], ids=NAMES)
def test_icon_is_an_image_that_browsers_keep(surface: Surface) -> None:
    icon = SurfaceClient(surface).get("/favicon.ico")

    assert icon["Content-Type"] == "image/svg+xml"
    assert icon.content.startswith(b"<svg")
    assert "max-age" in icon["Cache-Control"]
