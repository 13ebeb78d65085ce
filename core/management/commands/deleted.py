from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from core.commands.options import add_json, integer_between
from core.commands.subcommands import Options, SubcommandsCommand
from core.http.responses import utc_text
from core.models import DeletedObject
from core.undo import restoring

EXIT_CODES = (
    "Exit status: 0, it is done; 1, a rule forbids it, and nothing has changed; 2, the command line is wrong; 3, there "
    "is no such deleted object, and nothing has changed; 5, the database does not answer."
)
_MAX_LIMIT = 10_000


class Command(SubcommandsCommand):
    """Undo of deletions, through the service that the admin calls."""

    help = "Lists deleted tenants and agents, and restores them with disabled keys, within MAIM_UNDO_DAYS."
    exit_codes = EXIT_CODES

    def add_arguments(self, parser: CommandParser) -> None:
        add = self.subcommand_adder(parser)
        found = add("list", self.list, "Lists what can be restored, the newest deletion first")
        found.add_argument("--limit", type=integer_between(1, _MAX_LIMIT), default=100, help="how many at most (100)")
        add_json(found)
        show = add("show", self.show, "Shows what a deleted object holds")
        restore = add("restore", self.restore, "Puts a tenant or agent back; its keys must be rotated and enabled")
        for one in (show, restore):
            one.add_argument("id", metavar="ID", help="as `list` shows it, or the id of the tenant or agent")
            add_json(one)

    def list(self, options: Options) -> None:
        documents = [_document(row) for row in restoring.deleted_objects()[: options["limit"]]]
        if options["json"]:
            self.out.json({"items": documents})
            return
        columns = ("id", "kind", "object_id", "name", "deleted_by", "deleted_at", "restorable_until")
        rows = [[document[column] for column in columns] for document in documents]
        self.out.table([column.replace("_", " ").upper() for column in columns], rows)

    def show(self, options: Options) -> None:
        document = _document(restoring.find_deleted(self.actor, options["id"]))
        if options["json"]:
            self.out.json(document)
            return
        members = [*document.items(), *document["counts"].items()]
        self.out.record([member for member in members if member[0] != "counts"])

    def restore(self, options: Options) -> None:
        deleted = restoring.find_deleted(self.actor, options["id"])
        renamed = restoring.restore(actor=self.actor, deleted=deleted).renamed
        if options["json"]:
            self.out.json({"kind": deleted.kind, "id": deleted.object_id, "renamed": renamed})
            return
        self.out.text(f"Restored {deleted.kind} {deleted.object_id}. Its keys are disabled: rotate and enable them.")
        for object_id, name in renamed.items():
            self.out.text(f"{object_id} is now called {name}, because its name was taken")


def _document(row: DeletedObject) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": row.kind,
        "object_id": row.object_id,
        "tenant_id": row.tenant_id,
        "name": row.name,
        "deleted_by": row.actor,
        "deleted_at": utc_text(row.deleted_at),
        "restorable_until": utc_text(row.expires_at),
        "counts": row.counts,
    }
