"""A base class for commands with subcommands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, ClassVar, TypeVar

from django.core.management.base import CommandError, CommandParser

from core import approvals
from core.actor import Actor, command_actor
from core.changes import dry_run
from core.commands.base import MaimCommand
from core.commands.exit_codes import EXIT_CODES, EXPECTED_ERRORS, ExitCode, command_error
from core.commands.output import Output
from core.errors import DomainError
from core.keyset import InvalidPosition, Page

Options = dict[str, Any]
AddSubcommand = Callable[[str, Callable[[Options], None], str], CommandParser]
R = TypeVar("R")


class SubcommandsCommand(MaimCommand):
    """A command whose subcommands are methods. The chosen one is the option `handler`.

    Subcommands act as `actor`, whom the audit log names, and write to `out`. What EXPECTED_ERRORS they raise becomes a
    sentence on standard error and an exit code.
    """

    # The text about exit codes at the end of every help.
    exit_codes: ClassVar[str] = EXIT_CODES
    # The options that set the API's fields; errors name them in place of the fields.
    option_names: ClassVar[Mapping[str, str]] = {}
    name: str
    actor: Actor
    out: Output

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        self.name = subcommand
        return super().create_parser(prog_name, subcommand, epilog=self.exit_codes, **kwargs)

    def subcommand_adder(self, parser: CommandParser) -> AddSubcommand:
        """Return a function that adds a subcommand by its name, method and description."""
        subcommands = parser.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")

        def add(name: str, handler: Callable[[Options], None], description: str) -> CommandParser:
            subparser: CommandParser = subcommands.add_parser(
                name, help=description, description=f"{description}.", epilog=self.exit_codes
            )
            subparser.set_defaults(handler=handler)
            return subparser

        return add

    def handle(self, *args: Any, **options: Any) -> None:
        self.actor = command_actor(f"{self.name} {options['subcommand']}")
        self.out = Output(self.stdout, self.stderr, has_colors=not options["no_color"])
        self.prepare()
        try:
            self._run(options)
        except InvalidPosition as error:
            raise CommandError(
                "--after: take what the page before named as the next one", returncode=ExitCode.USAGE
            ) from error
        except EXPECTED_ERRORS as error:
            raise command_error(error, {**self.option_names, **self.given_names(options)}) from error
        except BrokenPipeError:  # nobody reads the output any more (manage.py)
            raise
        except OSError as error:
            named = f"{error.filename}: " if error.filename else ""
            raise CommandError(f"{named}{error.strerror or error}") from error

    def _run(self, options: Options) -> None:
        """Run the subcommand. A refusal may tell of a change a moment ago, so it waits, unless it is a rehearsal's."""
        with nullcontext() if options.get("dry_run") else approvals.wait_before(DomainError, CommandError):
            options["handler"](options)

    def prepare(self) -> None:
        """Set up what the subcommands share, such as a lookup of what they name. `actor` and `out` are there."""

    def given_names(self, options: Options) -> Mapping[str, str]:
        """Return names for fields in errors that depend on the options, besides `option_names`."""
        return {}

    def change(self, make: Callable[[], R], options: Options) -> R:
        """Make a change and return its result. With `--dry-run` it is only rehearsed, and that is said."""
        if not options["dry_run"]:
            return make()
        result = dry_run(make)
        self.out.tell("A dry run: nothing was written.")
        return result

    def confirm(self, question: str, options: Options) -> None:
        """Ask at the terminal before something is destroyed. Raise CommandError unless the answer is yes.

        A rehearsal, which destroys nothing, needs no answer.
        """
        if not options["yes"] and not options["dry_run"]:
            self.out.confirm(question)

    def write_page(
        self,
        page: Page[Any],
        options: Options,
        *,
        header: Sequence[str],
        row: Callable[[Any], Sequence[Any]],
        document: Callable[[list[Any]], Any],
    ) -> None:
        """Write a page of a list: a table, or with `--json` a document with its `items` and the `next` position."""
        if options["json"]:
            self.out.json({"items": document(page.rows), "next": page.next})
            return
        self.out.table(header, [row(each) for each in page.rows])
        if page.next is not None:
            self.out.tell(f"There are more: --after {page.next}")
