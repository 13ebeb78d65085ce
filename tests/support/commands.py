"""Management commands, run in this process."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from io import StringIO
from typing import Any, TextIO

from django.core.management import CommandError, call_command


@dataclass(frozen=True)
class Outcome:
    """The exit status and the output of a command."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The JSON document that a successful command printed."""
        assert (self.status, self.err) == (0, ""), self.err
        return json.loads(self.out)

    @property
    def rows(self) -> list[list[str]]:
        """The cells of the printed table, without its header."""
        return [re.split(r"\s{2,}", line) for line in self.out.splitlines()[1:]]


class Terminal(StringIO):
    """Standard input that is a terminal."""

    def isatty(self) -> bool:
        return True


def run(command: str, *arguments: str, stdin: TextIO | None = None) -> Outcome:
    """Run a command. Return the status of an error if its arguments cannot be parsed."""
    out, err = StringIO(), StringIO()
    status = 0
    previous, sys.stdin = sys.stdin, stdin or StringIO()
    try:
        call_command(command, *arguments, stdout=out, stderr=err)
    except CommandError as error:
        status = error.returncode
        err.write(str(error))
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        sys.stdin = previous
    return Outcome(status, out.getvalue(), err.getvalue())
