"""The people whom the tests of a module share (tests/support/shared.py): no test sees what another did to them."""

from __future__ import annotations

import pytest

from accounts.models import User
from agents import services as agents
from agents.models import Agent
from tests.support.operators import Operator
from tests.support.people import OPERATOR, Person

pytestmark = [pytest.mark.django_db, pytest.mark.embedded]
in_two_turns = pytest.mark.parametrize("turn", ["first", "second"])


def usernames() -> set[str]:
    return set(User.objects.values_list("username", flat=True))


@in_two_turns
def test_change_of_the_shared_agent_is_gone_in_the_next_test(turn: str, alice: Person, agent: Agent) -> None:
    assert [row.name for row in Agent.unscoped.all()] == [agent.name]
    assert agent.name != "changed"

    agents.update_agent(actor=OPERATOR, agent=agent, changes={"name": "changed"})
    agent.name = "changed"


@in_two_turns
def test_shared_operator_is_signed_in_again_in_the_next_test(turn: str, olivia: Operator) -> None:
    assert olivia.client.get("/admin/").status_code == 200

    olivia.client.post("/admin/logout/")
    assert olivia.client.get("/admin/").status_code == 302


def test_alice_alone_is_there(alice: Person) -> None:
    assert usernames() == {"alice"}


def test_bob_comes_with_alice(bob: Person) -> None:
    assert usernames() == {"alice", "bob"}


def test_charlie_alone_is_there(charlie: Person) -> None:
    assert usernames() == {"charlie"}


@pytest.mark.django_db(transaction=True)
def test_nobody_is_shared_by_tests_with_real_transactions(charlie: Person) -> None:
    assert usernames() == {"charlie"}
