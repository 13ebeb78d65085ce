"""The options of `manage.py keys`, and their conversion to a request of the API."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from rest_framework.exceptions import ValidationError

from apikeys.fields import ISSUE_FIELDS
from apikeys.models import KeyStatus
from apikeys.serializers.keys import MAX_EXPIRES_WITHIN_DAYS
from apikeys.services import MAX_GRACE_SECONDS
from apikeys.verification import Address
from core import addresses, strict_json
from core.commands.options import add_json, integer_between
from core.http.fields import UTCDateTimeField
from core.http.responses import utc_text
from core.limits import Period

MAX_EXPIRES_IN_DAYS = 36_500

# The options that set the API's fields; errors name them in place of the fields.
OPTIONS = {field: f"--{field.replace('_', '-')}" for field in ISSUE_FIELDS} | {
    "permissions": "--permission",
    "required_permission": "--permission",
    "allowed_networks": "--allow-network",
}


def add_issue_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a new key. The API's serializer checks their values."""
    parser.add_argument("--name", required=True, help="unique in the tenant")
    parser.add_argument("--description")
    parser.add_argument(
        "--permission", action="append", dest="permissions", metavar="NAME", help="may be given several times"
    )
    expiry = parser.add_mutually_exclusive_group()
    expiry.add_argument("--expires-at", metavar="TIME", help="such as 2026-01-31T12:00:00Z")
    expiry.add_argument("--expires-in-days", type=integer_between(1, MAX_EXPIRES_IN_DAYS), metavar="N")
    parser.add_argument("--rate-limit", type=parse_rate_limit, metavar="N/SECONDS", help="such as 100/60")
    parser.add_argument("--quota", type=parse_quota, metavar=f"N/{'|'.join(Period.values)}", help="such as 10000/day")
    parser.add_argument(
        "--allow-network",
        action="append",
        dest="allowed_networks",
        metavar="CIDR",
        help="where the key may be used from; may be given several times",
    )
    parser.add_argument("--metadata", type=parse_json, metavar="JSON", help="an object of your own")


def issue_data(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of the API request that issues such a key."""
    data = {field: options[field] for field in ISSUE_FIELDS if options[field] is not None}
    if options["expires_in_days"] is not None:
        data["expires_at"] = utc_text(timezone.now() + timedelta(days=options["expires_in_days"]))
    return data


def add_list_options(parser: argparse.ArgumentParser) -> None:
    """Add the filters of `list`."""
    parser.add_argument("--status", choices=KeyStatus.values)
    parser.add_argument("--q", metavar="TEXT", help="part of the name, the whole id, or the masked secret")
    parser.add_argument("--expires-within-days", type=integer_between(0, MAX_EXPIRES_WITHIN_DAYS), metavar="N")
    parser.add_argument("--never-used", action="store_true")
    parser.add_argument("--unused-since", type=parse_time, metavar="TIME", help="such as 2026-01-31T12:00:00Z")
    parser.add_argument(
        "--limit", type=integer_between(1, 1_000_000), default=100, metavar="N", help="show at most N (100)"
    )


def add_verify_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `verify`. A secret given as an argument is refused, without being repeated."""
    parser.add_argument("typed", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--permission", metavar="EXPRESSION", help='such as "chat and (config_read or admin)"')
    parser.add_argument("--client-ip", type=parse_address, metavar="ADDRESS", help="who would use the key")


def add_keys(parser: argparse.ArgumentParser, *, several: bool = True) -> None:
    """Add the arguments that name keys."""
    parser.add_argument("keys", nargs="+" if several else 1, metavar="KEY", help="id or name")
    add_owners(parser)


def add_owners(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a tenant or an agent."""
    parser.add_argument("--tenant", metavar="TENANT", help="id or name")
    parser.add_argument("--agent", metavar="AGENT", help="id, name, or TENANT/AGENT")


def add_grace(parser: argparse.ArgumentParser) -> None:
    """Add the option for the grace period of the old secrets."""
    parser.add_argument(
        "--grace-seconds",
        type=integer_between(0, MAX_GRACE_SECONDS),
        default=0,
        metavar="N",
        help="how long the old secrets stay good (0)",
    )


def add_secret_output(parser: argparse.ArgumentParser) -> None:
    """Add the options for the output of a new secret."""
    either = parser.add_mutually_exclusive_group()
    add_json(either)
    either.add_argument("--quiet", action="store_true", help="write the key alone, such as for KEY=$(...)")


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


def parse_address(text: str) -> Address:
    """Parse an IPv4 or IPv6 address; an IPv4 address written as IPv6 becomes IPv4."""
    try:
        return addresses.parse_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not an address") from error
