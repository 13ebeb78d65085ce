"""Secrets that commands read and write. None is taken from the command line, where others on the machine see it."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from django.core.management.base import CommandError

from apikeys.services import IssuedKey
from core.commands.files import create_private

LONGEST_LINE = 10_000


def read_secret() -> str:
    """Return a secret, typed unseen at a terminal, or else a line of standard input. Raise CommandError."""
    secret = getpass.getpass("Key: ") if sys.stdin.isatty() else sys.stdin.readline(LONGEST_LINE)
    if not secret.strip():
        raise CommandError("There is no key on standard input")
    return secret.strip()


@contextmanager
def secrets_file(name: str) -> Iterator[Callable[[Sequence[IssuedKey]], None]]:
    """Make a file that only its owner can read, and yield a function that writes new secrets into it, a line each.

    It is made first, so that no key gets a secret that has no place to go. If the block fails before it writes, the
    file is removed. Raise OSError if it exists or cannot be made, and CommandError if the secrets cannot be written.
    """
    file, is_written = create_private(name), False

    def write(issued: Sequence[IssuedKey]) -> None:
        nonlocal is_written
        is_written = True
        try:
            file.write("".join(f"{one.secret}\n" for one in issued))
            file.flush()
        except OSError as error:
            ids = ", ".join(one.key.id for one in issued)
            raise CommandError(f"{name}: {error.strerror}. Rotate {ids}: the new secrets are lost") from error

    try:
        yield write
    finally:
        with suppress(OSError):  # of a write that failed before, and was told of
            file.close()
        if not is_written:
            os.unlink(name)
