"""Types of the values of settings."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcProvider:
    """A provider of OpenID Connect that people may sign in with.

    Where `role_claim` names a claim, its values decide at each sign-in who is an operator, and with which role.
    """

    id: str
    name: str
    discovery_url: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    scopes: tuple[str, ...] = ("openid", "email", "profile")
    role_claim: str | None = None
    operator_values: frozenset[str] = frozenset()
    support_values: frozenset[str] = frozenset()
    superuser_values: frozenset[str] = frozenset()

    @property
    def issuer(self) -> str:
        """The issuer that the discovery document must name (OpenID Connect Discovery 1.0, section 4.3)."""
        return self.discovery_url.removesuffix(DISCOVERY_PATH)


DISCOVERY_PATH = "/.well-known/openid-configuration"
