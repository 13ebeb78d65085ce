from __future__ import annotations

from django.core.management.base import CommandParser

from accounts import services
from accounts.models import Invitation
from core.commands.formatting import time_text
from core.commands.options import add_json
from core.commands.subcommands import Options, SubcommandsCommand
from core.http.responses import utc_text


class Command(SubcommandsCommand):
    """Management of invitations to register, through the services that the admin calls."""

    help = "Invites people to register, and lists and revokes invitations."
    option_names = {"email": "ADDRESS"}

    def add_arguments(self, parser: CommandParser) -> None:
        add = self.subcommand_adder(parser)
        create = add("create", self.create, "Sends a link to register, or shows it this once where mail is not set up")
        create.add_argument("email", metavar="ADDRESS", help="the e-mail address of the new user")
        add_json(add("list", self.list, "Lists the invitations that wait, newest first"))
        revoke = add("revoke", self.revoke, "Revokes an invitation, whose link is not good any more")
        revoke.add_argument("id", metavar="ID", help="as `list` shows it")

    def create(self, options: Options) -> None:
        link = services.invite(actor=self.actor, email=options["email"]).link
        self.out.text(link or "A mail with the link is on its way")

    def list(self, options: Options) -> None:
        rows = list(services.operator_invitations())
        if options["json"]:
            self.out.json({"items": [_document(row) for row in rows]})
        else:
            table = [[row.id, row.email, time_text(row.expires_at)] for row in rows]
            self.out.table(["ID", "ADDRESS", "EXPIRES"], table)

    def revoke(self, options: Options) -> None:
        services.revoke_invitation(actor=self.actor, invitation_id=options["id"])
        self.out.text("Revoked")


def _document(row: Invitation) -> dict[str, str]:
    return {
        "id": row.id,
        "email": row.email,
        "created_at": utc_text(row.created_at),
        "expires_at": utc_text(row.expires_at),
    }
