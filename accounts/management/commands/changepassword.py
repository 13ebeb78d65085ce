from __future__ import annotations

import getpass
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from accounts import services
from accounts.models import User
from core.actor import command_actor
from core.commands.base import MaimCommand
from core.errors import Invalid


class Command(MaimCommand):
    """Django's command of this name on our service: it ends all sessions and writes the audit log."""

    help = "Sets a user's password; asks for it twice, and ends all their sessions."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            user = User.objects.get_by_natural_key(options["username"])
        except User.DoesNotExist as error:
            raise CommandError(f"There is no user {options['username']!r}") from error
        try:
            password = getpass.getpass("Password: ")
            is_repeated = password == getpass.getpass("Password again: ")
        except EOFError as error:
            raise CommandError("Nobody has entered a password; nothing has changed") from error
        if not is_repeated:
            raise CommandError("The two passwords differ")
        try:
            services.set_password(actor=command_actor("changepassword"), user=user, password=password)
        except Invalid as error:
            raise CommandError(str(error.detail)) from error
        self.stdout.write(f"The password of {user} is changed, and all their sessions have ended")
        if not settings.PASSWORD_LOGIN:
            self.stdout.write(
                "Passwords are switched off (MAIM_PASSWORD_LOGIN): nobody signs in with it; it only links an identity "
                "at a provider to this account"
            )
