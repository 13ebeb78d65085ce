"""Secrets that commands read and write. None is taken from the command line, where others on the machine see it."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable, Sequence

from django.core.management.base import CommandError

from apikeys.services import IssuedKey
from core.commands.files import SecretFile
from core.db import transactional_and_propagated

LONGEST_LINE = 10_000


def read_secret() -> str:
    """Return a secret, typed unseen at a terminal, or else a line of standard input. Raise CommandError."""
    secret = getpass.getpass("Key: ") if sys.stdin.isatty() else sys.stdin.readline(LONGEST_LINE)
    if not secret.strip():
        raise CommandError("There is no key on standard input")
    return secret.strip()


@transactional_and_propagated
def issue_into(file: SecretFile, issue: Callable[[], Sequence[IssuedKey]]) -> Sequence[IssuedKey]:
    """Issue secrets, and write them to a file, a line each, before the commit. Raise OSError without issuing any.

    In the other order, secrets would be lost with whatever ends the command in between.
    """
    issued = issue()
    file.write("".join(f"{one.secret}\n" for one in issued).encode())
    return issued


def issue_and_show(issue: Callable[[], Sequence[IssuedKey]], show: Callable[[Sequence[IssuedKey]], None]) -> None:
    """Issue secrets, and show them before the transaction commits, so that an interrupted `show` issues none.

    Raise CommandError if the transaction is rolled back afterwards: a retry would show other secrets after these.
    """
    was_shown = False

    @transactional_and_propagated
    def issue_once() -> None:
        nonlocal was_shown
        if was_shown:
            raise CommandError("The change was rolled back after the key was shown. Nothing has changed; run it again")
        issued = issue()
        was_shown = True
        show(issued)

    issue_once()
