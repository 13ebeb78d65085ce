"""A server in use for the search for leaks: what it was told in confidence, and all that it said."""

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
class Site:
    """A server in use, all that it answered, the keys it issued, and the configs' secrets it was given."""

    maim: MaimServer
    v1: httpx.Client
    v2: httpx.Client
    admin: httpx.Client
    answers: list[tuple[str, str]] = field(default_factory=list)
    issued: list[str] = field(default_factory=list)
    given: list[str] = field(default_factory=list)

    def watch(self, client: httpx.Client) -> None:
        """Keeps what the client is answered, headers and all."""

        def keep(answer: httpx.Response) -> None:
            answer.read()
            asked = f"{answer.request.method} {answer.request.url.path}"
            self.answers.append((asked, f"{answer.status_code} {answer.headers.multi_items()} {answer.text}"))

        client.event_hooks["response"].append(keep)

    def issue(self, send: Callable[[], httpx.Response]) -> dict[str, Any]:
        """Sends what issues a secret; what it shows is set apart, and must be there once and not to be stored."""
        answer = send()
        asked, said = self.answers.pop()
        assert answer.status_code == 200, asked
        found = SECRET.findall(said)
        assert len(found) == 1, asked
        assert "no-store" in answer.headers["Cache-Control"], asked
        self.issued += found
        is_page = answer.headers["Content-Type"].startswith("text/html")
        body: dict[str, Any] = {} if is_page else answer.json()
        data: dict[str, Any] = body.get("data", body)
        return data

    def secret(self, what: str) -> str:
        """A new secret of a config, which the server is about to be given."""
        made = f"sk-{what}-{len(self.given)}-of-a-provider"
        self.given.append(made)
        return made

    def reveal(self, send: Callable[[], httpx.Response]) -> str:
        """Sends what shows the secrets of a config; what it says is set apart, and not to be stored."""
        answer = send()
        asked, said = self.answers.pop()
        assert answer.status_code == 200, asked
        assert any(secret in said for secret in self.given), asked
        assert "no-store" in answer.headers["Cache-Control"], asked
        return said

    def found_in(self, text: str) -> list[str]:
        """Return the traces of secrets that can be seen in a text."""
        traces = [trace for secret in self.issued for trace in traces_of_key(secret)]
        traces += [trace for secret in self.given for trace in traces_of_config(secret)]
        return [trace for trace in traces if trace in text]


def traces_of_key(secret: str) -> list[str]:
    """Return the parts of a key that must not be seen: its base64, and the random part, from which the rest follows."""
    return [secret.removeprefix("mmc_"), keyformat.parse(secret).random[:34]]


def traces_of_config(secret: str) -> list[str]:
    """Return the forms of a secret that must not be seen: itself, and a digest, by which guesses could be checked."""
    return [secret, hashlib.sha256(json.dumps(secret).encode()).hexdigest()]
