"""The process of `serve` that sends mails."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from tests.support.instances import free_port, wait_until
from tests.support.mail import Mailbox, token_of
from tests.support.people import PASSWORD
from tests.support.server import ROOT, MaimServer

pytestmark = pytest.mark.single
PERSON = {"username": "alice", "password": PASSWORD, "email": "alice@example.com"}
# The subjects of the mails that have come before the commands that use a token, by the commands' numbers.
_CONFIRM = "Confirm your e-mail address"
MAILS = {
    3: [_CONFIRM] * 2,
    5: [_CONFIRM, _CONFIRM, "Set a new password"],
    8: [_CONFIRM, _CONFIRM, "Set a new password", "Your password was changed", _CONFIRM],
}


def test_served_maim_sends_mails(tmp_path: Path) -> None:
    """A mail waits for the mail server, and for the sender that was killed; and maim stops at once."""
    mailbox = Mailbox(free_port())
    mail = {
        "MAIM_EMAIL_URL": f"smtp://127.0.0.1:{mailbox.port}",
        "MAIM_EMAIL_LINKS": "https://console.example.com/#/{action}?token={token}",
    }
    with MaimServer(tmp_path, "maim_mail", **mail) as maim, maim.client() as client:
        assert client.post("/api/v1/auth/register", json=PERSON).status_code == 200
        wait_until(lambda: "mails wait for the mail server" in maim.log, "the mail server is missed")
        with mailbox.open():
            wait_until(lambda: len(mailbox.mails) == 1, "the mail arrives")
            (sender,) = senders(maim)
            sender.kill()
            wait_until(lambda: "the sender of mails ended with code -9" in maim.log, "the dead sender is missed")
            assert client.post("/api/v1/auth/password/forgot", json={"email": PERSON["email"]}).status_code == 202
            wait_until(lambda: len(mailbox.mails) == 2, "the new sender sends")

        token = token_of(mailbox.mails[1])
        reset = {"token": token, "new_password": "another password"}
        assert client.post("/api/v1/auth/password/reset", json=reset).status_code == 204
        assert maim.stop() == 0
        assert token not in maim.log
        assert "alice@example.com" not in maim.log


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_story_of_the_api_guide(tmp_path: Path) -> None:
    """The commands of docs/api.md, from registering to the closed account, with the tokens that arrive."""
    mailbox = Mailbox(free_port())
    mail = {
        "MAIM_EMAIL_URL": f"smtp://127.0.0.1:{mailbox.port}",
        "MAIM_EMAIL_LINKS": "https://c/{action}#token={token}",
    }
    token, tenant_id, statuses = "", "", list[int]()
    with mailbox.open(), MaimServer(tmp_path, "maim_story", **mail) as maim:
        for command in story():
            if "MAILED_TOKEN" in command:
                wait_until(lambda: MAILS[len(statuses)] == mailbox.subjects, f"the mails before {command}")
            mailed = token_of(mailbox.mails[-1]) if "MAILED_TOKEN" in command else ""
            values = {"TOKEN": token, "MAILED_TOKEN": mailed, "TENANT_ID": tenant_id}
            response = run(command.replace("http://localhost:8880", maim.public), **values)
            statuses.append(response.status)
            token = response.body.get("access_token", token)
            if "tenants" in response.body:
                tenant_id = response.body["tenants"][0]["tenant_id"]
        wait_until(lambda: mailbox.subjects[-1] == "Your account was closed", "the last mail")

    assert statuses == [200, 200, 202, 204, 202, 204, 200, 200, 204, 409, 200, 204]
    assert mailbox.recipients[-1] == "alice@example.org", "the address that it was changed to"


class Response(NamedTuple):
    """The response to a command."""

    status: int
    body: dict[str, Any]


def story() -> list[str]:
    """Return the commands of docs/api.md about signing in and mails, each on a line."""
    guide = (ROOT / "docs/api.md").read_text()
    section = guide[guide.index("### Sign in") : guide.index("### Agents and keys")].replace("\\\n", "")
    return [line for line in section.splitlines() if line.startswith("curl ")]


def run(command: str, **variables: str) -> Response:
    """Run a command of curl with these variables."""
    plain = command.partition("   #")[0]
    done = subprocess.run(
        ["bash", "-c", f"{plain} --silent --write-out '\n%{{http_code}}'"],
        env={**os.environ, **variables},
        check=True,
        capture_output=True,
        text=True,
    )
    body, _, status = done.stdout.rpartition("\n")
    return Response(int(status), json.loads(body or "{}"))


def senders(maim: MaimServer) -> list[psutil.Process]:
    """Return the children of `serve` that neither lead a group of workers nor have children."""
    children = psutil.Process(maim.pid).children()
    return [child for child in children if not child.children() and child.is_running()]
