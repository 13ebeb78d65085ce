"""The conversion of exceptions to problems, which each surface renders in its own shape."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from django.db import InterfaceError, OperationalError
from django.utils import translation
from django.utils.translation import gettext_lazy as _
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from rest_framework import exceptions as drf

from core import errors
from core.errors import DomainError
from core.redis import WriteRefused

log = logging.getLogger("maim.http")

NOT_REACHABLE = (OperationalError, InterfaceError, RedisConnectionError, RedisTimeoutError, WriteRefused)


class UnknownPath(errors.NotFound):
    """No such path on this surface."""

    message = _("There is nothing at this address")


class MethodNotAllowed(DomainError):
    code = "METHOD_NOT_ALLOWED"
    message = _("This method is not allowed here")


class PayloadTooLarge(DomainError):
    code = "PAYLOAD_TOO_LARGE"
    message = _("The body is larger than 1 MiB, or comes in too many small chunks")


class RequestTimeout(DomainError):
    """A body that did not arrive in time."""

    code = "REQUEST_TIMEOUT"
    message = _("The body of the request did not arrive in time")


class UnsupportedMediaType(DomainError):
    code = "UNSUPPORTED_MEDIA_TYPE"
    message = _("The body must be JSON, with Content-Type: application/json")


class Fault(DomainError):
    """A bug. The log has the traceback, the client gets the request id alone."""

    code = "SYS_001"
    message = _("Something went wrong on our side; the request id leads to it in the log")


_STATUS_OF_KIND: tuple[tuple[type[DomainError], int], ...] = (
    (errors.Invalid, 400),
    (errors.Unauthenticated, 401),
    (errors.Forbidden, 403),
    (errors.NotFound, 404),
    (MethodNotAllowed, 405),
    (RequestTimeout, 408),
    (errors.Conflict, 409),
    (errors.Gone, 410),
    (errors.PreconditionFailed, 412),
    (PayloadTooLarge, 413),
    (UnsupportedMediaType, 415),
    (errors.TooMany, 429),
    (Fault, 500),
    (errors.Unavailable, 503),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error for a client, with texts in the client's language."""

    status: int
    code: str
    message: str
    detail: str
    errors: dict[str, list[str]] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


def problem_of(error: Exception) -> Problem | None:
    """Return the problem for an exception, or None for a bug, which the caller must raise again.

    Call it in the language of the response.
    """
    if isinstance(error, drf.APIException):
        return _problem(_from_drf(error))
    if isinstance(error, NOT_REACHABLE):
        log.error("a dependency does not answer: %s", type(error).__name__, exc_info=error)
        return _problem(errors.Unavailable())
    if isinstance(error, DomainError):
        return _problem(error)
    return None


@cache
def plain_problem(kind: Callable[[], DomainError], language: str) -> Problem:
    """Return the problem for an error of this kind without details of its own, in a language.

    It is cached, because an overloaded server sends thousands of them a second.
    """
    with translation.override(language):
        return _problem(kind())


def _problem(error: DomainError) -> Problem:
    headers: dict[str, str] = {}
    if isinstance(error, errors.Unauthenticated):
        headers = {"WWW-Authenticate": "Bearer"}
    elif isinstance(error, errors.TooMany | errors.Unavailable):
        headers = {"Retry-After": str(error.retry_after)}
    status = next(status for kind, status in _STATUS_OF_KIND if isinstance(error, kind))
    return Problem(
        status=status,
        code=error.code,
        message=str(error.message),
        detail=str(error.detail),
        errors={field: [str(text) for text in texts] for field, texts in error.errors.items()}
        if isinstance(error, errors.Invalid)
        else None,
        extra=error.extra,
        headers=headers,
    )


def _from_drf(error: drf.APIException) -> DomainError:
    if isinstance(error, drf.ValidationError):
        found: dict[str, list[str]] = {}
        for path, sentence in _flatten(error.detail, ""):
            found.setdefault(path, []).append(sentence)
        return errors.Invalid(found)
    if isinstance(error, drf.ParseError):
        return errors.Invalid({"body": [str(error.detail)]}, detail=str(error.detail))
    if isinstance(error, drf.NotAuthenticated | drf.AuthenticationFailed):
        return errors.Unauthenticated()
    if isinstance(error, drf.PermissionDenied):
        return errors.Forbidden()
    if isinstance(error, drf.MethodNotAllowed):
        return MethodNotAllowed(str(error.detail))
    if isinstance(error, drf.UnsupportedMediaType):
        return UnsupportedMediaType()
    raise error


def _flatten(detail: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield DRF's nested errors as (dotted path, sentence). Errors of no field have the path `body`."""
    if isinstance(detail, Mapping):
        for key, value in detail.items():
            here = path if key == "non_field_errors" else f"{path}.{key}" if path else str(key)
            yield from _flatten(value, here)
    elif isinstance(detail, list):
        for item in detail:
            yield from _flatten(item, path)
    else:
        yield path or "body", str(detail)
