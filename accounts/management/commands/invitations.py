from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from accounts import services
from accounts.models import Invitation
from core.actor import Actor, command_actor
from core.commands.exit_codes import EXPECTED_ERRORS, command_error
from core.commands.formatting import format_json, format_table
from core.commands.options import add_json
from core.commands.subcommands import Options, SubcommandsCommand
from core.http.responses import utc_text

EXIT_CODES = (
    "Exit status: 0, it is done; 1, a rule or the input forbids it, and nothing has changed; 2, the command line is "
    "wrong; 3, there is no such invitation, and nothing has changed; 5, the database does not answer."
)


class Command(SubcommandsCommand):
    """Management of invitations to register, through the services that the admin calls."""

    help = "Invites people to register, and lists and revokes invitations."
    exit_codes = EXIT_CODES
    actor: Actor

    def add_arguments(self, parser: CommandParser) -> None:
        add = self.subcommand_adder(parser)
        create = add("create", self.create, "Sends a link to register, or shows it this once where mail is not set up")
        create.add_argument("email", metavar="ADDRESS", help="the e-mail address of the new user")
        add_json(add("list", self.list, "Lists the invitations that wait, newest first"))
        revoke = add("revoke", self.revoke, "Revokes an invitation, whose link is not good any more")
        revoke.add_argument("id", metavar="ID", help="as `list` shows it")

    def handle(self, *args: Any, **options: Any) -> None:
        self.actor = command_actor(f"invitations {options['subcommand']}")
        try:
            options["handler"](options)
        except EXPECTED_ERRORS as error:
            raise command_error(error, {"email": "ADDRESS"}) from error

    def create(self, options: Options) -> None:
        link = services.invite(actor=self.actor, email=options["email"]).link
        self.stdout.write(link or "A mail with the link is on its way")

    def list(self, options: Options) -> None:
        rows = list(services.operator_invitations())
        if options["json"]:
            self.stdout.write(format_json({"items": [_document(row) for row in rows]}))
        else:
            table = [[row.id, row.email, utc_text(row.expires_at.replace(microsecond=0))] for row in rows]
            self.stdout.write(format_table(["ID", "ADDRESS", "EXPIRES"], table))

    def revoke(self, options: Options) -> None:
        services.revoke_invitation(actor=self.actor, invitation_id=options["id"])
        self.stdout.write("Revoked")


def _document(row: Invitation) -> dict[str, str]:
    return {
        "id": row.id,
        "email": row.email,
        "created_at": utc_text(row.created_at),
        "expires_at": utc_text(row.expires_at),
    }
