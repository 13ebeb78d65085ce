"""`manage.py agents`: finding, creating, changing and deleting agents (docs/commands.md)."""

from __future__ import annotations

import pytest

from agents.models import Agent
from core.commands.exit_codes import ExitCode
from core.models import AuditEntry
from tests.support.client import SurfaceClient
from tests.support.commands import Outcome, Terminal, run
from tests.support.people import Person, make_agent, make_key
from tests.support.tables import changed_tables, tables

pytestmark = pytest.mark.embedded


def agents(*arguments: str, answer: str | None = None) -> Outcome:
    """Run `manage.py agents`, at a terminal if there is an answer to its question."""
    return run("agents", *arguments, stdin=None if answer is None else Terminal(f"{answer}\n"))


@pytest.fixture
def bots(alice: Person, charlie: Person) -> list[Agent]:
    """Two agents of Alice's and one of Charlie's."""
    return [make_agent(alice.tenant, "bot"), make_agent(alice.tenant, "barista"), make_agent(charlie.tenant, "cat")]


class TestFinding:
    @pytest.mark.parametrize(
        ("arguments", "names"),
        [
            ([], ["cat", "barista", "bot"]),
            (["--tenant", "alice's personal tenant"], ["barista", "bot"]),
            (["--status", "inactive"], []),
            (["--name", "B"], ["barista", "bot"]),
        ],
    )
    def test_list_is_filtered_by(self, bots: list[Agent], arguments: list[str], names: list[str]) -> None:
        listed = agents("list", *arguments, "--json").document

        assert ([agent["name"] for agent in listed["items"]], listed["next"]) == (names, None)
        assert [row[1] for row in agents("list", *arguments).rows] == names

    @pytest.mark.parametrize("order", [[], ["--tenant", "alice's personal tenant"], ["--name", "b"]])
    def test_pages_have_every_agent_once(self, bots: list[Agent], order: list[str]) -> None:
        whole = agents("list", *order, "--json").document["items"]

        first = agents("list", *order, "--limit", "1", "--json").document
        rest = agents("list", *order, "--after", first["next"], "--json").document

        assert [*first["items"], *rest["items"]] == whole

    def test_agent_is_shown_as_by_the_api(self, bots: list[Agent], internal: SurfaceClient) -> None:
        make_key(bots[0])

        shown = agents("show", "bot", "--json").document

        assert shown == internal.get(f"/api/v2/agents/{bots[0].id}").json()["data"]
        assert "keys            1\n" in agents("show", "bot").out


class TestChanging:
    def test_agent_is_created_with_every_option(self, alice: Person) -> None:
        made = agents(
            *("create", "bot", "--tenant", alice.tenant.id, "--description", "tests", "--tag", "a", "--tag", "b"),
            *("--rate-limit", "100/60", "--quota", "5/month", "--json"),
        ).document

        assert (made["tenant_id"], made["description"], made["tags"]) == (alice.tenant.id, "tests", ["a", "b"])
        assert made["rate_limit"] == {"limit": 100, "window_seconds": 60}
        assert made["quota"] == {"limit": 5, "period": "month"}
        entry = AuditEntry.objects.get(action="agent.create")
        assert (entry.actor_kind, entry.actor_label) == ("command", "manage.py agents create")

    def test_agent_is_updated(self, bots: list[Agent]) -> None:
        agents("update", "bot", "--quota", "5/month", "--description", "tests")

        made = agents(
            *("update", "bot", "--name", "robot", "--quota", "none", "--description", "", "--status", "archived"),
            "--json",
        ).document

        assert (made["name"], made["quota"], made["description"], made["status"]) == ("robot", None, "", "archived")

    @pytest.mark.parametrize(
        ("arguments", "blamed"),
        [
            (["--name", " "], "--name: "),
            (["--quota", "0/day"], "--quota (limit): "),
            (["--tag", "x" * 65], "--tag"),
            (["--name", "barista"], "An agent"),
        ],
    )
    def test_invalid_value_is_refused_and_its_option_named(
        self, bots: list[Agent], arguments: list[str], blamed: str
    ) -> None:
        outcome = agents("update", "bot", *arguments)

        assert (outcome.status, outcome.out) == (ExitCode.REFUSED, "")
        assert outcome.err.startswith(blamed)

    def test_agents_are_suspended_and_resumed_together(self, bots: list[Agent]) -> None:
        off = agents("suspend", "bot", "cat", "--json").document["items"]
        on = agents("resume", "bot", bots[2].id, "bot")

        assert [agent["status"] for agent in off] == ["inactive"] * 2
        assert [(row[1], row[3]) for row in on.rows] == [("bot", "active"), ("cat", "active")]

    def test_deleting_asks_with_what_goes_with_an_agent(self, bots: list[Agent]) -> None:
        make_key(bots[0])

        assert agents("delete", "bot").status == ExitCode.REFUSED
        refused = agents("delete", "bot", answer="n")
        assert refused.status == ExitCode.REFUSED
        assert refused.err.splitlines()[1].split()[-1] == "1"
        assert agents("delete", "bot", answer="y").out == f"deleted {bots[0].id}\n"
        assert agents("delete", "cat", "--yes", "--json").document == {"items": [{"id": bots[2].id}]}
        assert [row[1] for row in agents("list").rows] == ["barista"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["create", "new", "--tenant", "alice's personal tenant"],
        ["update", "bot", "--name", "new"],
        ["suspend", "bot"],
        ["resume", "bot"],
        ["delete", "bot"],
    ],
)
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_dry_run_writes_nothing(bots: list[Agent], arguments: list[str], form: list[str]) -> None:
    before = tables()

    outcome = agents(*arguments, *form, "--dry-run")

    assert outcome.status == 0
    assert outcome.err.endswith("A dry run: nothing was written.\n")
    assert changed_tables(before, tables()) == set()
