"""How a command ends, and what it says when that is not well."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from django.core.management.base import CommandError
from rest_framework.exceptions import ValidationError

from core.errors import DomainError
from core.http.problems import NOT_REACHABLE, problem_of


class Exit(IntEnum):
    """The exit status; what it means to a command is in its help."""

    REFUSED = 1
    USAGE = 2  # argparse's own
    NOT_FOUND = 3
    NO = 4  # the answer to a question, which is not an error
    UNAVAILABLE = 5


EXPECTED = (DomainError, ValidationError, *NOT_REACHABLE)

_OF_STATUS = {404: Exit.NOT_FOUND, 503: Exit.UNAVAILABLE}


def refusal(error: Exception, options: Mapping[str, str] | None = None) -> CommandError:
    """The end that one of EXPECTED comes to, with a sentence for each thing that is to blame.

    `options` are the command's own, by the fields of the API that they set.
    """
    if isinstance(error, NOT_REACHABLE):
        return CommandError(f"The database does not answer: {error}", returncode=Exit.UNAVAILABLE)
    problem = problem_of(error)
    assert problem is not None
    sentences = [
        f"{_option(path, options or {})}: {sentence}"
        for path, found in (problem.errors or {}).items()
        for sentence in found
    ]
    return CommandError("\n".join(sentences) or problem.detail, returncode=_OF_STATUS.get(problem.status, Exit.REFUSED))


def _option(path: str, options: Mapping[str, str]) -> str:
    """The option that a field of the API comes from: `rate_limit.limit` from `--rate-limit (limit)`."""
    field, _, member = path.partition(".")
    if field not in options:
        return path
    return f"{options[field]} ({member})" if member else options[field]
