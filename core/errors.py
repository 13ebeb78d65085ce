"""What can go wrong, in the domain's own words.

Services raise these; `core.http` turns each kind into the status and shape of its surface. The codes
are those of docs/contract.md section 3 and are part of the wire contract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Text = str | Promise
FieldErrors = Mapping[str, Sequence[Text]]


class DomainError(Exception):
    """A refusal that the caller can understand and act on.

    `message` is the short sentence of the kind; `detail` says what exactly is wrong here.
    """

    code: str = "SYS_001"
    message: Text = _("The request could not be carried out")

    def __init__(self, detail: Text | None = None, *, code: str | None = None, message: Text | None = None) -> None:
        if code is not None:
            self.code = code
        if message is not None:
            self.message = message
        self.detail: Text = self.message if detail is None else detail
        super().__init__(self.detail)


class Invalid(DomainError):
    """The input breaks a rule; `errors` names each offending field and why."""

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
    """Nobody is signed in, or the proof of it is no longer good."""

    code = "AUTHENTICATION_REQUIRED"
    message = _("Sign in first")


class Forbidden(DomainError):
    """The caller may see the object but not do this to it."""

    code = "FORBIDDEN"
    message = _("You are not allowed to do this")


class NotFound(DomainError):
    """Unknown, or somebody else's: the caller cannot tell which."""

    code = "NOT_FOUND"
    message = _("Not found")


class Conflict(DomainError):
    """The state of things forbids it: a taken name, a status."""

    code = "CONFLICT"
    message = _("This conflicts with what exists")


class PreconditionFailed(DomainError):
    """Somebody was faster: what the caller meant to change is no longer as they saw it."""

    code = "PRECONDITION_FAILED"
    message = _("This has changed since you read it; read it again")


class Gone(DomainError):
    """What was there once, and is kept no longer."""

    code = "GONE"
    message = _("This is no longer available")


class TooMany(DomainError):
    """Asked too often; `retry_after` is in seconds."""

    code = "RATE_LIMITED"
    message = _("Too many attempts, try again later")

    def __init__(self, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__()


class Unavailable(DomainError):
    """A dependency does not answer, or too many are waiting; `retry_after` is in seconds."""

    code = "SYS_002"
    message = _("The service is temporarily unavailable, try again shortly")

    def __init__(self, detail: Text | None = None, *, retry_after: int = 1) -> None:
        self.retry_after = retry_after
        super().__init__(detail)


def _first_sentence(errors: FieldErrors) -> Text:
    for field, sentences in errors.items():
        for sentence in sentences:
            return f"{field}: {sentence}" if field else sentence
    return Invalid.message
