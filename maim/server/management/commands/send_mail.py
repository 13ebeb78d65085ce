from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from accounts.mail.outbox import due
from accounts.mail.sender import reason, send_due
from core.commands.base import MaimCommand


class Command(MaimCommand):
    help = "Sends the mails that are due; `serve` does it by itself. `sendtestemail` tries the mail server."

    def handle(self, *args: Any, **options: Any) -> None:
        number = 0
        try:
            while due(1):
                number += send_due()
        except OSError as error:
            raise CommandError(f"The mail server takes no mails, they wait: {reason(error)}") from error
        self.stdout.write(f"{number} mails sent")
