"""The commands of the API guide, as they are run by people who follow it."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any, NamedTuple

from tests.support.server import ROOT


class Response(NamedTuple):
    """The response to a command."""

    status: int
    body: Any


def story(first: str, end: str) -> list[str]:
    """Return the commands of docs/api.md between two headings, each on a line."""
    guide = (ROOT / "docs/api.md").read_text()
    section = guide[guide.index(first) : guide.index(end)].replace("\\\n", "")
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
