"""The client's address behind trusted proxies."""

from __future__ import annotations

import re
from functools import cache
from ipaddress import IPv4Network, IPv6Network

from django.conf import settings

from core.addresses import parse_address, parse_network

_network = cache(parse_network)
# Some proxies write the client's port too: `20.0.0.1:4711`, `[2001:db8::5]:99`.
_HOP = re.compile(r"\[(?P<ipv6>[^\]]+)\](:\d+)?|(?P<ipv4>[\d.]+):\d+")


@cache
def _trusted_networks() -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(parse_network(network) for network in settings.TRUSTED_PROXIES)


def is_trusted_proxy(address: str) -> bool:
    """Return whether this peer may name the client in `X-Forwarded-For` (MAIM_TRUSTED_PROXIES)."""
    try:
        ip = parse_address(address)
    except ValueError:
        return False
    return any(ip in network for network in _trusted_networks())


def may_reach_admin(address: str) -> bool:
    """Return whether the admin answers a client at this address: from MAIM_ADMIN_NETWORKS, or if there are none."""
    networks = settings.ADMIN_NETWORKS
    return not networks or any(parse_address(address) in _network(network) for network in networks)


def client_address(peer: str, forwarded_for: str) -> str:
    """Return the nearest address that is not a trusted proxy's.

    `X-Forwarded-For` is read from its right end, because everything left of the first untrusted hop was written by
    that hop.
    """
    address = str(parse_address(peer))
    hops = [hop.strip() for hop in forwarded_for.split(",") if hop.strip()]
    while hops and is_trusted_proxy(address):
        try:
            address = _parse_hop(hops.pop())
        except ValueError:
            break
    return address


def _parse_hop(text: str) -> str:
    """Return the address of a hop, without its port. Raise ValueError."""
    match = _HOP.fullmatch(text)
    return str(parse_address((match["ipv6"] or match["ipv4"]) if match else text))
