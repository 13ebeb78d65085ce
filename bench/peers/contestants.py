"""The contestants, with the requests that verify a key and revoke it."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.databases import ROOT, Key
from bench.load import Request
from bench.services import VALIDATE, Service
from tests.support.instances import WAIT, free_port

PYTHON = ROOT / ".venv-peers" / "bin" / "python"


def _is_success(response: httpx.Response) -> bool:
    return response.is_success


def _says_success(response: httpx.Response) -> bool:
    """Return the verdict in the envelope, because a refused key is no error of the request."""
    is_accepted: bool = response.raise_for_status().json()["success"]
    return is_accepted


@dataclass(frozen=True)
class Contestant:
    """A verifier of keys, with the requests to it."""

    title: str
    verify: Callable[[Key], Request]
    revoke: Callable[[Key], Request]
    is_accepted: Callable[[httpx.Response], bool] = _is_success


def _validate(key: Key) -> Request:
    return Request("POST", VALIDATE, {"api_key": key.secret})


def _disable(key: Key) -> Request:
    return Request("POST", f"/api/v2/api-keys/{key.id}/disable", {})


def _with_header(kind: str) -> Callable[[Key], Request]:
    return lambda key: Request("GET", "/verified", headers={"Authorization": f"{kind} {key.secret}"})


MAIM = "maim"
PAIR = "sqlalchemy_pair"
# The peers by their modules in bench.peers.apps.
CONTESTANTS = {
    MAIM: Contestant("maim", _validate, _disable, _says_success),
    PAIR: Contestant("FastAPI + SQLAlchemy, of the old shape", _validate, _disable, _says_success),
    "redis_cache": Contestant(
        "FastAPI with a cache in Redis",
        lambda key: Request("POST", "/validate", {"api_key": key.secret}),
        lambda key: Request("POST", f"/keys/{key.id}/disable", {}),
    ),
    "api_key": Contestant(
        "djangorestframework-api-key",
        _with_header("Api-Key"),
        lambda key: Request("POST", "/revoke", {"id": key.id}),
    ),
    "knox": Contestant(
        "django-rest-knox",
        _with_header("Token"),
        lambda key: Request("POST", "/logout", headers={"Authorization": f"Token {key.secret}"}),
    ),
}


class Peer(Service):
    """A peer that serves from its own virtual environment."""

    def __init__(self, name: str, keys: list[Key], environment: dict[str, str]) -> None:
        self.keys = keys
        port = free_port()
        contestant = CONTESTANTS[name]
        super().__init__(
            f"http://127.0.0.1:{port}", lambda client: contestant.is_accepted(send(client, contestant.verify(keys[0])))
        )
        self._process = subprocess.Popen(_command("serve", name, str(port)), cwd=ROOT, env=environment)

    @property
    def pid(self) -> int:
        return self._process.pid

    def _terminate(self) -> None:
        self._signal_all(signal.SIGKILL)  # also Granian's worker, which would go on
        self._process.wait(WAIT)


def seed(name: str, file: Path, number: int, environment: dict[str, str]) -> list[Key]:
    """Fill a peer's empty database, and return the keys."""
    subprocess.run(_command("seed", name, str(file), str(number)), cwd=ROOT, env=environment, check=True)
    return [Key(*line.split()) for line in file.read_text().splitlines()]


def send(client: httpx.Client, request: Request) -> httpx.Response:
    """Send a request as wrk would."""
    return client.request(request.method, request.path, json=request.body, headers=request.headers)


def _command(*arguments: str) -> list[str]:
    return [str(PYTHON), "-m", "bench.peers.apps", *arguments]
