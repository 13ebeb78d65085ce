"""The settings about mail."""

from __future__ import annotations

import pytest

from maim.email_url import CONSOLE, FILES, SMTP, MailServer, check_links, check_sender, parse_email_url
from maim.environment import Environment, InvalidEnvironment

pytestmark = pytest.mark.embedded
PASSWORD = "not-to-be-printed"


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example.com", MailServer(SMTP, host="mail.example.com", port=25)),
        (
            "smtp+tls://maim%40example.com:p%40ss@mail.example.com",
            MailServer(SMTP, host="mail.example.com", port=587, user="maim@example.com", password="p@ss", use_tls=True),
        ),
        ("smtps://mail.example.com:8465", MailServer(SMTP, host="mail.example.com", port=8465, use_ssl=True)),
        ("smtp://[2001:db8::1]?timeout=30", MailServer(SMTP, host="2001:db8::1", timeout=30)),
        ("file:///var/mail/ma%20im", MailServer(FILES, directory="/var/mail/ma im")),
        ("console:", MailServer(CONSOLE)),
    ],
)
def test_url_names_the_mail_server(url: str, server: MailServer) -> None:
    assert parse_email_url(url) == server


@pytest.mark.parametrize(
    "url",
    [
        *("", "mail.example.com", "smtp:", "smtp://", "http://mail.example.com", "smtp://mail.example.com/inbox"),
        *("smtp://mail.example.com:99999", "smtp://mail.example.com:x", "smtp://[::1", "smtp://mail.example.com#x"),
        *("smtp://mail.example.com?tls=1", "smtp://mail.example.com?timeout=0", "smtp://mail.example.com?timeout=x"),
        *("smtp://mail.example.com?x", "file://mail", "file:mail", "file:///mail?x=1", "console:x"),
        f"smtp://maim:{PASSWORD}/@mail.example.com:x",
        f"smtp://maim:{PASSWORD}%E5%AF%86@mail.example.com",
    ],
)
def test_malformed_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"must|unknown option") as raised:
        parse_email_url(url)

    assert PASSWORD not in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


@pytest.mark.parametrize("sender", ["maim@example.com", "maim <maim@example.com>", "客服 <maim@example.com>"])
def test_sender_is_an_address(sender: str) -> None:
    assert check_sender(sender) == sender


@pytest.mark.parametrize("sender", ["maim", "maim <maim>", "a@example.com\nBcc: b@example.com", "m\n <a@example.com>"])
def test_malformed_sender_is_refused(sender: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        check_sender(sender)


@pytest.mark.parametrize(
    "links", ["https://c.example.com/{action}#token={token}", "http://c.example.com/#/{action}?token={token}"]
)
def test_links_have_their_token_in_the_fragment(links: str) -> None:
    assert check_links(links) == links


@pytest.mark.parametrize(
    "links",
    [
        *("https://c.example.com/{action}?token={token}", "https://c.example.com/{action}", "https://c#token={token}"),
        *("https://c/{action}#{token}{token}", "https://c/{action}#{token}{x}", "https://c/{action}#{token}}"),
        *("javascript:{action}#{token}", "//c/{action}#{token}", "https://c/ {action}#{token}"),
    ],
)
def test_other_links_are_refused(links: str) -> None:
    with pytest.raises(ValueError, match="and \\{token\\} after #"):
        check_links(links)


def test_mail_server_needs_links(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAIM_PUBLIC_URL", raising=False)
    monkeypatch.setenv("MAIM_EMAIL_URL", "smtp://mail.example.com")
    with pytest.raises(InvalidEnvironment, match="MAIM_EMAIL_URL: needs MAIM_PUBLIC_URL or MAIM_EMAIL_LINKS"):
        Environment()  # type: ignore[call-arg]  # every field has a default

    monkeypatch.setenv("MAIM_PUBLIC_URL", "https://maim.example.com")
    environment = Environment()  # type: ignore[call-arg]  # every field has a default
    assert environment.email_links == "https://maim.example.com/account/{action}#token={token}"
    assert environment.email_from == "noreply@maim.example.com"
