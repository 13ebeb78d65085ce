"""A real browser before a real server, for tests of pages: `make test-browser`.

Each test runs in English and in Chinese, at a desktop's width and a phone's. A page may log no error, ask no other
host, and keep the token of a link to itself.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, ViewportSize, expect, sync_playwright

from tests.support.instances import free_port, wait_until
from tests.support.mail import Mailbox, token_of
from tests.support.people import PASSWORD
from tests.support.server import ROOT, MaimServer

CHROMIUM = shutil.which("chromium")
# No sandbox, which root cannot have; and nothing that Chromium asks of the net for itself.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
SCREENSHOTS = ROOT / "var/browser"
SIZES = {"desktop": ViewportSize(width=1280, height=800), "phone": ViewportSize(width=390, height=844)}


class Look(NamedTuple):
    """The language and the size in which a page is seen."""

    language: str
    size: str


LOOKS = [Look(*look) for look in product(("en-US", "zh-CN"), SIZES)]


@dataclass(frozen=True)
class Site:
    """A running maim, and the mail server that it sends to."""

    maim: MaimServer
    mailbox: Mailbox

    def mailed_token(self, to: str, subject: str) -> str:
        """Return the token in the mail with a subject, once it has arrived."""

        def find() -> str | None:
            mails = [mail for mail in self.mailbox.mails if (mail["To"], mail["Subject"]) == (to, subject)]
            return token_of(mails[-1]) if mails else None

        wait_until(lambda: find() is not None, f"the mail to {to}")
        return find() or ""


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    mailbox = Mailbox(free_port())
    maim = MaimServer(tmp_path_factory.mktemp("browser"), "maim_browser")
    maim.environment["MAIM_EMAIL_URL"] = f"smtp://127.0.0.1:{mailbox.port}"
    maim.environment["MAIM_PUBLIC_URL"] = maim.public
    with mailbox.open(), maim:
        yield Site(maim, mailbox)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install --no-install-recommends chromium fonts-dejavu-core fonts-noto-cjk")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Visit:
    """A page in a browser, with what it has asked of servers and logged, and the tokens that its links had."""

    page: Page
    look: Look
    name: str
    requests: list[Request] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", self._note_request)
        self.page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _note_request(self, request: Request) -> None:
        self.requests.append(request)

    def follow(self, path: str, token: str) -> Page:
        """Open the link of a mail."""
        self.tokens.append(token)
        self.page.goto(f"{path}#token={token}")
        return self.page

    def screenshot(self, what: str) -> None:
        """Keep a picture of the whole page in SCREENSHOTS."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{self.name}-{what}.png", full_page=True)

    def expect_error(self, status: int) -> None:
        """Forget the one error that Chromium logs about a response with this status."""
        (error,) = self.errors
        assert f"status of {status}" in error
        self.errors.clear()


@pytest.fixture(params=LOOKS, ids="-".join)
def visit(request: pytest.FixtureRequest, browser: Browser, site: Site) -> Iterator[Visit]:
    """A visit with cookies and a history of its own."""
    look: Look = request.param
    context = browser.new_context(base_url=site.maim.public, locale=look.language, viewport=SIZES[look.size])
    context.set_default_timeout(10_000)
    page = context.new_page()
    name = request.node.name.removeprefix("test_").replace("[", "-").rstrip("]")
    visit = Visit(page, look, name)
    yield visit
    sent = [line for each in visit.requests for line in (each.url.partition("#")[0], each.headers.get("referer", ""))]
    kept = [page.url, page.evaluate("document.referrer"), site.maim.log]
    context.close()
    assert visit.errors == []
    assert {urlsplit(each.url).netloc for each in visit.requests} <= {urlsplit(site.maim.public).netloc}
    assert [token for token in visit.tokens for text in sent + kept if token in text] == []


@pytest.fixture
def page(visit: Visit) -> Page:
    """The admin, where Olivia is signed in."""
    visit.page.goto("/admin/login/?next=/admin/")
    visit.page.locator("[name=username]").fill("olivia")
    visit.page.locator("[name=password]").fill(PASSWORD)
    visit.page.locator("[type=submit]").click()
    expect(visit.page.locator("#main")).to_be_visible()
    return visit.page
