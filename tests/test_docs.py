"""The documentation, whose settings, links, commands and examples are those of the code."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from django.core.management import get_commands, load_command_class

from agent_config.secret_names import CARRIERS, DOCUMENTED, NOT_SECRETS, RUN_TOGETHER, SECRET_NAMES
from maim.environment import Environment
from tests.support.guide import run, story
from tests.support.instances import WAIT
from tests.support.server import ROOT, MaimServer

pytestmark = pytest.mark.embedded

READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
PAGES = [*READMES, ROOT / "SECURITY.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)
_FILE = re.compile(r"(?<![\w./$-])[\w-]+(?:/[\w.-]+)*\.(?:py|txt|in|toml)\b")
_MAKE = re.compile(r"^`?make ([a-z-]+)", re.MULTILINE)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def code_blocks(page: Path) -> list[tuple[str, str]]:
    """Return the fenced blocks of a page as (language, content)."""
    return _FENCE.findall(page.read_text())


def outside_code(page: Path) -> str:
    """Return the page's prose, because brackets in code are no links."""
    return re.sub(r"`[^`\n]*`", "", _FENCE.sub("", page.read_text()))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page: its headings, as Markdown renderers write them."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def link_target_exists(link: str, page: Path) -> bool:
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    return target.exists() and (not anchor or anchor in anchors(target))


def test_contract_lists_the_names_of_secrets() -> None:
    page = (ROOT / "docs/contract.md").read_text()
    section = page[page.index("## 14. Secrets in configs\n") :].partition("\n## ")[0]
    documented = set(re.findall(r"`([^`\n]+)`", section))

    assert {*DOCUMENTED, *CARRIERS, *SECRET_NAMES, *RUN_TOGETHER, *NOT_SECRETS} <= documented


def table_cell(default: Any) -> str:
    """Return a default as the table writes it."""
    return "—" if default is None or default == [] else f"`{default}`"


def run_on_server(script: str, server: MaimServer) -> str:
    """Run a README's commands in bash against `server`, and return their output."""
    for port, real in ((8880, server.public_port), (8000, server.internal_port)):
        script = script.replace(f"localhost:{port}/", f"localhost:{real}/").replace(f"x:{port}'", f"x:{real}'")
    response = subprocess.run(["bash", "-s"], input=script, capture_output=True, text=True, check=True, timeout=WAIT)
    assert response.stderr == ""
    return response.stdout


def session_and_output(containing: str) -> tuple[str, str]:
    """Return the shell block of README.md with this text, and the block with its output."""
    blocks = code_blocks(READMES[0])
    number = next(number for number, (_, block) in enumerate(blocks) if containing in block)
    return blocks[number][1], blocks[number + 1][1]


def test_settings_table_equals_the_environment() -> None:
    section = (ROOT / "docs/operations.md").read_text().partition("\n## Settings\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*) \|$", section, re.MULTILINE)

    fields = Environment.model_fields.items()
    assert rows == [(name, table_cell(field.default), field.description) for name, field in fields]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_target_of_every_relative_link_exists(page: Path) -> None:
    links = [link for link in _LINK.findall(outside_code(page)) if "://" not in link]

    assert [link for link in links if not link_target_exists(link, page)] == []


def test_pictures_are_all_shown_and_small() -> None:
    pictures = set((ROOT / "docs/pictures").iterdir())
    shown = {page.parent / link for page in PAGES for link in _LINK.findall(page.read_text()) if link.endswith(".png")}

    assert pictures == shown
    assert sum(picture.stat().st_size for picture in pictures) < 1_000_000


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_make_target_exists(page: Path) -> None:
    code = [block for _, block in code_blocks(page)] + re.findall(r"`[^`\n]+`", _FENCE.sub("", page.read_text()))

    named = {target for text in code for target in _MAKE.findall(text)}
    assert named <= set(_TARGET.findall((ROOT / "Makefile").read_text()))


def test_every_file_named_in_the_makefile_exists() -> None:
    named = _FILE.findall((ROOT / "Makefile").read_text())

    assert {"manage.py", "requirements-dev.txt", "tests/long/guarantee.py"} <= set(named)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_both_readmes_show_the_same_commands_and_output() -> None:
    english, chinese = map(code_blocks, READMES)

    assert english == chinese
    assert len(english) >= 4


def test_session_of_the_readme_ends_with_a_valid_key(server: MaimServer) -> None:
    session, response = session_and_output("validate-api-key")

    printed = run_on_server(session, server).splitlines()

    user, key, verdict = printed
    assert json.loads(user)["username"].startswith("alice-")
    assert key.startswith("mmc_")
    assert '"valid":true' in verdict
    shown_user, shown_key, *shown_verdict = response.splitlines()
    assert list(json.loads(user)) == list(json.loads(shown_user))
    assert len(key) == len(shown_key)
    assert _shape(json.loads(verdict)) == _shape(json.loads("".join(shown_verdict)))


def test_session_of_the_readme_explains_a_config(server: MaimServer) -> None:
    session, _ = session_and_output("validate-api-key")
    example, response = session_and_output("explain=1")

    printed = run_on_server(session + example, server).splitlines()

    assert [json.loads(line) for line in printed[-2:]] == [json.loads(line) for line in response.splitlines()]


def test_example_of_the_guide_exports_and_imports_an_agent(server: MaimServer, tmp_path: Path) -> None:
    session, _ = session_and_output("validate-api-key")
    (example,) = [block for _, block in code_blocks(ROOT / "docs/api.md") if "agents/import" in block]
    # The guide's commands have no options for scripts.
    quiet = f'cd {tmp_path}; set -e; curl() {{ command curl --silent --show-error --fail-with-body "$@"; echo; }}\n'

    lines = run_on_server(session + quiet + example, server).splitlines()

    duplicate, rehearsal, imported = map(json.loads, [line for line in lines if line][-3:])
    assert duplicate["name"] == "support bot, evenings"
    assert (tmp_path / "bot.toml").read_text().startswith("maim_export = 1\n")
    assert (rehearsal["dry_run"], rehearsal["agent"]) == (True, None)
    assert (imported["dry_run"], imported["agent"]["name"]) == (False, "support bot, moved")


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_commands_of_the_guide_about_use_and_refusals_succeed(server: MaimServer) -> None:
    url = f"{server.public}/api/v1"
    credentials = {"username": "reader of the guide", "password": "password123"}
    requests.post(f"{url}/auth/register", json=credentials).raise_for_status()
    token = requests.post(f"{url}/auth/login", json=credentials).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    agent = requests.post(f"{url}/agents", json={"name": "support bot"}, headers=headers).json()
    key = requests.post(f"{url}/agents/{agent['id']}/api_keys", json={"name": "production"}, headers=headers).json()
    variables = {"TOKEN": token, "TENANT": agent["tenant_id"], "AGENT": agent["id"], "KEY": key["api_key"]}

    for command in story("### Finding anything", "### People in a tenant"):
        response = run(command.replace("http://localhost:8880", server.public), **variables)
        assert response.status == 200, (command, response)


def test_other_host_in_the_readme_is_refused(server: MaimServer) -> None:
    session, response = session_and_output("-H 'Host: x:8000'")

    assert json.loads(run_on_server(session, server)) == json.loads(response)


def _shape(value: Any) -> Any:
    """Return the keys of a response in order, with the types of their values."""
    return [(key, _shape(member)) for key, member in value.items()] if isinstance(value, dict) else type(value)


class TestBridgeUnderASupervisor:
    """The two service definitions for a bridge in docs/moving.md."""

    @staticmethod
    def block(language: str) -> str:
        [found] = [text for kind, text in code_blocks(ROOT / "docs/moving.md") if kind == language]
        return found

    @staticmethod
    def check_command(arguments: list[str]) -> None:
        """Parse a command line of manage.py without running it."""
        name, *options = arguments
        load_command_class(get_commands()[name], name).create_parser("manage.py", name).parse_args(options)

    def test_systemd_unit_is_valid(self, tmp_path: Path) -> None:
        unit = self.block("ini")
        [command] = re.findall(r"^ExecStart=(.+)$", unit, re.MULTILINE)
        python, manage, *arguments = shlex.split(command)
        self.check_command(arguments)
        assert (python, manage) == ("/opt/maim/.venv/bin/python", "manage.py")
        assert "WorkingDirectory=/opt/maim\n" in unit

        if (analyze := shutil.which("systemd-analyze")) is None:
            pytest.skip("systemd-analyze is not installed")
        path = tmp_path / "maim-bridge.service"
        path.write_text(unit.replace(python, sys.executable))
        checked = subprocess.run([analyze, "verify", path], capture_output=True, text=True, check=False, timeout=WAIT)
        assert (checked.returncode, checked.stderr) == (0, "")

    def test_compose_service_fits_the_compose_file(self) -> None:
        file = (ROOT / "compose.yaml").read_text()
        services = file.index("services:\n") + len("services:\n")
        composed = yaml.safe_load(file[:services] + self.block("yaml") + file[services:])
        bridge, app = composed["services"]["bridge"], composed["services"]["app"]

        self.check_command(bridge["command"])
        assert bridge["environment"].keys() - app["environment"].keys() == {"OLD_CONFIG_DB"}
        assert set(bridge["networks"]) <= composed["networks"].keys()
        assert bridge["depends_on"].keys() <= composed["services"].keys()
        known = set().union(*(service.keys() for name, service in composed["services"].items() if name != "bridge"))
        assert bridge.keys() <= known
