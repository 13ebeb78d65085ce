"""The command bridge_maim_db, run as an operator does."""

from __future__ import annotations

from typing import Any

from agents import services as agents
from agents.models import Agent
from legacy.tests.old_databases import OldDatabase
from tests.support.commands import Outcome, run
from tests.support.people import OPERATOR

OUTCOMES = ("compared", "inserted", "updated", "deleted", "refused")


def bridge(old: OldDatabase | str, *arguments: str) -> Outcome:
    """Run `bridge_maim_db`, by default with --once."""
    return run("bridge_maim_db", "--to", old if isinstance(old, str) else old.url, *(arguments or ["--once"]))


def counts(outcome: Outcome) -> dict[str, dict[str, int]]:
    """Return the counts of a pass by kind, without zeros and without compared objects."""
    found = dict[str, dict[str, int]]()
    for kind, *numbers in (row for row in outcome.rows if row[0] in ("tenants", "agents", "keys", "plugins")):
        done = dict(zip(OUTCOMES, map(int, numbers), strict=True))
        if changed := {name: number for name, number in done.items() if number and name != "compared"}:
            found[kind] = changed
    return found


def chat(**fields: Any) -> dict[str, Any]:
    """Return a config that sets fields of the section `chat`."""
    return {"config_overrides": {"chat": fields}}


def set_config(agent: Agent, config: dict[str, Any]) -> None:
    agents.update_agent(actor=OPERATOR, agent=agent, changes={"config": config})


def refuse_agent(old: OldDatabase, name: str) -> None:
    """Make the old database refuse an agent of this name, until the trigger `refusing` is dropped."""
    condition = f"NEW.name = '{name}'"
    if old.url.startswith("sqlite"):
        raised = f"WHEN {condition} BEGIN SELECT RAISE(ABORT, 'not this one'); END"
    else:
        raised = f"FOR EACH ROW IF {condition} THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this one'; END IF"
    old.execute(f"CREATE TRIGGER refusing BEFORE INSERT ON agents {raised}")
