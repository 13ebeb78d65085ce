"""The process of `serve` that sends mails."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil
import pytest

from tests.support.guide import run, story
from tests.support.instances import free_port, wait_until
from tests.support.mail import Mailbox, token_of
from tests.support.people import PASSWORD
from tests.support.server import MaimServer

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
    """The commands of docs/api.md, from registering to a changed address, with the tokens that arrive."""
    mailbox = Mailbox(free_port())
    mail = {
        "MAIM_EMAIL_URL": f"smtp://127.0.0.1:{mailbox.port}",
        "MAIM_EMAIL_LINKS": "https://c/{action}#token={token}",
    }
    token, statuses = "", list[int]()
    with mailbox.open(), MaimServer(tmp_path, "maim_story", **mail) as maim:
        for command in story("### Sign in", "### Sign-in by OpenID Connect"):
            if "MAILED_TOKEN" in command:
                wait_until(lambda: MAILS[len(statuses)] == mailbox.subjects, f"the mails before {command}")
            mailed = token_of(mailbox.mails[-1]) if "MAILED_TOKEN" in command else ""
            response = run(command.replace("http://localhost:8880", maim.public), TOKEN=token, MAILED_TOKEN=mailed)
            statuses.append(response.status)
            token = response.body.get("access_token", token)
        me = run(f'curl {maim.public}/api/v1/auth/me -H "Authorization: Bearer $TOKEN"', TOKEN=token).body

    assert statuses == [200, 200, 202, 204, 202, 204, 200, 200, 204]
    assert (me["email"], me["email_verified"], me["pending_email"]) == ("alice@example.org", True, None)


def senders(maim: MaimServer) -> list[psutil.Process]:
    """Return the children of `serve` that neither lead a group of workers nor have children."""
    children = psutil.Process(maim.pid).children()
    return [child for child in children if not child.children() and child.is_running()]
