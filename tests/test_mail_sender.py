"""The process of `serve` that sends mails."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pyotp
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
            sender = min(background(maim), key=lambda process: process.pid)
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
        "MAIM_AUTH_RATE": "off",  # nobody types so fast
    }
    seen, statuses = Seen(), list[int]()
    with mailbox.open(), MaimServer(tmp_path, "maim_story", **mail) as maim:
        for command in story("### Sign in", "### Sign-in by OpenID Connect"):
            if "MAILED_TOKEN" in command:
                wait_until(lambda: MAILS[len(statuses)] == mailbox.subjects, f"the mails before {command}")
                seen.values["MAILED_TOKEN"] = token_of(mailbox.mails[-1])
            response = run(command.replace("http://localhost:8880", maim.public), **seen.variables(command))
            statuses.append(response.status)
            if isinstance(response.body, dict):
                seen.note(response.body)
            if "-X DELETE" in command and "/auth/sessions" in command:
                former = run(f'curl {maim.public}/api/v1/auth/me -H "Authorization: Bearer $FORMER"', **seen.values)
                assert former.status == 401, "the other session has ended"
        wait_until(lambda: mailbox.subjects[-1] == "Your account was closed", "the last mail")

    assert statuses[:9] == [200, 200, 202, 204, 202, 204, 200, 200, 204]
    assert statuses[9:16] == [200, 200, 403, 200, 403, 200, 204], "a second factor is added, used, lost and recovered"
    assert statuses[16:17] == [204], "other sessions end"
    assert statuses[17:21] == [200, 200, 200, 204], "a personal access token is made, used, listed and revoked"
    assert statuses[21:] == [409, 200, 204], "the account is closed, when its tenant is deleted"
    assert mailbox.recipients[-1] == "alice@example.org", "the address that it was changed to"


class Seen:
    """The values from responses that the commands after them take."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self._codes: Iterator[str] = iter(())

    def note(self, body: dict[str, Any]) -> None:
        if "access_token" in body:
            self.values["FORMER"] = self.values.get("TOKEN", "")
        names = {"access_token": "TOKEN", "challenge": "CHALLENGE"}
        self.values |= {variable: body[name] for name, variable in names.items() if name in body}
        if "secret" in body:
            app = pyotp.TOTP(body["secret"])
            self._codes = (app.at(time.time(), counter_offset=step) for step in (0, 1))
        if "tenants" in body:
            self.values["TENANT_ID"] = body["tenants"][0]["tenant_id"]
        if body.get("recovery_codes"):
            self.values["RECOVERY_CODE"] = body["recovery_codes"][0]
        if "token" in body:
            self.values |= {"PERSONAL_TOKEN": body["token"], "TOKEN_ID": body["id"]}

    def variables(self, command: str) -> dict[str, str]:
        """Return the variables of a command. Each code of the app counts once, so the next is of a later step."""
        if "$CODE" in command:
            self.values["CODE"] = next(self._codes)
        return self.values


def background(maim: MaimServer) -> list[psutil.Process]:
    """Return the children of `serve` that have no children: the sender of mails first."""
    children = psutil.Process(maim.pid).children()
    return [child for child in children if not child.children() and child.is_running()]
