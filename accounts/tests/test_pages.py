"""The pages that links in mails lead to."""

from __future__ import annotations

import re

import pytest
from django.urls import resolve

from accounts.mail import texts
from core.http.surfaces import PUBLIC
from tests.support.client import SurfaceClient

pytestmark = pytest.mark.embedded
ACTIONS = ("accept-invitation", "join-tenant", "reset-password", "verify-email")
PAGES = [f"/account/{action}" for action in ACTIONS]


@pytest.mark.parametrize("path", PAGES)
def test_page_leaks_no_token(path: str) -> None:
    page = SurfaceClient().get(path)

    assert page.status_code == 200
    assert page["Referrer-Policy"] == "no-referrer"
    assert page["Cache-Control"] == "no-store"
    assert "default-src 'none'" in page["Content-Security-Policy"]
    assert "http" not in page["Content-Security-Policy"] + page.content.decode()


@pytest.mark.parametrize("path", PAGES)
def test_form_leads_to_an_endpoint_that_exists(path: str) -> None:
    (endpoint,) = re.findall('data-endpoint="([^"]+)"', SurfaceClient().get(path).content.decode())

    assert resolve(endpoint, PUBLIC.urlconf)


@pytest.mark.parametrize("path", PAGES)
def test_page_is_in_the_language_of_the_browser(path: str) -> None:
    page = SurfaceClient().get(path, HTTP_ACCEPT_LANGUAGE="zh-CN").content.decode()

    assert '<html lang="zh-hans">' in page
    assert "链接不完整" in page


@pytest.mark.parametrize("action", ACTIONS)
def test_default_links_lead_to_the_pages(action: str) -> None:
    path, _, fragment = texts.link(action, "secret").partition("#")

    assert path.endswith(f":{PUBLIC.bind.port}/account/{action}")
    assert fragment == "token=secret"
