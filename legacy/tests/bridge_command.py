"""Running the bridge as an operator does."""

from __future__ import annotations

from typing import Any

from legacy.tests.old_databases import OldDatabase
from tests.support.commands import Outcome, run

OUTCOMES = ("compared", "inserted", "updated", "deleted", "refused")


def bridge(old: OldDatabase | str, *arguments: str) -> Outcome:
    """Run `bridge_maim_db`, by default with --once."""
    return run("bridge_maim_db", "--to", old if isinstance(old, str) else old.url, *(arguments or ["--once"]))


def counts(outcome: Outcome) -> dict[str, dict[str, int]]:
    """Return what one pass did, by kind, without zeros and without what was only compared."""
    found = dict[str, dict[str, int]]()
    for kind, *numbers in (row for row in outcome.rows if row[0] in ("tenants", "agents", "keys", "plugins")):
        done = dict(zip(OUTCOMES, map(int, numbers), strict=True))
        if changed := {name: number for name, number in done.items() if number and name != "compared"}:
            found[kind] = changed
    return found


def chat(**fields: Any) -> dict[str, Any]:
    """A config that says something of the section `chat`."""
    return {"config_overrides": {"chat": fields}}


def refuse(old: OldDatabase, name: str) -> None:
    """Have the old database refuse an agent of this name, until the trigger `no` is dropped."""
    condition = f"NEW.name = '{name}'"
    if old.url.startswith("sqlite"):
        raised = f"WHEN {condition} BEGIN SELECT RAISE(ABORT, 'not this one'); END"
    else:
        raised = f"FOR EACH ROW IF {condition} THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this one'; END IF"
    old.execute(f"CREATE TRIGGER no BEFORE INSERT ON agents {raised}")
