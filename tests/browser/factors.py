"""Authenticator apps in the admin, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count

import pyotp
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, Visit, enter_password, make_operator
from tests.support.instances import free_port
from tests.support.mail import Mailbox
from tests.support.people import PASSWORD
from tests.support.server import MaimServer

_numbers = count(1)
FACTORS = "/admin/factors/"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A maim in which operators need a second factor."""
    maim = MaimServer(tmp_path_factory.mktemp("factors"), "maim_factors", MAIM_ADMIN_REQUIRE_MFA="true")
    maim.environment["MAIM_PUBLIC_URL"] = maim.public
    with maim:
        yield Site(maim, Mailbox(free_port()))


@pytest.fixture
def olivia(site: Site) -> str:
    """The name of an operator without a factor."""
    username = f"olivia {next(_numbers)}"
    make_operator(site.maim, username)
    return username


def submit(page: Page, action: str, **fields: str) -> None:
    """Fill in the form of a change, and send it."""
    form = page.locator(f"form:has([value={action}])")
    for name, value in fields.items():
        form.locator(f"[name={name}]").fill(value)
    form.locator("[type=submit]").click()


def test_operator_adds_the_app_that_is_required_and_signs_in_with_it(visit: Visit, olivia: str) -> None:
    page = visit.page
    enter_password(page, olivia)
    expect(page).to_have_url(re.compile(FACTORS))
    visit.screenshot("required")

    submit(page, "begin", password=PASSWORD)
    expect(page.locator("svg.segno")).to_be_visible()
    visit.screenshot("code")
    app = pyotp.TOTP(page.locator("pre").inner_text().strip())
    submit(page, "confirm", code="000000")
    expect(page.locator(".errors ul")).to_be_visible()
    visit.screenshot("wrong")
    submit(page, "confirm", code=app.now())
    recovery_codes = page.locator("pre").inner_text().split()
    assert len(recovery_codes) == 10
    visit.screenshot("recovery-codes")

    page.goto(FACTORS)
    visit.screenshot("listed")
    page.context.clear_cookies()
    enter_password(page, olivia)
    expect(page).to_have_url(re.compile("/admin/second-factor/"))
    page.locator("[name=code]").fill("000000")
    page.locator("#login-form [type=submit]").click()
    expect(page.locator(".errors ul, .errornote")).to_be_visible()
    visit.screenshot("second-step-wrong")
    page.locator("[name=code]").fill(recovery_codes[0])  # because the code of this half minute is used
    page.locator("#login-form [type=submit]").click()
    expect(page).to_have_url(re.compile("/admin/$"))

    page.goto(FACTORS)
    submit(page, "remove", password=PASSWORD)
    expect(page.locator("[value=begin]")).to_be_attached()
    visit.screenshot("removed")
