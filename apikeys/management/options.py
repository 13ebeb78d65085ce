"""The options of `manage.py keys`, and their conversion to a request of the API."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from apikeys.fields import ISSUE_FIELDS
from apikeys.models import KeyStatus
from apikeys.serializers.keys import MAX_EXPIRES_WITHIN_DAYS
from apikeys.services import MAX_GRACE_SECONDS
from apikeys.verification import Address
from core import addresses
from core.commands.exit_codes import ExitCode
from core.commands.options import add_json, add_limits, add_page, integer_between, parse_json, parse_time
from core.http.responses import utc_text

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
    parser.add_argument("--description", metavar="TEXT")
    parser.add_argument(
        "--permission", action="append", dest="permissions", metavar="NAME", help="may be given several times"
    )
    expiry = parser.add_mutually_exclusive_group()
    expiry.add_argument("--expires-at", metavar="TIME", help="such as 2026-01-31T12:00:00Z")
    expiry.add_argument("--expires-in-days", type=integer_between(1, MAX_EXPIRES_IN_DAYS), metavar="N")
    add_limits(parser)
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
    parser.add_argument("--never-used", action="store_true", help="those that nobody has used yet")
    parser.add_argument("--unused-since", type=parse_time, metavar="TIME", help="such as 2026-01-31T12:00:00Z")
    add_page(parser)


def add_verify_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `verify`."""
    add_typed(parser)
    parser.add_argument("--permission", metavar="EXPRESSION", help='such as "chat and (config_read or admin)"')
    parser.add_argument("--client-ip", type=parse_address, metavar="ADDRESS", help="who would use the key")


def add_typed(parser: argparse.ArgumentParser) -> None:
    """Accept a secret as an argument, so that `refuse_typed` refuses it without repeating it."""
    parser.add_argument("typed", nargs="*", help=argparse.SUPPRESS)


def refuse_typed(options: Mapping[str, Any]) -> None:
    """Raise CommandError for a secret on the command line."""
    if options["typed"]:
        raise CommandError(
            "The key is read from standard input: on the command line others could see it", returncode=ExitCode.USAGE
        )


def add_keys(parser: argparse.ArgumentParser, *, several: bool = True) -> None:
    """Add the arguments that name keys."""
    parser.add_argument("keys", nargs="+" if several else 1, metavar="KEY", help="id, name, or masked secret")
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
    parser.add_argument(
        "--secret-file", metavar="FILE", help="write the key alone into this new file, which only its owner can read"
    )


def parse_address(text: str) -> Address:
    """Parse an IPv4 or IPv6 address; an IPv4 address written as IPv6 becomes IPv4."""
    try:
        return addresses.parse_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not an address") from error
