"""HTTP clients for real servers, which speak no TLS."""

from __future__ import annotations

import httpx

from tests.support.instances import WAIT


def http_client(url: str = "") -> httpx.Client:
    """Return a client with up to a hundred connections.

    It trusts no certificates, because loading them takes httpx longer than most tests take.
    """
    return httpx.Client(base_url=url, timeout=WAIT, limits=httpx.Limits(max_connections=100), verify=False)


def get(url: str) -> httpx.Response:
    """Send a GET request on a new connection."""
    with http_client() as client:
        return client.get(url)


def is_healthy(url: str) -> bool:
    """Return whether a surface of a server is healthy."""
    try:
        return get(f"{url}/health").status_code == 200
    except httpx.TransportError:
        return False
