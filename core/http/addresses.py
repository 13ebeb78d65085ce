"""The client's address behind trusted proxies."""

from __future__ import annotations

import ipaddress
from functools import cache

from django.conf import settings


@cache
def _trusted_networks() -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(network) for network in settings.TRUSTED_PROXIES)


def is_trusted_proxy(address: str) -> bool:
    """Return whether this peer may name the client in `X-Forwarded-For` (MAIM_TRUSTED_PROXIES)."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(ip in network for network in _trusted_networks())


def client_address(peer: str, forwarded_for: str) -> str:
    """Return the nearest address that is not a trusted proxy's.

    `X-Forwarded-For` is read from its right end, because everything left of the first untrusted hop was written by
    that hop.
    """
    address = peer
    hops = [hop.strip() for hop in forwarded_for.split(",") if hop.strip()]
    while hops and is_trusted_proxy(address):
        hop = hops.pop()
        try:
            address = str(ipaddress.ip_address(hop))
        except ValueError:
            break
    return address
