"""Sign-in by OpenID Connect at a real server, by a provider that is somebody else's program."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from tests.support.guide import run, story
from tests.support.instances import free_port, wait_until
from tests.support.people import PASSWORD
from tests.support.server import SETTINGS, MaimServer

pytestmark = pytest.mark.embedded

SECRET = "client-secret-of-maim"
ALICE: dict[str, Any] = {
    "sub": "alice-at-mock",
    "email": "alice@example.com",
    "email_verified": True,
    "preferred_username": "alice",
}
BOB: dict[str, Any] = {
    "sub": "bob-at-mock",
    "email": "bob@example.com",
    "email_verified": True,
    "preferred_username": "bob",
}

KEPT = {"CHALLENGE": "challenge", "TOKEN": "access_token"}  # of responses, for the next command
CAROL: dict[str, Any] = {"sub": "carol-at-mock", "email": "carol@example.com", "email_verified": True}


@contextmanager
def provider_process() -> Iterator[str]:
    """Run oidc-provider-mock, and yield its address."""
    port = free_port()
    people = [part for person in (ALICE, BOB, CAROL) for part in ("--user-claims", json.dumps(person))]
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port), *people]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _answers(f"http://127.0.0.1:{port}"), "the provider is ready")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def maim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MaimServer]:
    with provider_process() as url:
        provider = {
            "id": "mock",
            "name": "Mock",
            "discovery_url": f"{url}/.well-known/openid-configuration",
            "client_id": "maim",
            "client_secret": SECRET,
        }
        directory: Path = tmp_path_factory.mktemp("oidc")
        providers = json.dumps([provider])
        console = "http://localhost:5173"
        environment = {
            "MAIM_OIDC_PROVIDERS": providers,
            "MAIM_CORS_ORIGINS": console,
            "DJANGO_SETTINGS_MODULE": SETTINGS,
        }
        with MaimServer(directory, "maim_oidc", **environment) as running:
            yield running


def start(client: httpx.Client) -> dict[str, str]:
    body = {"redirect_uri": "http://localhost:5173/signed-in"}
    response = client.post("/api/v1/auth/oidc/mock/start", json=body)
    assert response.status_code == 200, response.text
    started: dict[str, str] = response.json()
    return started


def come_back(authorization_url: str, sub: str) -> dict[str, str]:
    """Sign in at the provider's page, and return the parameters with which it sends the browser back."""
    location = httpx.post(authorization_url, data={"sub": sub}).headers["Location"]
    assert "/signed-in?" in location
    return dict(parse_qsl(urlsplit(location).query))


def sign_in(client: httpx.Client, sub: str) -> Any:
    started = start(client)
    body = {"flow": started["flow"], **come_back(started["authorization_url"], sub)}
    return client.post("/api/v1/auth/oidc/mock/finish", json=body)


def test_person_registers_and_signs_in_again(maim: MaimServer) -> None:
    with maim.client() as client:
        for _ in range(2):
            token = sign_in(client, ALICE["sub"]).json()["access_token"]
            profile = client.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"}).json()

            assert (profile["username"], profile["email_verified"]) == ("alice", True)


def test_account_from_before_is_linked_by_its_password(maim: MaimServer) -> None:
    with maim.client() as client:
        bob = {"username": "bob", "password": PASSWORD, "email": BOB["email"]}
        assert client.post("/api/v1/auth/register", json=bob).status_code == 200

        refused = sign_in(client, BOB["sub"])
        assert (refused.status_code, refused.json()["code"]) == (403, "LINK_REQUIRED")
        link = {"challenge": refused.json()["challenge"], "password": PASSWORD}

        assert client.post("/api/v1/auth/oidc/link", json=link).status_code == 200
        assert sign_in(client, BOB["sub"]).status_code == 200


def test_code_is_good_once(maim: MaimServer) -> None:
    with maim.client() as client:
        first, second = start(client), start(client)
        back = come_back(first["authorization_url"], ALICE["sub"])
        finish = "/api/v1/auth/oidc/mock/finish"
        assert client.post(finish, json={"flow": first["flow"], **back}).status_code == 200
        state = come_back(second["authorization_url"], ALICE["sub"])["state"]

        refused = client.post(finish, json={"flow": second["flow"], "code": back["code"], "state": state})

    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["code"])


def test_log_and_database_hold_no_secret(maim: MaimServer) -> None:
    with maim.client() as client:
        started = start(client)
        back = come_back(started["authorization_url"], ALICE["sub"])
        client.post("/api/v1/auth/oidc/mock/finish", json={"flow": started["flow"], **back, "state": "another"})
        pending = start(client)
    asked = dict(parse_qsl(urlsplit(pending["authorization_url"]).query))
    secrets = [SECRET, started["flow"], back["code"], back["state"], pending["flow"], asked["state"], asked["nonce"]]

    stored = b"".join(path.read_bytes() for path in maim.directory.rglob("*") if path.is_file())

    assert [secret for secret in secrets if secret in maim.log or secret.encode() in stored] == []


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_story_of_the_api_guide(maim: MaimServer) -> None:
    """The commands of docs/api.md, from the list of providers to the identities of an account from before."""
    surface = f"http://localhost:{maim.public_port}"
    with maim.client() as client:
        carol = {"username": "carol", "password": "password123", "email": CAROL["email"]}
        assert client.post("/api/v1/auth/register", json=carol).status_code == 200
    values, responses = {"PROVIDER": "mock"}, []
    for command in story("### Sign-in by OpenID Connect", "### Agents and keys"):
        responses.append(run(command.replace("http://localhost:8880", surface), **values))
        body = responses[-1].body
        if "flow" in body:
            back = come_back(body["authorization_url"], CAROL["sub"])
            values |= {"FLOW": body["flow"], "CODE": back["code"], "STATE": back["state"]}
        values |= {name: body[key] for name, key in KEPT.items() if key in body}

    assert [response.status for response in responses] == [200, 200, 403, 200, 200, 200]
    assert [each["subject"] for each in responses[-1].body] == [CAROL["sub"]]
