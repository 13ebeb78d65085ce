"""Destinations of the secrets of new keys: a file that only its owner can read, or the standard input of a command.

They get there before the transaction commits, because a secret that is lost cannot be read again: what fails issues no
key. A secret that was delivered and whose transaction fails then is of no key.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from django.utils.translation import gettext as _

from core.commands.files import SecretFile
from core.errors import Conflict

# The transaction is open for as long, so that other writers wait.
COMMAND_SECONDS = 15


class NewSecret(NamedTuple):
    """The secret of a new key, and the names by which the file knows the key."""

    tenant: str
    agent: str
    key: str
    tenant_id: str
    agent_id: str
    api_key_id: str
    api_key: str

    def __repr__(self) -> str:
        return f"NewSecret({self.api_key_id}, …)"


class SecretSink(Protocol):
    """A place for secrets."""

    def deliver(self, secrets: Sequence[NewSecret]) -> None:
        """Deliver the secrets of a transaction that is about to commit, in place of those not marked as committed.

        Raise Conflict if they did not get there.
        """

    def mark_committed(self) -> None:
        """Keep what was delivered for good, because the transaction has committed."""


def _lines(secrets: Sequence[NewSecret]) -> bytes:
    """Return JSON Lines in ASCII."""
    return "".join(f"{json.dumps(secret._asdict())}\n" for secret in secrets).encode()


class SecretFileSink:
    """A new file that only its owner can read."""

    def __init__(self, file: SecretFile, path: str) -> None:
        self._file, self._path = file, path

    def deliver(self, secrets: Sequence[NewSecret]) -> None:
        try:
            self._file.write(_lines(secrets))
        except OSError as error:
            raise Conflict(
                _("%(path)s: the secrets could not be written: %(reason)s")
                % {"path": self._path, "reason": error.strerror}
            ) from error

    def mark_committed(self) -> None:
        self._file.mark_committed()


class SecretCommand:
    """A command, which gets the secrets on its standard input. Its output is not shown: it may have them, too."""

    def __init__(self, command: str) -> None:
        """Raise ValueError for a command with an open quote, or none."""
        self._arguments = shlex.split(command)
        if not self._arguments:
            raise ValueError("no command")

    def deliver(self, secrets: Sequence[NewSecret]) -> None:
        try:
            done = subprocess.run(  # noqa: S603  # the operator's own command
                self._arguments,
                input=_lines(secrets),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=COMMAND_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Conflict(
                _("The command for the secrets did not end within %(seconds)d seconds") % {"seconds": COMMAND_SECONDS}
            ) from error
        except OSError as error:
            raise Conflict(
                _("The command for the secrets could not be started: %(reason)s") % {"reason": error.strerror}
            ) from error
        if done.returncode:
            raise Conflict(_("The command for the secrets ended with status %(status)d") % {"status": done.returncode})

    def mark_committed(self) -> None:
        """Do nothing: the command has the secrets."""
