"""The page of an invitation into a tenant, as new people and those with an account use it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import count
from typing import Any

import pyotp
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, Visit
from tests.browser.page_checks import faults_of
from tests.support.people import PASSWORD

_numbers = count(1)
SUBJECT = "Invitation into a tenant"
ROLES = {"en-US": "admin", "zh-CN": "管理员"}


@dataclass(frozen=True)
class Owner:
    """Somebody who owns a tenant and invites people into it."""

    site: Site
    name: str

    def send(self, method: str, path: str, token: str, body: dict[str, str] | None = None) -> Any:
        headers = {"Authorization": f"Bearer {token}", "Accept-Language": "en"}
        with self.site.maim.client() as client:
            return client.request(method, f"/api/v1/{path}", json=body, headers=headers).json()

    def register(self, username: str, email: str = "") -> str:
        """Register somebody, and return their access token."""
        with self.site.maim.client() as client:
            body = {"username": username, "password": PASSWORD, "email": email}
            assert client.post("/api/v1/auth/register", json=body).status_code == 200
            token = client.post("/api/v1/auth/login", json=body).json()["access_token"]
        return str(token)

    def invite(self, email: str) -> str:
        """Return the token of the link that is mailed to this address."""
        token = self.register(self.name)
        tenant_id = self.send("GET", "auth/me", token)["memberships"][0]["tenant_id"]
        self.send("POST", f"tenants/{tenant_id}/invitations", token, {"email": email, "role": "admin"})
        return self.site.mailed_token(email, SUBJECT)


@pytest.fixture
def owner(site: Site) -> Owner:
    return Owner(site, f"owner {next(_numbers)}")


def follow(visit: Visit, token: str, owner: Owner) -> Page:
    page = visit.follow("/account/join-tenant", token)
    expect(page.locator("dl")).to_contain_text(f"{owner.name}'s Personal Tenant")
    expect(page.locator("dl")).to_contain_text(ROLES[visit.look.language])
    expect(page.locator("#username")).to_be_focused()
    return page


def expect_done(page: Page) -> None:
    expect(page.get_by_role("status")).not_to_be_empty()
    expect(page.get_by_role("status")).to_be_focused()
    expect(page.get_by_role("button")).to_be_hidden()


def roles_of(owner: Owner, token: str) -> list[str]:
    return [each["role"] for each in owner.send("GET", "auth/me", token)["memberships"]]


def test_new_person_registers_and_joins(visit: Visit, owner: Owner) -> None:
    page = follow(visit, owner.invite(f"new-{next(_numbers)}@example.com"), owner)
    assert faults_of(visit, "form") == []

    page.keyboard.type(f"new to {owner.name}")
    page.locator("#password").fill(PASSWORD)
    page.keyboard.press("Enter")

    expect_done(page)
    visit.screenshot("done")


def test_person_with_an_account_and_an_app_joins(visit: Visit, owner: Owner) -> None:
    email, username = f"known-{next(_numbers)}@example.com", f"known to {owner.name}"
    token = owner.register(username, email)
    secret = owner.send("POST", "auth/factors/totp", token, {"password": PASSWORD})["secret"]
    app = pyotp.TOTP(secret)
    owner.send("POST", "auth/factors/totp/confirm", token, {"code": app.at(time.time())})
    page = follow(visit, owner.invite(email), owner)

    page.get_by_role("checkbox").check()
    page.locator("#username").fill(username)
    page.locator("#password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator("#code")).to_be_visible()
    visit.expect_error(403)
    expect(page.locator("#code")).to_be_focused()
    visit.screenshot("code")
    page.locator("#code").fill(app.at(time.time(), counter_offset=1))
    page.get_by_role("button").click()

    expect_done(page)
    visit.screenshot("done")
    assert roles_of(owner, token) == ["owner", "admin"]


def test_account_with_another_address_is_told(visit: Visit, owner: Owner) -> None:
    username = f"other than {owner.name}"
    token = owner.register(username)
    page = follow(visit, owner.invite(f"nobody-{next(_numbers)}@example.com"), owner)

    page.get_by_role("checkbox").check()
    page.locator("#username").fill(username)
    page.locator("#password").fill(PASSWORD)
    page.keyboard.press("Enter")

    expect(page.get_by_role("alert")).not_to_be_empty()
    visit.expect_error(403)
    visit.screenshot("refused")
    assert roles_of(owner, token) == ["owner"]


def test_link_that_is_good_no_more_is_told_at_once(visit: Visit) -> None:
    page = visit.follow("/account/join-tenant", "a-token-that-nobody-has-0123456789")

    expect(page.get_by_role("alert")).not_to_be_empty()
    expect(page.get_by_role("button")).to_be_hidden()
    visit.expect_error(400)
    visit.screenshot("refused")
