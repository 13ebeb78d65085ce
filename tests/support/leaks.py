"""A server in use for the search for leaks: the secrets it was given, and its recorded responses."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from apikeys import keyformat
from tests.support.server import MaimServer

SECRET = re.compile(r"mmc_[A-Za-z0-9+/]{112}")


@dataclass
class Deployment:
    """A server in use, its responses, the keys it issued, and the secrets of configs that it was given."""

    maim: MaimServer
    v1: httpx.Client
    v2: httpx.Client
    admin: httpx.Client
    responses: list[tuple[str, str]] = field(default_factory=list)
    issued: list[str] = field(default_factory=list)
    config_secrets: list[str] = field(default_factory=list)

    def record(self, client: httpx.Client) -> None:
        """Record all responses to the client, with their headers."""

        def append(response: httpx.Response) -> None:
            response.read()
            request = f"{response.request.method} {response.request.url.path}"
            self.responses.append((request, f"{response.status_code} {response.headers.multi_items()} {response.text}"))

        client.event_hooks["response"].append(append)

    def issue(self, send: Callable[[], httpx.Response]) -> dict[str, Any]:
        """Send a request that issues a key, and take its response out of the record.

        The response must contain one secret and must not be cacheable.
        """
        response = send()
        request, text = self.responses.pop()
        assert response.status_code == 200, request
        found = SECRET.findall(text)
        assert len(found) == 1, request
        assert "no-store" in response.headers["Cache-Control"], request
        self.issued += found
        is_page = response.headers["Content-Type"].startswith("text/html")
        body: dict[str, Any] = {} if is_page else response.json()
        data: dict[str, Any] = body.get("data", body)
        return data

    def issue_text(self, send: Callable[[], httpx.Response]) -> dict[str, Any]:
        """Send a request whose response, which must not be cacheable, has a secret; take it out of the record."""
        response = send()
        request, _text = self.responses.pop()
        assert response.status_code in (200, 403), request
        assert "no-store" in response.headers["Cache-Control"], request
        body: dict[str, Any] = response.json()
        return body

    def secret(self, label: str) -> str:
        """Return a new secret for a config."""
        secret = f"sk-{label}-{len(self.config_secrets)}-of-a-provider"
        self.config_secrets.append(secret)
        return secret

    def reveal(self, send: Callable[[], httpx.Response]) -> str:
        """Send a request that reveals the secrets of a config, and take its response out of the record.

        The response must not be cacheable.
        """
        response = send()
        request, text = self.responses.pop()
        assert response.status_code == 200, request
        assert any(secret in text for secret in self.config_secrets), request
        assert "no-store" in response.headers["Cache-Control"], request
        return text

    def traces_in(self, text: str) -> list[str]:
        """Return the traces of secrets in a text."""
        traces = [trace for secret in self.issued for trace in traces_of_key(secret)]
        traces += [trace for secret in self.config_secrets for trace in traces_of_config(secret)]
        return [trace for trace in traces if trace in text]


def traces_of_key(secret: str) -> list[str]:
    """Return the parts of a key that must not leak: its base64, and the random part, from which the rest follows."""
    return [secret.removeprefix("mmc_"), keyformat.parse(secret).random[:34]]


def traces_of_config(secret: str) -> list[str]:
    """Return the forms of a secret that must not leak: itself, and a digest, which could confirm guesses."""
    return [secret, hashlib.sha256(json.dumps(secret).encode()).hexdigest()]
