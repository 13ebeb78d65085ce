"""The check of the mail server."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.core.mail import get_connection

from maim.doctor.findings import Finding, Level
from maim.email_url import SMTP


def check_mail() -> Iterator[Finding]:
    """Sign in to the mail server, without sending a mail."""
    if not settings.MAIL_IS_SET_UP:
        yield Finding("mail", Level.OK, f"No mail server is set up; links go to files in {settings.MAIL_DIRECTORY}")
        return
    if settings.EMAIL_BACKEND != SMTP:
        yield Finding(
            "mail", Level.WARNING, "Mails are written to a file or the console", "Set MAIM_EMAIL_URL to a mail server"
        )
        return
    server = get_connection()
    try:
        server.open()
    finally:
        server.close()
    place = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
    if settings.EMAIL_USE_TLS or settings.EMAIL_USE_SSL:
        yield Finding("mail", Level.OK, f"{place} answers")
    else:
        yield Finding(
            "mail",
            Level.WARNING,
            f"{place} answers, and mails go there without encryption, links to set passwords among them",
            "Use smtp+tls:// or smtps:// in MAIM_EMAIL_URL",
        )
