"""The networks from which the admin answers (MAIM_ADMIN_NETWORKS), and the headers of its pages."""

from __future__ import annotations

from typing import Any

import pytest

from core.http import addresses
from tests.support.client import SurfaceClient
from tests.support.operators import Operator

pytestmark = pytest.mark.embedded

OFFICE, HOME = "192.0.2.7", "198.51.100.7"
PATHS = [
    "/admin",
    "/admin/",
    "/admin/login/",
    "/admin/accounts/user/",
    "/admin/oidc/acme/callback",
    "/admin/jsi18n/",
    "/admin/nowhere",
    "/administration",
]


@pytest.fixture
def _from_the_office(settings: Any) -> None:
    settings.ADMIN_NETWORKS = ["192.0.2.0/24", "2001:db8::/32"]


@pytest.mark.usefixtures("_from_the_office")
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", PATHS)
def test_for_others_there_is_no_admin_and_no_query(public: SurfaceClient, method: str, path: str) -> None:
    """Without the mark `django_db`, a query would fail the test."""
    public.cookies["sessionid"] = "a-session"
    nowhere = public.generic(method, "/nowhere", REMOTE_ADDR=HOME)

    response = public.generic(method, path, REMOTE_ADDR=HOME)

    assert (response.status_code, response.content) == (404, nowhere.content)
    unlike = {"X-Request-ID"}
    headers, expected = (dict(found.items()) for found in (response, nowhere))
    assert {name: value for name, value in headers.items() if name not in unlike} == {
        name: value for name, value in expected.items() if name not in unlike
    }


@pytest.mark.usefixtures("_from_the_office")
def test_home_page_links_to_the_admin_from_there_only(public: SurfaceClient) -> None:
    pages = [public.get("/", HTTP_ACCEPT="text/html", REMOTE_ADDR=address) for address in (OFFICE, HOME)]

    assert ['href="/admin/"' in page.content.decode() for page in pages] == [True, False]


@pytest.mark.django_db
@pytest.mark.usefixtures("_from_the_office")
@pytest.mark.parametrize("address", [OFFICE, "2001:db8::1", "::ffff:192.0.2.7"])
def test_it_answers_its_networks(public: SurfaceClient, address: str) -> None:
    assert public.get("/admin/login/", REMOTE_ADDR=address).status_code == 200


@pytest.mark.usefixtures("_from_the_office")
def test_forwarded_address_counts_from_a_trusted_proxy_only(public: SurfaceClient, settings: Any) -> None:
    assert public.get("/admin/login/", REMOTE_ADDR=HOME, HTTP_X_FORWARDED_FOR=OFFICE).status_code == 404

    settings.TRUSTED_PROXIES = ["192.0.2.7/32"]
    addresses._trusted_networks.cache_clear()
    try:
        assert public.get("/admin/login/", REMOTE_ADDR=OFFICE, HTTP_X_FORWARDED_FOR=HOME).status_code == 404
    finally:
        addresses._trusted_networks.cache_clear()


@pytest.mark.django_db
def test_everybody_is_answered_by_default(public: SurfaceClient) -> None:
    assert public.get("/admin/login/", REMOTE_ADDR=HOME).status_code == 200


@pytest.mark.django_db
def test_no_other_site_may_load_or_open_the_pages(olivia: Operator) -> None:
    for path in ("/admin/", "/admin/login/", "/admin/nowhere/"):
        response = olivia.client.get(path)
        policies = {name: response[f"Cross-Origin-{name}-Policy"] for name in ("Opener", "Resource", "Embedder")}
        assert policies == {"Opener": "same-origin", "Resource": "same-origin", "Embedder": "require-corp"}
