"""Output of commands: colours, tables and progress bars at a terminal, aligned text elsewhere, JSON for programs.

Rich is imported by the functions that write to a terminal, because commands that scripts run start faster without it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError, OutputWrapper

from core.commands.formatting import format_json, format_record, format_table, format_value, pad, width

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

# Colours of words that tell a state. The words stand beside them for whoever sees no colours.
_STYLES = {
    "active": "green",
    "ok": "green",
    "inactive": "yellow",
    "suspended": "yellow",
    "expired": "yellow",
    "warning": "yellow",
    "disabled": "red",
    "archived": "dim",
    "problem": "bold red",
}
# Columns of what people copy, which others make room for.
_WHOLE = ("ID", "KEY")


class Output:
    """The output of a command: its result goes to standard output, and what else it tells people to standard error."""

    def __init__(self, stdout: OutputWrapper, stderr: OutputWrapper, *, has_colors: bool = True) -> None:
        self._stdout, self._stderr = stdout, stderr
        self._console: Console | None = None
        if stdout.isatty():
            from rich.console import Console

            # Names are other people's: nothing in them is taken for markup.
            self._console = Console(
                file=StringIO(),  # every print is captured
                force_terminal=True,
                no_color=None if has_colors else True,
                markup=False,
                emoji=False,
                highlight=False,
            )

    def text(self, text: str, ending: str = "\n") -> None:
        """Write a text as it is."""
        self._stdout.write(text, ending=ending)

    def json(self, value: Any) -> None:
        """Write a JSON document."""
        self._stdout.write(format_json(value))

    def table(self, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Write rows under a header."""
        if self._console is None:
            self._stdout.write(format_table(header, rows))
            return
        from rich.table import Table

        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for name in header:
            table.add_column(name, no_wrap=name in _WHOLE, overflow="fold")
        for row in rows:
            table.add_row(*map(_cell, row))
        self._print(self._console, table)

    def record(self, members: Sequence[tuple[str, Any]]) -> None:
        """Write one object, with a line for each of its members."""
        if self._console is None:
            self._stdout.write(format_record(members))
            return
        from rich.text import Text

        widest = max(width(name) for name, _value in members)
        lines = [Text.assemble((pad(name, widest), "bold"), "  ", _cell(value)) for name, value in members]
        self._print(self._console, Text("\n").join(lines))

    def flush(self) -> None:
        """Flush standard output. Raise OSError if its reader is gone."""
        self._stdout.flush()

    def tell(self, text: str, ending: str = "\n") -> None:
        """Write a message to people, which is neither output nor an error, to standard error."""
        self._stderr.write(text, ending=ending, style_func=str)
        self._stderr.flush()

    def tell_table(self, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Show people rows that a question is about."""
        self.tell(format_table(header, rows))

    def confirm(self, question: str) -> None:
        """Ask at the terminal. Raise CommandError unless the answer is yes."""
        if not sys.stdin.isatty():
            raise CommandError(f"{question} Without a terminal to ask at, say so with --yes; nothing has changed")
        self.tell(f"{question} [y/N] ", ending="")
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise CommandError("Nothing has changed")

    def _print(self, console: Console, content: RenderableType) -> None:
        from rich.text import Text

        with console.capture() as capture:
            # A long line is the terminal's to wrap, so that a secret is copied in one piece.
            console.print(content, soft_wrap=isinstance(content, Text))
        self._stdout.write(capture.get(), ending="")


def _cell(value: Any) -> Text:
    from rich.text import Text

    text = format_value(value)
    return Text(text, style=_STYLES.get(text, ""))


@contextmanager
def progress(total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on standard error, if that is a terminal. Yield a function that adds to what is done."""
    if not sys.stderr.isatty():
        yield lambda number: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=sys.stderr)) as bar:
        task = bar.add_task(unit, total=total)
        yield lambda number: bar.advance(task, number)
        bar.update(task, completed=total)  # some tell of whole pages only
