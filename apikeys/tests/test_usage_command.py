"""`manage.py usage`: how much tenants, agents and keys are used (docs/commands.md)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from time_machine import travel

from agents.models import Agent
from apikeys import usage as stored
from apikeys.services import IssuedKey
from apikeys.usage import Uses
from core.commands.exit_codes import ExitCode
from tests.support.commands import Outcome, run
from tests.support.people import Person, make_agent, make_key

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def usage(*arguments: str) -> Outcome:
    """Run `manage.py usage` on the last day of January."""
    with travel(NOON, tick=False):
        return run("usage", *arguments)


def use(issued: IssuedKey, number: int, *, days_ago: int = 0) -> None:
    """Use a key some days before NOON."""
    moment, key = NOON - timedelta(days=days_ago), issued.key
    stored.add([Uses(key.id, moment.date(), key.agent_id, key.tenant_id, None, number, moment)])


@pytest.fixture
def two(agent: Agent) -> list[IssuedKey]:
    """Two keys of Alice's bot, used in two days."""
    keys = [make_key(agent, "production"), make_key(agent, "staging")]
    use(keys[0], 5)
    use(keys[0], 2, days_ago=1)
    use(keys[1], 9, days_ago=1)
    return keys


@pytest.mark.parametrize(
    ("arguments", "numbers"),
    [(["tenant", "{tenant}"], [0, 11, 5]), (["agent", "{agent}"], [0, 11, 5]), (["key", "staging"], [0, 9, 0])],
)
def test_uses_are_told_by_day(two: list[IssuedKey], agent: Agent, arguments: list[str], numbers: list[int]) -> None:
    named = [argument.format(tenant=agent.tenant_id, agent=agent.id) for argument in arguments]

    told = usage(*named, "--days", "3", "--json").document

    assert told["days"] == [
        {"date": date, "uses": number}
        for date, number in zip(("2026-01-29", "2026-01-30", "2026-01-31"), numbers, strict=True)
    ]
    assert told["total"] == sum(numbers)
    assert f"{sum(numbers)} in 3 days" in usage(*named, "--days", "3").out


def test_busiest_come_first(two: list[IssuedKey], agent: Agent, charlie: Person) -> None:
    other = make_key(make_agent(charlie.tenant, "cat"))
    use(other, 12)

    def top(*arguments: str) -> list[tuple[str, int]]:
        return [(item["name"], item["uses"]) for item in usage("top", *arguments, "--json").document["items"]]

    assert top("tenants") == [("alice's Personal Tenant", 16), ("charlie's Personal Tenant", 12)]
    assert top("tenants", "--days", "1") == [("charlie's Personal Tenant", 12), ("alice's Personal Tenant", 5)]
    assert top("tenants", "--limit", "1") == [("alice's Personal Tenant", 16)]
    assert top("keys", "--tenant", agent.tenant_id) == [("staging", 9), ("production", 7)]
    assert top("agents", "--tenant", agent.tenant_id) == [(agent.name, 16)]


@pytest.mark.parametrize("arguments", [["top", "keys"], ["top", "agents"], ["top", "tenants", "--tenant", "x"]])
def test_keys_and_agents_are_compared_in_one_tenant(two: list[IssuedKey], arguments: list[str]) -> None:
    outcome = usage(*arguments)

    assert (outcome.status, "--tenant" in outcome.err) == (ExitCode.USAGE, True)


def test_missing_key_is_not_found(agent: Agent) -> None:
    assert usage("key", "nobody").status == ExitCode.NOT_FOUND
