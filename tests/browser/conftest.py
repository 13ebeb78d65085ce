"""A real browser before a real server, for tests of pages: `make test-browser`.

Each test runs in English and in Chinese, at a desktop's width and a phone's, unless it says otherwise. A page may log
no error, ask no other host, and keep the token of a link to itself.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, Request, ViewportSize, expect, sync_playwright

from tests.support.instances import WAIT, free_port, wait_until
from tests.support.mail import Mailbox, token_of
from tests.support.people import PASSWORD
from tests.support.server import ROOT, SETTINGS, MaimServer

CHROMIUM = shutil.which("chromium")
# No sandbox, which root cannot have; and nothing that Chromium asks of the net for itself.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
SCREENSHOTS, PICTURES = ROOT / "var/browser", ROOT / "docs/pictures"
CONFIG = {"bot_config": {"persona": "A patient support agent that explains every step. " * 3}}
SIZES = {"desktop": ViewportSize(width=1280, height=800), "phone": ViewportSize(width=390, height=844)}


class Look(NamedTuple):
    """The language and the size in which a page is seen."""

    language: str
    size: str


LOOKS = [Look(*look) for look in product(("en-US", "zh-CN"), SIZES)]
# Each language and each size once, for tests that take long.
in_two_looks = pytest.mark.parametrize(
    "visit", [Look("en-US", "desktop"), Look("zh-CN", "phone")], indirect=True, ids="-".join
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--write-pictures`, which writes the pictures of the documentation."""
    parser.addoption("--write-pictures", action="store_true", help="write the pictures in docs/pictures")


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
    expect.set_options(timeout=WAIT * 1000)
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
    writes_pictures: bool = False
    requests: list[Request] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._watch()

    def _watch(self) -> None:
        self.page.on("request", self._note_request)
        self.page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _note_request(self, request: Request) -> None:
        self.requests.append(request)

    def close_tab(self) -> None:
        self.page.close()

    def open_tab(self) -> Page:
        """Open another tab in the same browser, which the visit goes on in."""
        self.page = self.page.context.new_page()
        self._watch()
        return self.page

    def follow(self, path: str, token: str) -> Page:
        """Open the link of a mail."""
        self.tokens.append(token)
        self.page.goto(f"{path}#token={token}")
        return self.page

    def screenshot(self, what: str) -> None:
        """Keep a picture of the whole page in SCREENSHOTS."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{self.name}-{what}.png", full_page=True)

    def picture(self, name: str) -> None:
        """Keep a picture of the window and, if asked to, the one of this name in the documentation."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{self.name}-{name}.png")
        if self.writes_pictures and self.look == Look("en-US", "desktop"):
            PICTURES.mkdir(exist_ok=True)
            self.page.screenshot(path=PICTURES / f"{name}.png")

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
    context.set_default_timeout(WAIT * 1000)
    page = context.new_page()
    name = request.node.name.removeprefix("test_").replace("[", "-").rstrip("]")
    visit = Visit(page, look, name, request.config.getoption("--write-pictures"))
    yield visit
    sent = [line for each in visit.requests for line in (each.url.partition("#")[0], each.headers.get("referer", ""))]
    kept = [visit.page.url, visit.page.evaluate("document.referrer"), site.maim.log]
    context.close()
    assert visit.errors == []
    assert {urlsplit(each.url).netloc for each in visit.requests} <= {urlsplit(site.maim.public).netloc}
    assert [token for token in visit.tokens for text in sent + kept if token in text] == []


def enter_password(page: Page, username: str = "olivia") -> None:
    """Sign in to the admin as far as a password leads."""
    page.goto("/admin/")
    page.locator("[name=username]").fill(username)
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("[type=submit]").click()


@pytest.fixture
def page(visit: Visit) -> Page:
    """The admin, where Olivia is signed in."""
    enter_password(visit.page)
    expect(visit.page.locator("#main")).to_be_visible()
    return visit.page


def make_operator(maim: MaimServer, username: str) -> None:
    """Make an operator who may do everything."""
    names = {"DJANGO_SUPERUSER_USERNAME": username, "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    maim.manage("createsuperuser", "--noinput", **names)


@pytest.fixture(scope="session")
def filled_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A maim of Olivia's with made-up data, one row of everything that the admin lists, and long and Chinese names."""
    maim = MaimServer(tmp_path_factory.mktemp("admin"), "maim_admin")
    maim.environment["MAIM_PUBLIC_URL"] = maim.public
    maim.environment["MAIM_EMAIL_URL"] = f"smtp://127.0.0.1:{free_port()}"  # where nobody takes mails: they stay
    maim.migrate()
    maim.manage("demo", "--keys", "200", "--yes")
    make_operator(maim, "olivia")
    run_code(maim, "from tests.test_admin import populate; populate('amy')")
    with maim:
        with maim.client() as client, maim.client("internal") as bot:
            make_rows(client, bot)
        yield Site(maim, Mailbox(free_port()))


def run_code(maim: MaimServer, code: str) -> str:
    """Run a line of Python on the server's database, and return what it prints."""
    return maim.manage("shell", "-v0", "-c", code, DJANGO_SETTINGS_MODULE=SETTINGS).strip()


def make_rows(client: httpx.Client, bot: httpx.Client) -> None:
    """Make a person with a tenant, in which one of two agents has two keys that were used."""
    person = {"username": "agatha", "password": PASSWORD}
    client.post("/api/v1/auth/register", json=person).raise_for_status()
    token = client.post("/api/v1/auth/login", json=person).raise_for_status().json()["access_token"]
    client.headers["Authorization"] = f"Bearer {token}"

    def make(path: str, **body: Any) -> Any:
        return client.post(f"/api/v1/{path}", json=body).raise_for_status().json()

    agent = make("agents", name="A bot with a name that is longer than most", config=CONFIG)
    make("agents", name="客服机器人", config={})
    for name in ("production", "测试环境的密钥"):
        secret = make(f"agents/{agent['id']}/api_keys", name=name, permissions=["chat", "agent:read"])["api_key"]
        bot.post("/api/v2/auth/validate-api-key", json={"api_key": secret}).raise_for_status()
