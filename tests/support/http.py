"""HTTP clients for real servers, which speak no TLS."""

from __future__ import annotations

import httpx


def http_client(url: str = "") -> httpx.Client:
    """A client with up to a hundred connections at once.

    It trusts no certificates: to read all that there are takes httpx longer than most tests take.
    """
    return httpx.Client(base_url=url, timeout=60, limits=httpx.Limits(max_connections=100), verify=False)


def get(url: str) -> httpx.Response:
    """One answer, on a connection of its own."""
    with http_client() as client:
        return client.get(url)


def answers(url: str) -> bool:
    """Whether a surface of a server is well."""
    try:
        return get(f"{url}/health").status_code == 200
    except httpx.TransportError:
        return False
