"""How `manage.py keys` ends."""

from __future__ import annotations

from enum import IntEnum

from django.core.management.base import CommandError
from rest_framework.exceptions import ValidationError

from apikeys import keyformat
from apikeys.management.options import OPTIONS
from maim.common.errors import DomainError
from maim.http.problems import NOT_REACHABLE, problem_of


class Exit(IntEnum):
    """The exit status; MEANINGS tells people."""

    REFUSED = 1
    USAGE = 2  # argparse's own
    NOT_FOUND = 3
    NOT_GOOD = 4
    AWAY = 5


MEANINGS = (
    "Exit status: 0, it is done, or the key is good; 1, a rule or the input forbids it, and nothing has changed; "
    "2, the command line is wrong; 3, what was named does not exist or is ambiguous, and nothing has changed; "
    "4, the key that was verified is not good, or lacks the permission; 5, the database does not answer."
)
EXPECTED = (DomainError, ValidationError, *NOT_REACHABLE)

_OF_STATUS = {404: Exit.NOT_FOUND, 503: Exit.AWAY}


def not_found(sentence: str) -> CommandError:
    """The end of a command that does not know what was meant, be it a key in clear."""
    return CommandError(keyformat.scrubbed(sentence), returncode=Exit.NOT_FOUND)


def refusal(error: Exception) -> CommandError:
    """The end that one of EXPECTED comes to, with a sentence for each option that is to blame."""
    if isinstance(error, NOT_REACHABLE):
        return CommandError(f"The database does not answer: {error}", returncode=Exit.AWAY)
    problem = problem_of(error)
    assert problem is not None
    sentences = [f"{_option(path)}: {sentence}" for path, found in (problem.errors or {}).items() for sentence in found]
    return CommandError("\n".join(sentences) or problem.detail, returncode=_OF_STATUS.get(problem.status, Exit.REFUSED))


def _option(path: str) -> str:
    """The option that a field of the API comes from: `rate_limit.limit` from `--rate-limit (limit)`."""
    field, _, member = path.partition(".")
    option = OPTIONS.get(field, field)
    return f"{option} ({member})" if member else option
