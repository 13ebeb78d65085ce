from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from core.commands.exit_codes import ExitCode
from core.commands.options import add_json, integer_between
from core.commands.subcommands import Options, SubcommandsCommand
from core.http.responses import utc_text
from operations import services
from operations.access import get_operation, operations_for
from operations.models import BulkOperation, Kind
from operations.preview import preview_selection
from operations.selections import Selection

EXIT_CODES = (
    "Exit status: 0, it is done, or queued; 1, a rule or the input forbids it, and nothing has changed; 2, the command "
    "line is wrong; 3, there is no such operation; 5, the database does not answer."
)
_MAX_LIMIT = 10_000


class Command(SubcommandsCommand):
    """Bulk operations, through the services that the admin calls."""

    help = "Starts, lists, shows and cancels changes of many objects, which `serve` carries out in the background."
    exit_codes = EXIT_CODES
    option_names = {"ids": "ID", "tenant_id": "--tenant", "agent_id": "--agent", "status": "--status"}

    def add_arguments(self, parser: CommandParser) -> None:
        add = self.subcommand_adder(parser)
        start = add("start", self.start, "Shows what an operation would touch, and starts it with --yes")
        start.add_argument("kind", choices=Kind.values)
        start.add_argument("ids", nargs="*", metavar="ID", help="of the objects, if not those of a tenant or agent")
        start.add_argument("--tenant", default="", metavar="ID", help="the objects of this tenant")
        start.add_argument("--agent", default="", metavar="ID", help="the keys of this agent")
        start.add_argument("--status", default="", help="only objects with this status")
        start.add_argument("--yes", action="store_true", help="start it")
        found = add("list", self.list, "Lists operations, newest first")
        found.add_argument("--limit", type=integer_between(1, _MAX_LIMIT), default=20, help="how many at most (20)")
        show = add("show", self.show, "Shows an operation with the objects that were not changed")
        show.add_argument("--all", action="store_true", help="show the outcome of every object")
        cancel = add("cancel", self.cancel, "Cancels an operation; what is done stays")
        for one in (show, cancel):
            one.add_argument("id", metavar="ID", help="as `list` shows it")
        for one in (start, found, show, cancel):
            add_json(one)

    def start(self, options: Options) -> None:
        selection = Selection(
            kind=Kind(options["kind"]),
            ids=tuple(options["ids"]),
            tenant_id=options["tenant"],
            agent_id=options["agent"],
            status=options["status"],
        )
        preview = preview_selection(selection)
        if not options["yes"]:
            what = f"{preview.objects} objects, {preview.agents} agents, {preview.keys} keys"
            raise CommandError(
                f"This would touch {what}. Nothing has changed; run it again with --yes", returncode=ExitCode.REFUSED
            )
        row = services.start(actor=self.actor, selection=selection, typed=preview.affected)
        self._write(row, options)

    def list(self, options: Options) -> None:
        documents = [_document(row) for row in operations_for(self.actor)[: options["limit"]]]
        if options["json"]:
            self.out.json({"items": documents})
            return
        columns = ("id", "kind", "state", "done", "total", "refused", "started_by", "started_at")
        rows = [[document[column] for column in columns] for document in documents]
        self.out.table([column.replace("_", " ").upper() for column in columns], rows)

    def show(self, options: Options) -> None:
        row = get_operation(self.actor, options["id"])
        outcomes = services.outcomes_of(row, only_failed=not options["all"])
        found = list(outcomes.values_list("object_id", "result", "detail")[:_MAX_LIMIT])
        if options["json"]:
            items = [dict(zip(("object_id", "result", "detail"), each, strict=True)) for each in found]
            self.out.json({**_document(row), "outcomes": items})
            return
        self.out.record(list(_document(row).items()))
        if found:
            self.out.text("")
            self.out.table(["OBJECT", "OUTCOME", "REASON"], found)

    def cancel(self, options: Options) -> None:
        row = get_operation(self.actor, options["id"])
        self._write(services.cancel(actor=self.actor, operation=row), options)

    def _write(self, row: BulkOperation, options: Options) -> None:
        document = _document(row)
        if options["json"]:
            self.out.json(document)
        else:
            self.out.record(list(document.items()))


def _document(row: BulkOperation) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": row.kind,
        "state": row.state,
        "done": row.done,
        "total": row.total,
        "refused": row.refused,
        "problem": row.problem,
        "started_by": row.actor_name,
        "started_at": utc_text(row.created_at),
        "ended_at": None if row.ended_at is None else utc_text(row.ended_at),
    }
