"""Validation of a key's fields."""

from __future__ import annotations

import json
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Any

from django.utils.translation import gettext_lazy as _

from apikeys import permissions
from apikeys.errors import BadPermissions
from core.addresses import parse_network
from core.errors import Invalid, Text

MAX_PERMISSIONS = 100
MAX_NETWORKS = 100
MAX_METADATA_BYTES = 8 * 1024


def clean_permissions(names: list[str]) -> list[str]:
    """Return the permissions without duplicates. Raise BadPermissions."""
    if len(names) > MAX_PERMISSIONS:
        raise BadPermissions(_("A key may have at most 100 permissions"))
    for name in names:
        if not permissions.NAME.fullmatch(name):
            raise BadPermissions(
                _('A permission is 1 to 64 characters without blanks or parentheses, and neither "and" nor "or"')
            )
    return _unique(names)


def clean_networks(texts: list[str]) -> list[str]:
    """Return the networks without duplicates, in the form in which they are stored. An address is a network of one.

    Raise Invalid.
    """
    if len(texts) > MAX_NETWORKS:
        raise _bad_networks(_("A key may have at most 100 allowed networks"))
    return _unique(_normalize_network(text) for text in texts)


def clean_metadata(metadata: dict[str, Any] | None) -> dict[str, Any]:
    """Return the metadata, for None an empty object. Raise Invalid if it is too long."""
    metadata = metadata or {}
    if len(json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode()) > MAX_METADATA_BYTES:
        raise Invalid({"metadata": [_("The metadata may have at most 8 KiB of JSON")]})
    return metadata


def _normalize_network(text: str) -> str:
    address, slash, prefix = text.partition("/")
    try:
        # Python also reads netmasks, and IPv6 zones, which mean something on one machine only.
        if "%" in address or (slash and not (prefix.isascii() and prefix.isdigit())):
            raise ValueError("not in CIDR notation")
        network = ip_network(text, strict=False)
    except ValueError as error:
        raise _bad_networks(
            _("%(text)s is not a network; write one as 203.0.113.0/24 or 2001:db8::/32") % {"text": text}
        ) from error
    if ip_address(address) != network.network_address:
        raise _bad_networks(
            _("%(text)s has host bits set; the network that it is in is %(network)s")
            % {"text": text, "network": network}
        )
    return str(parse_network(str(network)))  # of IPv4, as a caller's address is, also if it is written as IPv6


def _bad_networks(sentence: Text) -> Invalid:
    return Invalid({"allowed_networks": [sentence]})


def _unique(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))
