"""The work of operators in the admin, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.admin_pages import make_rows
from tests.browser.conftest import Site, Visit
from tests.support.instances import free_port, wait_until
from tests.support.mail import Mailbox
from tests.support.people import PASSWORD
from tests.support.server import MaimServer

_numbers = count(1)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    maim = MaimServer(tmp_path_factory.mktemp("work"), "maim_work")
    maim.environment["MAIM_PUBLIC_URL"] = maim.public
    with maim:
        maim.manage(
            "createsuperuser", "--noinput", DJANGO_SUPERUSER_USERNAME="olivia", DJANGO_SUPERUSER_PASSWORD=PASSWORD
        )
        with maim.client() as client, maim.client("internal") as bot:
            make_rows(client, bot)
        yield Site(maim, Mailbox(free_port()))


def code_of(site: Site, secret: str) -> Any:
    """Return what a bot is told about a key."""
    with site.maim.client("internal") as bot:
        response: httpx.Response = bot.post("/api/v2/auth/validate-api-key", json={"api_key": secret})
    return response.json()["data"]["code"]


def find(page: Page, text: str) -> None:
    """Type into the command palette."""
    page.keyboard.press("Control+k")
    box = page.locator("#search-input-command")
    expect(box).to_be_focused()
    box.fill(text)
    expect(page.locator("#command-results *").first).to_be_visible()


def test_key_is_issued_seen_once_found_by_its_secret_and_disabled(visit: Visit, page: Page, site: Site) -> None:
    page.goto("/admin/agents/agent/")
    agent_id = page.locator(".field-id").first.inner_text().split()[-1]
    page.goto(f"/admin/apikeys/apikey/add/?agent={agent_id}")
    page.locator("[name=name]").fill(f"key {next(_numbers)}")
    page.locator("[name=_save]").click()
    secret = page.locator("#value").inner_text()
    visit.screenshot("secret")
    assert secret.startswith("mmc_")
    assert code_of(site, secret) == "VALID"

    page.reload()
    expect(page).to_have_url(re.compile("/admin/apikeys/apikey/.+/change/"))
    assert secret not in page.content()

    page.goto("/admin/")
    find(page, secret)
    visit.screenshot("palette")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/admin/apikeys/apikey/.+/change/"))
    page.locator("[name=status]").select_option("disabled")
    page.locator("[name=_continue]").click()
    expect(page.locator("[name=status]")).to_have_value("disabled")
    wait_until(lambda: code_of(site, secret) == "AUTH_004", "the key is refused")
    assert not [request.url for request in visit.requests if secret in request.url]
    assert secret not in site.maim.log


def test_config_version_is_compared_and_restored(visit: Visit, page: Page) -> None:
    page.goto("/admin/agents/agent/")
    page.goto(page.locator("#result_list tbody a").first.get_attribute("href") or "")
    number = next(_numbers)
    page.locator("[name=config]").fill(f'{{"persona": "calm {number}"}}')
    page.locator("[name=_continue]").click()
    expect(page.locator("[name=config]")).to_have_value(re.compile(f"calm {number}"))

    page.goto(page.url.replace("/change/", "/config/"))
    visit.screenshot("config")
    page.locator("a[href*='/config/1/']").click()
    visit.screenshot("comparison")
    page.locator("main, #main").locator("form [type=submit]").last.click()
    expect(page).to_have_url(re.compile("/config/$"))
    assert f"calm {number}" not in page.locator("table").first.inner_text()
