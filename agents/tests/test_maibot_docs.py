"""Every command in docs/maibot.md, run in order on a bare installation."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from agents.models import Agent
from core.http.surfaces import INTERNAL
from tenants import services as tenants
from tenants.models import Tenant
from tests.support.client import SurfaceClient
from tests.support.commands import run
from tests.support.people import OPERATOR
from tests.support.server import ROOT

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]

PAGES = ("docs/maibot.md", "docs/maibot.zh-CN.md")
BOTS = ROOT / "tests/support/bots"


def commands(page: str) -> list[str]:
    """Return the commands in a page's blocks of shell."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    return [block.replace("\\\n", " ").strip() for block in blocks]


def send(command: str, ids: dict[str, str]) -> Any:
    """Send the request of a `curl` to the internal surface."""
    for name, value in ids.items():
        command = command.replace(f"'${name}'", value).replace(f"${name}", value)
    _curl, *parts = shlex.split(command)
    url = next(part for part in parts if part.startswith("http")).removeprefix("http://localhost:8000")
    body = json.loads(parts[parts.index("-d") + 1]) if "-d" in parts else None
    return SurfaceClient(INTERNAL).send("GET" if body is None else "POST", url, body)


@pytest.mark.parametrize("page", PAGES)
def test_each_command_of_the_page_works(page: str, db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a tenant, a bot's files and a folder of bots, when the page is followed, then the bot is in and out."""
    tenant: Tenant = tenants.create_tenant(actor=OPERATOR, tenant_name="ACME", tenant_type="enterprise")
    shutil.copytree(BOTS / "0.12", tmp_path / "cat")
    shutil.copytree(BOTS, tmp_path / "bots")
    monkeypatch.chdir(tmp_path)

    for command in commands(page):
        if command.startswith("curl"):
            agent = Agent.unscoped.filter(name="cat").first()
            response = send(command, {"TENANT": tenant.id, "AGENT": agent.id if agent else ""})
            assert response.status_code == 200, response.content
        else:
            program, name, *arguments = shlex.split(command)
            outcome = run(name, *arguments)
            assert (program, outcome.status) == ("manage.py", 0), f"{command}: {outcome.err}"

    assert {"cat", "dog", "0.12"} <= set(Agent.unscoped.values_list("name", flat=True))
    assert (tmp_path / "cat/config/model_config.toml").read_text().count("api_key") > 0
    assert '"十二"' in (tmp_path / "out/bot_config.toml").read_text()


def test_the_pages_have_the_same_commands() -> None:
    assert commands(PAGES[0]) == commands(PAGES[1])
