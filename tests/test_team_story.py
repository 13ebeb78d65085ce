"""The story of a team in docs/api.md, at a real server, with the links that arrive at a real mail server."""

from __future__ import annotations

import re
import shutil
import time
from functools import partial
from pathlib import Path
from typing import Any

import pyotp
import pytest

from tests.support.guide import Response, run, story
from tests.support.instances import free_port, wait_until
from tests.support.mail import Mailbox, token_of
from tests.support.server import MaimServer

pytestmark = [
    pytest.mark.single,
    pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl"),
]
# What each command gets, in the parts of the story.
STATUSES = [
    *(200, 200, 200, 200, 200, 200, 200),  # Alice invites three
    *(200, 200, 200, 200, 200),  # Bob and Dave register
    *(200, 200, 200, 400),  # Carol joins, once
    *(200, 403, 200, 200, 403),  # each does what the role allows
    *(200, 200, 200, 200, 404, 403),  # another role, and one who leaves
    *(200, 200, 200, 200),  # another owner
    *(403, 200, 200, 200, 403),  # a second factor is required
]
ACTIONS = {
    "tenant.create", "invitation.create", "invitation.accept", "membership.set", "membership.remove",
    "agent.create", "agent.update", "key.create", "ownership.offer", "ownership.transfer",
}  # fmt: skip
NOTICES = {
    ("dave@example.com", "Your role in a tenant"),
    ("bob@example.com", "A tenant is offered to you"),
    ("dave@example.com", "A tenant requires a second factor"),
}


class Seen:
    """The values from responses and mails that the commands after them take."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._secret = ""
        self.values: dict[str, str] = {}

    def note(self, command: str, body: Any) -> None:
        username = re.search(r'\\?"username\\?": \\?"(\w+)', command)
        if username and "access_token" in body:
            self.values[username[1].upper()] = body["access_token"]
        elif username:
            self.values[f"{username[1].upper()}_ID"] = body["id"]
        elif "/v1/tenants " in command:
            self.values["TENANT"] = body["data"]["id"]
        elif "/v1/agents " in command:
            self.values["AGENT"] = body["id"]
        elif "secret" in body:
            self._secret = body["secret"]

    def variables(self, command: str) -> dict[str, str]:
        """Return the variables of a command, after waiting for the mail whose link it takes."""
        for name in re.findall(r"MAILED_TO_(\w+)", command):
            wait_until(partial(self._is_invited, name), f"the invitation of {name}")
            self.values[f"MAILED_TO_{name}"] = self._links(name)[0]
        if "$CODE" in command:
            self.values["CODE"] = pyotp.TOTP(self._secret).at(time.time())
        return self.values

    def _is_invited(self, name: str) -> bool:
        return bool(self._links(name))

    def _links(self, name: str) -> list[str]:
        sent = [mail for mail in self._mailbox.mails if mail["To"] == f"{name.lower()}@example.com"]
        return [token_of(mail) for mail in sent if mail["Subject"] == "Invitation into a tenant"]


def test_story_of_a_team(tmp_path: Path) -> None:
    mailbox = Mailbox(free_port())
    mail = {
        "MAIM_EMAIL_URL": f"smtp://127.0.0.1:{mailbox.port}",
        "MAIM_EMAIL_LINKS": "https://c/{action}#token={token}",
        "MAIM_AUTH_RATE": "off",  # nobody types so fast
    }
    seen, responses = Seen(mailbox), dict[str, Response]()
    statuses: list[int] = []
    with mailbox.open(), MaimServer(tmp_path, "maim_team", **mail) as maim:
        for command in story("### A team of four", "### Who changed what"):
            response = run(command.replace("http://localhost:8880", maim.public), **seen.variables(command))
            seen.note(command, response.body)
            responses[command] = response
            statuses.append(response.status)
        wait_until(lambda: set(told(mailbox)) >= NOTICES, "everybody is told")
        tokens = [value for name, value in seen.values.items() if name.startswith("MAILED_TO")]
        assert len(tokens) == 3
        assert [token for token in tokens if token in maim.log] == []

    assert statuses == STATUSES
    (audit,) = [response.body for command, response in responses.items() if "/audit" in command]
    assert {entry["action"] for entry in audit["data"]["items"]} == ACTIONS
    profile = next(response.body for command, response in responses.items() if "/auth/me" in command)
    assert {each["tenant_name"]: each["role"] for each in profile["memberships"]}["Acme"] == "admin"
    assert len(told(mailbox)) == len(set(told(mailbox))), "each once"


def told(mailbox: Mailbox) -> list[tuple[str, str]]:
    return [(str(mail["To"]), str(mail["Subject"])) for mail in mailbox.mails]
