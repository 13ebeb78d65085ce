"""The parsers of the settings about mail. They raise ValueError, whose text has no secrets."""

from __future__ import annotations

import re
from email.utils import parseaddr
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from pydantic import SecretStr

SMTP, CONSOLE = "django.core.mail.backends.smtp.EmailBackend", "django.core.mail.backends.console.EmailBackend"
FILES = "accounts.mail.files.EmailBackend"
_PORTS = {"smtp": 25, "smtp+tls": 587, "smtps": 465}
_SHAPE = (
    "must be smtp+tls://user:password@host:587 (STARTTLS), smtps://…:465 (TLS), smtp://…:25, file:///directory or "
    "console:; write special characters in its password as %40 and the like"
)


class MailServer(NamedTuple):
    """The mail server, or its substitute, as Django's EMAIL_ settings have it."""

    backend: str
    host: str = "localhost"
    port: int = 25
    user: str = ""
    password: str = ""
    use_tls: bool = False
    use_ssl: bool = False
    timeout: int = 10  # seconds without which a server that hangs would hold up all mails
    directory: str | None = None


def parse_email_url(url: str) -> MailServer:
    """Return where mails go. Raise ValueError."""
    try:
        parts = urlsplit(url)
        port, options = parts.port, dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    except ValueError:  # whose text may hold a part of the password
        raise ValueError(_SHAPE) from None
    if url in ("console:", "console://"):
        return MailServer(CONSOLE)
    if parts.scheme == "file" and parts.path.startswith("/") and not parts.netloc and not options:
        return MailServer(FILES, directory=unquote(parts.path))
    if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.fragment:
        raise ValueError(_SHAPE)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not (user + password).isascii():
        raise ValueError("must have a user and a password of ASCII characters, because SMTP takes no others")
    return MailServer(
        SMTP,
        host=parts.hostname,
        port=port or _PORTS[parts.scheme],
        user=user,
        password=password,
        use_tls=parts.scheme == "smtp+tls",
        use_ssl=parts.scheme == "smtps",
        timeout=_timeout(options),
    )


def _timeout(options: dict[str, str]) -> int:
    text = options.pop("timeout", str(MailServer._field_defaults["timeout"]))
    if options:
        raise ValueError(f"has an unknown option {min(options)!r}; there is timeout, in seconds")
    if not re.fullmatch(r"[1-9][0-9]?", text):
        raise ValueError("timeout must be 1 to 99 seconds")
    return int(text)


def check_email_url(url: SecretStr) -> SecretStr:
    parse_email_url(url.get_secret_value())
    return url


def check_sender(text: str) -> str:
    """Return the sender of mails, an address with or without a name. Raise ValueError."""
    try:
        validate_email(parseaddr(text)[1])
    except ValidationError:
        raise ValueError("must be an address, such as maim@example.com or maim <maim@example.com>") from None
    if not text.isprintable():
        raise ValueError("must be one line of printable characters")
    return text


def check_links(template: str) -> str:
    """Return the template of the links in mails. Raise ValueError.

    The token must be in the fragment, which browsers send to no server: neither in a request nor in a Referer.
    """
    before, _, fragment = template.partition("#")
    names = sorted(re.findall(r"\{[^}]*\}?|\}", template))
    is_good = urlsplit(before).scheme in ("http", "https") and names == ["{action}", "{token}"]
    if not is_good or "{token}" not in fragment or not template.isprintable() or " " in template:
        raise ValueError(
            "must be a URL with {action}, and {token} after #: https://console.example.com/{action}#token={token}"
        )
    return template
