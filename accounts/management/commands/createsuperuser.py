from __future__ import annotations

import getpass
import os
import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts import services
from accounts.models import User
from accounts.operator_roles import OperatorRole
from core.actor import command_actor
from core.commands.base import MaimCommand
from core.errors import Invalid


class Command(MaimCommand):
    """Django's command of this name on our service: it writes the audit log, and the e-mail address is optional."""

    help = "Creates an operator who may change everything in the admin."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--username", help="Asked for if not given; with --noinput, DJANGO_SUPERUSER_USERNAME.")
        parser.add_argument("--email", help="May be left out; with --noinput, DJANGO_SUPERUSER_EMAIL.")
        parser.add_argument(
            "--noinput",
            "--no-input",
            action="store_false",
            dest="interactive",
            help="Ask nothing; the password is DJANGO_SUPERUSER_PASSWORD.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        create = self._ask_and_create if options["interactive"] else self._create_from_environment
        try:
            user = create(options["username"], options["email"])
        except (EOFError, KeyboardInterrupt) as error:
            raise CommandError("Cancelled; nobody was created") from error
        self.stdout.write(f"The operator {user} is created")
        if not user.has_usable_password():
            self.stdout.write(f"They have no password yet: manage.py changepassword {user}")

    def _create_from_environment(self, username: str | None, email: str | None) -> User:
        username = username or os.environ.get("DJANGO_SUPERUSER_USERNAME")
        if not username:
            raise CommandError("Name the operator with --username NAME or DJANGO_SUPERUSER_USERNAME")
        email = email if email is not None else os.environ.get("DJANGO_SUPERUSER_EMAIL")
        try:
            return _create(username, email, os.environ.get("DJANGO_SUPERUSER_PASSWORD"))
        except Invalid as error:
            raise CommandError(str(error.detail)) from error

    def _ask_and_create(self, username: str | None, email: str | None) -> User:
        """Ask for the missing values, and again for each one that is refused."""
        if not sys.stdin.isatty():
            raise CommandError("There is no terminal to ask on: use --noinput (see --help)")
        password: str | None = None
        while True:
            username = username or input("Username: ")
            email = input("E-mail address (may be empty): ") if email is None else email
            password = password or self._ask_password()
            try:
                return _create(username, email, password)
            except Invalid as error:
                self.stderr.write(str(error.detail))
                username = None if "username" in error.errors else username
                email = None if "email" in error.errors else email
                password = None if "password" in error.errors else password

    def _ask_password(self) -> str:
        while True:
            password = getpass.getpass("Password: ")
            if password == getpass.getpass("Password again: "):
                return password
            self.stderr.write("The two passwords differ")


def _create(username: str, email: str | None, password: str | None) -> User:
    return services.create_user(
        actor=command_actor("createsuperuser"),
        username=username,
        password=password,
        email=email,
        operator_role=OperatorRole.ADMIN,
    )
