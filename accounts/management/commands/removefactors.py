from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts import services
from accounts.models import User
from core.actor import command_actor
from core.commands.base import MaimCommand
from core.errors import Conflict


class Command(MaimCommand):
    help = "Removes all second factors of a user who has lost them; make sure first that it is they who ask."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            user = User.objects.get_by_natural_key(options["username"])
            services.remove_factors(actor=command_actor("removefactors"), user=user)
        except User.DoesNotExist as error:
            raise CommandError(f"There is no user {options['username']!r}") from error
        except Conflict as error:
            raise CommandError(str(error.detail)) from error
        self.stdout.write(f"{user} has no second factor any more, and signs in with the password alone")
