"""Types of the values of settings."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple


class Bind(NamedTuple):
    """An address and port to listen on."""

    host: str
    port: int


def parse_bind(text: str) -> Bind:
    """Parse `127.0.0.1:8000` or `[::]:8880`.

    Raise ValueError for anything else, such as a Unix socket, which has no port to tell surfaces by.
    """
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d{1,5})", text)
    if not match:
        raise ValueError("must be an IP address and a port, such as 127.0.0.1:8000")
    host = str(ipaddress.ip_address(match[1] or match[2]))
    port = int(match[3])
    if not 0 < port < 65536:
        raise ValueError("the port must be between 1 and 65535")
    return Bind(host, port)


class AuthRate(NamedTuple):
    """The allowed attempts to sign in, per minute."""

    per_account: int
    per_address: int
