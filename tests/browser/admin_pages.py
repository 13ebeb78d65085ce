"""Every page of the admin, in a real browser: nothing is cut off at any width, light or dark, in either language."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Site, Visit
from tests.support.instances import free_port
from tests.support.mail import Mailbox
from tests.support.people import PASSWORD
from tests.support.server import MaimServer

LISTS = [
    "tenants/tenant",
    "agents/agent",
    "apikeys/apikey",
    "agents/template",
    "agents/configversion",
    "accounts/user",
    "accounts/invitation",
    "tenants/tenantinvitation",
    "accounts/personaltoken",
    "accounts/queuedmail",
    "common/auditentry",
    "apikeys/usagelogentry",
]
OBJECTS = [
    "tenants/tenant",
    "agents/agent",
    "apikeys/apikey",
    "accounts/user",
    "agents/configversion",
    "common/auditentry",
]
ADDABLE = [
    "tenants/tenant",
    "agents/agent",
    "apikeys/apikey",
    "agents/template",
    "accounts/user",
    "accounts/invitation",
]
CONFIG = {"bot_config": {"persona": "A patient support agent that explains every step. " * 3}}
# Elements whose text is wider or higher than they are, and does not say by an ellipsis that it is cut off.
CUT_OFF = """() => [...document.querySelectorAll('h1, h2, h3, th, td, a, button, label, p, span, option')]
  .filter(each => each.checkVisibility() && each.scrollWidth > each.clientWidth + 1 && each.clientWidth > 0)
  .filter(each => !/auto|scroll/.test(getComputedStyle(each).overflowX) && getComputedStyle(each).display !== 'inline')
  .filter(each => getComputedStyle(each).textOverflow !== 'ellipsis')
  .map(each => each.outerHTML.slice(0, 200))"""
WIDER_THAN_THE_SCREEN = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A maim with a tenant of Alice's that has a bot with two keys."""
    maim = MaimServer(tmp_path_factory.mktemp("admin"), "maim_admin")
    maim.environment["MAIM_PUBLIC_URL"] = maim.public
    with maim:
        names = {"DJANGO_SUPERUSER_USERNAME": "olivia", "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
        maim.manage("createsuperuser", "--noinput", **names)
        with maim.client() as client, maim.client("internal") as bot:
            make_rows(client, bot)
        yield Site(maim, Mailbox(free_port()))


def make_rows(client: httpx.Client, bot: httpx.Client) -> None:
    alice = {"username": "alice", "password": PASSWORD}
    client.post("/api/v1/auth/register", json=alice).raise_for_status()
    token = client.post("/api/v1/auth/login", json=alice).raise_for_status().json()["access_token"]
    client.headers["Authorization"] = f"Bearer {token}"

    def make(path: str, **body: Any) -> Any:
        return client.post(f"/api/v1/{path}", json=body).raise_for_status().json()

    agent = make("agents", name="A bot with a name that is longer than most", config=CONFIG)
    make("agents", name="客服机器人", config={})
    for name in ("production", "测试环境的密钥"):
        secret = make(f"agents/{agent['id']}/api_keys", name=name, permissions=["chat", "agent:read"])["api_key"]
        bot.post("/api/v2/auth/validate-api-key", json={"api_key": secret}).raise_for_status()


def look_at(visit: Visit, name: str) -> None:
    """Keep a picture of the page, light and dark, and check that it is whole."""
    for scheme in ("light", "dark"):
        visit.page.emulate_media(color_scheme=scheme)
        visit.page.reload()
        visit.page.wait_for_function("document.fonts.status === 'loaded'")
        visit.screenshot(f"{name.replace('/', '-')}-{scheme}")
        assert visit.page.evaluate(WIDER_THAN_THE_SCREEN) <= 0, f"{name} is wider than the screen"
        assert visit.page.evaluate(CUT_OFF) == [], name


def test_lists_and_forms_are_whole(visit: Visit, page: Page) -> None:
    look_at(visit, "index")
    for model in LISTS:
        page.goto(f"/admin/{model}/")
        look_at(visit, model)
    for model in ADDABLE:
        page.goto(f"/admin/{model}/add/")
        look_at(visit, f"{model}-add")


def test_pages_of_objects_are_whole(visit: Visit, page: Page) -> None:
    for model in OBJECTS:
        page.goto(f"/admin/{model}/")
        page.goto(page.locator("#result_list tbody a").first.get_attribute("href") or "")
        look_at(visit, f"{model}-change")
        if page.get_by_role("link", name="Delete").count():
            page.get_by_role("link", name="Delete").first.click()
            look_at(visit, f"{model}-delete")


def test_login_page_is_whole(visit: Visit) -> None:
    visit.page.goto("/admin/login/")
    look_at(visit, "login")
