"""Checks of the `Host` header, against DNS rebinding, and the requests that need none (docs/contract.md section 1)."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

from django.conf import settings

# An orchestrator probes by address, and a load balancer without any host. The responses tell nothing that matters.
PROBE_PATHS = frozenset({"/health", "/ready"})

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?")
_MAX_LENGTH = 300  # a name in the DNS has at most 253 characters


def is_load_balancer_check(method: str | None, path: str, host: str | None) -> bool:
    """Return whether the request is `OPTIONS /` without a host, as HAProxy checks a server by default."""
    return method == "OPTIONS" and path == "/" and host is None


def host_name(header: str) -> str | None:
    """Return the host of a Host header, lower-cased and without its port, or None if it is malformed or missing."""
    match = _HOST.fullmatch(header.lower())
    return match[1].removesuffix(".") if match else None


def is_loopback(host: str | None) -> bool:
    """Return whether the host is this machine itself."""
    if host is None:
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_private(header: str) -> bool:
    """Return whether a Host header names an IP address, a single label, or one of MAIM_INTERNAL_HOSTS."""
    return len(header) <= _MAX_LENGTH and _is_private(header)


@lru_cache(maxsize=1024)
def _is_private(header: str) -> bool:
    host = host_name(header)
    if not host:
        return False
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return "." not in host or host in settings.INTERNAL_HOSTS
    return True
