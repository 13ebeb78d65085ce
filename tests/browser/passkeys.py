"""Passkeys in a real browser: the lines of docs/api.md, and the admin. Chromium brings an authenticator for tests."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, Visit, enter_password, make_operator
from tests.support.http import http_client
from tests.support.instances import free_port
from tests.support.mail import Mailbox
from tests.support.people import PASSWORD
from tests.support.server import ROOT, MaimServer

_numbers = count(1)
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


class NamedServer(MaimServer):
    """A server that browsers reach by a name, which passkeys need."""

    @property
    def public(self) -> str:
        return f"http://localhost:{self.public_port}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    maim = NamedServer(tmp_path_factory.mktemp("passkeys"), "maim_passkeys")
    maim.environment["MAIM_PUBLIC_URL"] = maim.public
    with maim:
        yield Site(maim, Mailbox(free_port()))


@pytest.fixture
def authenticator(visit: Visit) -> Callable[[bool], None]:
    """An authenticator in the browser, which confirms what it is asked. The function sets if the finger is right."""
    devtools = visit.page.context.new_cdp_session(visit.page)
    devtools.send("WebAuthn.enable")
    added = devtools.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})

    def set_verified(verified: bool) -> None:
        devtools.send("WebAuthn.setUserVerified", {**added, "isUserVerified": verified})

    return set_verified


@pytest.fixture
def page(visit: Visit, authenticator: Callable[[bool], None]) -> Page:
    """A page of the browser with the authenticator."""
    return visit.page


def documented_lines() -> str:
    """Return the JavaScript that docs/api.md gives to consoles."""
    match = re.search(r"```js\n(.*?)```", (ROOT / "docs/api.md").read_text(), re.DOTALL)
    assert match is not None
    return match[1]


def call(page: Page, function: str, *arguments: str) -> Any:
    """Call one of the documented functions in a page."""
    listed = ", ".join(f"arguments[0][{number}]" for number in range(len(arguments)))
    lines = f"(function () {{ {documented_lines()}\nreturn {function}({listed}); }})"
    return page.evaluate(lines, list(arguments))


def test_lines_of_the_documentation_work(visit: Visit, page: Page, site: Site) -> None:
    username = f"alice {next(_numbers)}"
    with http_client(site.maim.public) as client:
        client.post("/api/v1/auth/register", json={"username": username, "password": PASSWORD})
    page.goto("/account/reset-password")
    token = call(page, "signIn", username, PASSWORD)["access_token"]

    added = call(page, "addPasskey", token, PASSWORD, "laptop")

    assert len(added["recovery_codes"]) == 10
    for tokens in (call(page, "signIn", username, PASSWORD), call(page, "signInByPasskeyAlone")):
        with http_client(site.maim.public) as client:
            me = client.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})
        assert me.json()["username"] == username
    visit.expect_error(403)  # of the password alone


def test_operator_uses_a_passkey_in_the_admin(
    visit: Visit, page: Page, site: Site, authenticator: Callable[[bool], None]
) -> None:
    username = f"olivia {next(_numbers)}"
    make_operator(site.maim, username)
    enter_password(page, username)
    page.goto("/admin/factors/")
    visit.screenshot("none")

    begin = page.locator("form:has([value=begin_passkey])")
    begin.locator("[name=password]").fill(PASSWORD)
    begin.locator("[type=submit]").click()
    page.locator("[name=name]").fill("laptop 💻")
    visit.screenshot("name")
    page.locator("[data-passkey] [type=submit]").click()
    expect(page.locator("pre")).to_be_visible()
    visit.screenshot("added")

    page.goto("/admin/factors/")
    expect(page.locator("bdi").filter(has_text="laptop 💻")).to_be_visible()
    visit.screenshot("listed")
    page.context.clear_cookies()
    enter_password(page, username)
    expect(page).to_have_url(re.compile("/admin/second-factor/"))
    visit.screenshot("second-step")
    authenticator(False)
    page.locator("[data-passkey] [type=submit]").click()
    expect(page.locator("[data-passkey] [role=status]")).not_to_be_empty()
    visit.screenshot("refused")
    authenticator(True)
    page.locator("[data-passkey] [type=submit]").click()
    expect(page).to_have_url(f"{site.maim.public}/admin/")
