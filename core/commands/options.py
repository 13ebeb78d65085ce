"""Options shared by several commands, and parsers of their values."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from rest_framework.exceptions import ValidationError

from core import strict_json
from core.http.fields import RequestSerializer, UTCDateTimeField
from core.limits import Period

MAX_PAGE = 10_000


def add_json(parser: argparse._ActionsContainer) -> None:
    """Add `--json`, for programs that read the output."""
    parser.add_argument("--json", action="store_true", help="write one JSON document")


def add_dry_run(parser: argparse._ActionsContainer) -> None:
    """Add `--dry-run`, for a change that is only rehearsed."""
    parser.add_argument("--dry-run", action="store_true", help="check it and say what it would touch; write nothing")


def add_yes(parser: argparse._ActionsContainer) -> None:
    """Add `--yes`, for a change that is asked about."""
    parser.add_argument("--yes", action="store_true", help="do not ask")


def add_page(parser: argparse._ActionsContainer) -> None:
    """Add the options for the part of a list."""
    parser.add_argument(
        "--limit", type=integer_between(1, MAX_PAGE), default=100, metavar="N", help="show at most N (100)"
    )
    parser.add_argument("--after", metavar="NEXT", help="go on where the page before ended, with its `next`")


def add_limits(parser: argparse._ActionsContainer, *, may_end: bool = False) -> None:
    """Add the limits on uses, which tenants, agents and keys have. With `may_end`, `none` takes them off."""

    def or_none(parse: Callable[[str], Any]) -> Callable[[str], Any]:
        return lambda text: {} if may_end and text == "none" else parse(text)

    end = "; none takes it off" if may_end else ""
    parser.add_argument(
        "--rate-limit", type=or_none(parse_rate_limit), metavar="N/SECONDS", help=f"such as 100/60{end}"
    )
    parser.add_argument(
        "--quota", type=or_none(parse_quota), metavar=f"N/{'|'.join(Period.values)}", help=f"such as 10000/day{end}"
    )


def integer_between(minimum: int, maximum: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from `minimum` to `maximum`."""

    def number(text: str) -> int:
        if not text.isascii() or not text.isdecimal() or not minimum <= int(text[:20]) <= maximum:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {minimum} to {maximum}")
        return int(text)

    return number


def parse_rate_limit(text: str) -> dict[str, int]:
    """Parse `100/60`: 100 uses in any 60 seconds."""
    uses, _, seconds = text.partition("/")
    try:
        return {"limit": int(uses), "window_seconds": int(seconds)}
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not N/SECONDS, such as 100/60") from error


def parse_quota(text: str) -> dict[str, Any]:
    """Parse `10000/day`: 10000 uses in a UTC day."""
    uses, _, period = text.partition("/")
    try:
        return {"limit": int(uses), "period": Period(period).value}
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not N/{'|'.join(Period.values)}, such as 10000/day") from error


def parse_json(text: str) -> Any:
    """Parse JSON by the rules of the API."""
    try:
        return strict_json.loads(text.encode())
    except (strict_json.NotAcceptable, UnicodeEncodeError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def parse_time(text: str) -> datetime:
    """Parse a time as the API does."""
    try:
        return UTCDateTimeField().to_internal_value(text)
    except ValidationError as error:
        raise argparse.ArgumentTypeError(" ".join(map(str, error.detail))) from error


def validated_data(request: type[RequestSerializer], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the validated fields of an API request, from the options of the same names. Raise ValidationError."""
    given = {name: options[name] for name in request().get_fields() if options.get(name) is not None}
    serializer = request(data=given)
    serializer.is_valid(raise_exception=True)
    values: dict[str, Any] = serializer.validated_data
    return values
