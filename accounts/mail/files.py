"""A mail backend that writes each mail to a file, which only its owner may read."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.utils import timezone

log = logging.getLogger("maim.mail")


KEPT_FOR = timedelta(days=30)  # longer than any link in them is good


def sweep() -> int:
    """Delete the mails in the data directory that are older than KEPT_FOR, and return their number."""
    oldest = (timezone.now() - KEPT_FOR).timestamp()
    old = [path for path in settings.MAIL_DIRECTORY.glob("*.eml") if path.stat().st_mtime < oldest]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


class EmailBackend(BaseEmailBackend):
    """A backend that writes mails to EMAIL_FILE_PATH. Django's own makes files that everybody may read."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        directory = Path(str(settings.EMAIL_FILE_PATH))
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for message in email_messages:
            path = directory / f"{timezone.now():%Y%m%d-%H%M%S}-{secrets.token_hex(4)}.eml"
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(message.message().as_bytes())
            log.info("a mail was written to %s", path)
        return len(email_messages)
