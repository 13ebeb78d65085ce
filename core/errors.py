"""The errors that services raise.

`core.http` turns each into the status and shape of its surface. The codes are those of docs/contract.md section 3
and are part of the wire contract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

Text = str | Promise
FieldErrors = Mapping[str, Sequence[Text]]


class DomainError(Exception):
    """A refused request, with a stable code.

    `message` is the sentence of the class; `detail` says what is wrong with this request. `extra` has the values that
    a client needs to go on, which stand beside the code.
    """

    code: str = "SYS_001"
    message: Text = _("The request could not be carried out")
    extra: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, detail: Text | None = None, *, code: str | None = None, message: Text | None = None) -> None:
        if code is not None:
            self.code = code
        if message is not None:
            self.message = message
        self.detail: Text = self.message if detail is None else detail
        super().__init__(self.detail)


class Invalid(DomainError):
    """Invalid input. `errors` maps each field to its sentences."""

    code = "VALIDATION_ERROR"
    message = _("The request is not valid")

    def __init__(
        self,
        errors: FieldErrors,
        *,
        code: str | None = None,
        message: Text | None = None,
        detail: Text | None = None,
    ) -> None:
        self.errors = errors
        super().__init__(detail or _first_sentence(errors), code=code, message=message)


class Unauthenticated(DomainError):
    """Missing or expired authentication."""

    code = "AUTHENTICATION_REQUIRED"
    message = _("Sign in first")


class Forbidden(DomainError):
    """A missing permission on an object that the caller may see."""

    code = "FORBIDDEN"
    message = _("You are not allowed to do this")


class ReadOnlyToken(Forbidden):
    """A write by a personal access token that may only read."""

    message = _("This personal access token may only read")


class NotFound(DomainError):
    """An object that does not exist or belongs to somebody else. The caller cannot tell which."""

    code = "NOT_FOUND"
    message = _("Not found")


class Conflict(DomainError):
    """A conflict with the current state, such as a taken name or a status."""

    code = "CONFLICT"
    message = _("This conflicts with what exists")


class PreconditionFailed(DomainError):
    """A revision that is no longer current, because somebody else changed the object meanwhile."""

    code = "PRECONDITION_FAILED"
    message = _("This has changed since you read it; read it again")


class Gone(DomainError):
    """An object that existed and was deleted."""

    code = "GONE"
    message = _("This is no longer available")


class TooMany(DomainError):
    """Too many requests. `retry_after` is in seconds."""

    code = "RATE_LIMITED"
    message = _("Too many attempts, try again later")

    def __init__(self, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__()


class Unavailable(DomainError):
    """A dependency that does not respond, or too many waiting requests. `retry_after` is in seconds."""

    code = "SYS_002"
    message = _("The service is temporarily unavailable, try again shortly")

    def __init__(self, detail: Text | None = None, *, retry_after: int = 1) -> None:
        self.retry_after = retry_after
        super().__init__(detail)


def _first_sentence(errors: FieldErrors) -> Text:
    for field, sentences in errors.items():
        for sentence in sentences:
            return format_lazy("{}: {}", field, sentence) if field else sentence
    return Invalid.message
