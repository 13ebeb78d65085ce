"""Exit codes of commands, and errors as messages on standard error."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from django.core.management.base import CommandError
from rest_framework.exceptions import ValidationError

from core.errors import DomainError
from core.http.problems import NOT_REACHABLE, problem_of


class ExitCode(IntEnum):
    """The exit code of a command; each command's help says what its codes mean."""

    REFUSED = 1
    USAGE = 2  # argparse's own
    NOT_FOUND = 3
    NO = 4  # a negative result, which is not an error
    UNAVAILABLE = 5


EXIT_CODES = (
    "Exit status: 0, it is done; 1, a rule or the input forbids it, and nothing has changed; 2, the command line is "
    "wrong; 3, what was named does not exist or is ambiguous, and nothing has changed; 5, the database does not answer."
)
EXPECTED_ERRORS = (DomainError, ValidationError, *NOT_REACHABLE)

_BY_STATUS = {404: ExitCode.NOT_FOUND, 503: ExitCode.UNAVAILABLE}


def command_error(error: Exception, options: Mapping[str, str] | None = None) -> CommandError:
    """Return the CommandError for one of EXPECTED_ERRORS, with a sentence for each wrong field.

    `options` maps fields of the API to the options of the command that set them.
    """
    if isinstance(error, NOT_REACHABLE):
        return CommandError(f"The database does not answer: {error}", returncode=ExitCode.UNAVAILABLE)
    problem = problem_of(error)
    assert problem is not None
    sentences = [
        f"{_option(path, options or {})}: {sentence}"
        for path, found in (problem.errors or {}).items()
        for sentence in found
    ]
    return CommandError(
        "\n".join(sentences) or problem.detail, returncode=_BY_STATUS.get(problem.status, ExitCode.REFUSED)
    )


def _option(path: str, options: Mapping[str, str]) -> str:
    """Return the option that sets a field of the API: `--rate-limit (limit)` for `rate_limit.limit`."""
    field, _, member = path.partition(".")
    if field not in options:
        return path
    return f"{options[field]} ({member})" if member else options[field]
