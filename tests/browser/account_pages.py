"""The pages that links in mails lead to, as people use them."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, Visit
from tests.browser.page_checks import faults_of
from tests.support.people import PASSWORD

NEW_PASSWORD = "a new password 2026"
CONFIRM = "Confirm your e-mail address"
PAGES = ("accept-invitation", "reset-password", "verify-email")
DONE = {
    "reset-password": {
        "en-US": "The password is set, and all sessions have ended. Sign in again.",
        "zh-CN": "密码已设置，所有会话均已结束，请重新登录。",
    },
    "verify-email": {"en-US": "The e-mail address is confirmed.", "zh-CN": "邮箱已确认。"},
    "accept-invitation": {
        "en-US": "The account is open. Sign in with your username and password.",
        "zh-CN": "账号已注册，请使用用户名和密码登录。",
    },
}
_numbers = count(1)


class Newcomer:
    """Somebody with an account and an address, which they have not confirmed."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.username = f"somebody {next(_numbers)}"
        self.email = f"{self.username.replace(' ', '')}@example.com"
        body = {"username": self.username, "password": PASSWORD, "email": self.email}
        assert self.post("register", body).status_code == 200

    def post(self, path: str, body: dict[str, str]) -> Any:
        with self.site.maim.client() as client:
            return client.post(f"/api/v1/auth/{path}", json=body)

    def forget(self) -> str:
        """Ask for a new password, and return the token of the link."""
        self.post("password/forgot", {"email": self.email})
        return self.site.mailed_token(self.email, "Set a new password")


@pytest.fixture
def newcomer(site: Site) -> Newcomer:
    return Newcomer(site)


def follow(visit: Visit, action: str, token: str) -> Page:
    page = visit.follow(f"/account/{action}", token)
    expect(page.get_by_role("button")).to_be_enabled()
    return page


def expect_done(visit: Visit, action: str) -> None:
    status = visit.page.get_by_role("status")
    expect(status).to_have_text(DONE[action][visit.look.language])
    expect(status).to_be_focused()
    expect(visit.page.get_by_role("button")).to_be_hidden()
    visit.screenshot("done")


def test_password_is_set(visit: Visit, newcomer: Newcomer) -> None:
    page = follow(visit, "reset-password", newcomer.forget())
    expect(page.locator("#new_password")).to_be_focused()
    visit.screenshot("form")

    page.keyboard.type(newcomer.username)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).not_to_be_empty()
    expect(page.locator("#new_password")).to_be_focused()
    expect(page.locator("#new_password")).to_have_attribute("aria-invalid", "true")
    visit.expect_error(400)
    visit.screenshot("refused")

    page.locator("#new_password").fill(NEW_PASSWORD)
    page.keyboard.press("Enter")

    expect_done(visit, "reset-password")
    assert newcomer.post("login", {"username": newcomer.username, "password": NEW_PASSWORD}).status_code == 200


def test_used_link_says_so(visit: Visit, newcomer: Newcomer) -> None:
    token = newcomer.forget()
    newcomer.post("password/reset", {"token": token, "new_password": NEW_PASSWORD})
    page = follow(visit, "reset-password", token)
    page.keyboard.type(NEW_PASSWORD)

    page.keyboard.press("Enter")

    expect(page.get_by_role("alert")).not_to_be_empty()
    visit.expect_error(400)
    visit.screenshot("refused")


def test_address_is_confirmed(visit: Visit, newcomer: Newcomer) -> None:
    page = follow(visit, "verify-email", newcomer.site.mailed_token(newcomer.email, CONFIRM))
    expect(page.get_by_role("button")).to_be_focused()
    visit.screenshot("form")

    page.keyboard.press("Enter")

    expect_done(visit, "verify-email")


def test_invitation_is_accepted(visit: Visit, site: Site, newcomer: Newcomer) -> None:
    email = f"invited-{newcomer.email}"
    site.maim.manage("invitations", "create", email)
    page = follow(visit, "accept-invitation", site.mailed_token(email, "Invitation to register"))
    expect(page.locator("#username")).to_be_focused()
    visit.screenshot("form")

    page.keyboard.type(newcomer.username)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).not_to_be_empty()
    expect(page.locator("#username")).to_be_focused()
    visit.expect_error(400)
    visit.screenshot("refused")

    page.locator("#username").fill(f"invited {newcomer.username}")
    page.keyboard.press("Enter")

    expect_done(visit, "accept-invitation")
    login = {"username": f"invited {newcomer.username}", "password": PASSWORD}
    assert newcomer.post("login", login).status_code == 200


def test_server_that_does_not_answer_is_told(visit: Visit, newcomer: Newcomer) -> None:
    page = follow(visit, "verify-email", newcomer.site.mailed_token(newcomer.email, CONFIRM))
    page.context.set_offline(True)

    page.get_by_role("button").click()

    expect(page.get_by_role("alert")).not_to_be_empty()
    expect(page.get_by_role("button")).to_be_enabled()
    visit.errors.clear()


def test_link_without_its_token_is_told(visit: Visit) -> None:
    for action in PAGES:
        visit.page.goto(f"/account/{action}")

        expect(visit.page.get_by_role("alert")).not_to_be_empty()
        expect(visit.page.get_by_role("button")).to_be_disabled()
        visit.screenshot(action)


def test_everybody_can_read_and_use_the_pages(visit: Visit) -> None:
    for action in PAGES:
        page = follow(visit, action, "a-token-that-nobody-has-0123456789")
        page.get_by_role("alert").evaluate("alert => alert.textContent = document.title")

        assert str(page.evaluate("document.documentElement.lang")).startswith(visit.look.language[:2])
        assert faults_of(visit, action) == []
