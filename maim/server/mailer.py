"""The process that sends queued mails."""

from __future__ import annotations

import logging

from django.db import connection

from accounts.mail.sender import reason, send_due
from core.db import DATABASE_ERRORS
from maim.server.background import BackgroundProcess


class Mailer(BackgroundProcess):
    """A loop that sends the mails that are due. A mail under way is finished first."""

    log = logging.getLogger("maim.mail")

    def work(self) -> str | None:
        try:
            send_due()
        except DATABASE_ERRORS as error:
            connection.close()
            return f"mails wait for the database: {type(error).__name__}"
        except OSError as error:
            return f"mails wait for the mail server: {reason(error)}"
        return None
