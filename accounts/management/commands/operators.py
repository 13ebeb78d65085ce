from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.utils.translation import gettext_lazy as _

from accounts import services
from accounts.models import User
from accounts.operator_roles import OperatorRole
from core.commands.options import add_json
from core.commands.subcommands import Options, SubcommandsCommand
from core.errors import NotFound
from core.text import fold

EXIT_CODES = (
    "Exit status: 0, it is done; 1, a rule forbids it, and nothing has changed; 2, the command line is wrong; 3, there "
    "is no such user, and nothing has changed; 5, the database does not answer."
)
_NONE = "none"


class Command(SubcommandsCommand):
    """Management of operators' roles, through the service that the admin calls."""

    help = (
        "Lists operators, and gives users a role in the admin or takes it away. createsuperuser makes the first admin."
    )
    exit_codes = EXIT_CODES

    def add_arguments(self, parser: CommandParser) -> None:
        add = self.subcommand_adder(parser)
        add_json(add("list", self.list, "Lists the operators with their roles"))
        set_role = add("set-role", self.set_role, "Gives a user a role, which ends their sessions in the admin")
        set_role.add_argument("name", metavar="NAME", help="a username")
        set_role.add_argument("role", metavar="ROLE", choices=[*OperatorRole.values, _NONE], help="%(choices)s")

    def list(self, options: Options) -> None:
        rows = [
            _document(user) for user in User.objects.filter(is_staff=True).prefetch_related("groups").order_by("pk")
        ]
        if options["json"]:
            self.out.json({"items": rows})
        else:
            table = [[row["id"], row["username"], row["role"], "" if row["is_active"] else "inactive"] for row in rows]
            self.out.table(["ID", "NAME", "ROLE", ""], table)

    def set_role(self, options: Options) -> None:
        user = User.objects.filter(username_folded=fold(options["name"])).first()
        if user is None:
            raise NotFound(_("There is no user with this name"))
        role = None if options["role"] == _NONE else OperatorRole(options["role"])
        services.set_operator_role(actor=self.actor, user_id=user.pk, role=role)
        self.out.text("No operator any more" if role is None else f"The role is {role.value} now")


def _document(user: User) -> dict[str, Any]:
    return {"id": user.id, "username": user.username, "role": user.operator_role, "is_active": user.is_active}
