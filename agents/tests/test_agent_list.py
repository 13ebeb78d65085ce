"""GET /api/v1/agents: a bare list over all one's tenants (docs/contract.md section 7)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from time_machine import travel

from agents.tests.wire import AGENTS, created, refused
from tenants.models import Tenant
from tests.support.people import Person, make_agent

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def listed(person: Person, query: str = "") -> tuple[list[str], int]:
    """Return the names in a list, and the total count."""
    response = person.client.get(f"{AGENTS}{query}")
    assert response.status_code == 200, response.content
    assert isinstance(response.json(), list)
    return [agent["name"] for agent in response.json()], int(response["X-Total-Count"])


def test_list_has_the_agents_of_all_the_persons_tenants(
    alice: Person, bob: Person, charlie: Person, other_tenant: Tenant
) -> None:
    mine, theirs = created(alice, "mine"), created(alice, "other", tenant_id=other_tenant.id)
    created(bob, "bob's")
    created(charlie, "charlie's")

    response = alice.client.get(AGENTS)

    assert response.status_code == 200
    assert response.json() == [theirs, mine]
    assert response["X-Total-Count"] == "2"
    assert listed(bob) == (["bob's", "mine"], 2), "Bob is a member of Alice's first tenant alone"
    assert listed(charlie) == (["charlie's"], 1)


def test_trailing_slash_makes_no_difference(alice: Person) -> None:
    created(alice)

    assert alice.client.get(f"{AGENTS}/").json() == alice.client.get(AGENTS).json()


def test_list_shows_no_secrets(alice: Person) -> None:
    provider = {"name": "mine", "api_key": "sk-secret", "base_url": "https://secret.example"}
    created(alice, config={"config_overrides": {"model": {"api_providers": [provider]}}})

    assert b"secret" not in alice.client.get(AGENTS).content


def test_skip_and_limit_select_a_slice(alice: Person) -> None:
    for number in range(5):
        with travel(NOON + timedelta(hours=number), tick=False):
            created(alice, f"bot {number}")

    assert listed(alice, "?skip=1&limit=2") == (["bot 3", "bot 2"], 5)
    assert listed(alice, "?skip=4") == (["bot 0"], 5)
    assert listed(alice, "?skip=5") == ([], 5)
    assert listed(alice, "?skip=2147483647") == ([], 5)


def test_at_most_100_agents_are_listed_at_once(alice: Person) -> None:
    for number in range(101):
        make_agent(alice.tenant, f"bot {number}")

    names, total = listed(alice)

    assert (len(names), total) == (100, 101)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?skip=-1", "skip"),
        ("?skip=x", "skip"),
        ("?skip=99999999999999999999", "skip"),
        ("?limit=0", "limit"),
        ("?limit=101", "limit"),
        ("?status=gone", "status"),
        ("?sort=colour", "sort"),
        ("?sort=--name", "sort"),
        ("?q=%00", "q"),
    ],
)
def test_a_bad_query_is_400(alice: Person, query: str, field: str) -> None:
    body = refused(alice.client.get(f"{AGENTS}{query}"), 400, "VALIDATION_ERROR")

    assert list(body["errors"]) == [field]


def test_refused_query_does_not_affect_the_next(alice: Person) -> None:
    """One serializer instance validates all queries."""
    for name in ("a", "b"):
        created(alice, name)
    refused(alice.client.get(f"{AGENTS}?sort=name&limit=1&status=gone"), 400, "VALIDATION_ERROR")

    assert listed(alice) == (["b", "a"], 2)


def test_unknown_parameters_are_ignored(alice: Person) -> None:
    created(alice)

    assert listed(alice, "?colour=red") == (["bot"], 1)


def test_q_finds_a_part_of_the_name_in_any_case(alice: Person) -> None:
    for name in ("Weather Bot", "weatherman", "100% sure", "小明的机器人", "bot_1", "botX1", "École"):
        created(alice, name)

    assert listed(alice, "?q=WEATHER&sort=name") == (["Weather Bot", "weatherman"], 2)
    assert listed(alice, "?q=%25") == (["100% sure"], 1)
    assert listed(alice, "?q=bot_1") == (["bot_1"], 1)
    assert listed(alice, "?q=ÉCOL") == (["École"], 1)
    assert listed(alice, "?q=小明") == (["小明的机器人"], 1)
    assert listed(alice, "?q=nothing") == ([], 0)


def test_list_is_filtered_by_status_and_tenant(alice: Person, charlie: Person, other_tenant: Tenant) -> None:
    created(alice, "mine")
    archived = created(alice, "archived", tenant_id=other_tenant.id)
    alice.client.send("PUT", f"{AGENTS}/{archived['id']}", {"status": "archived"})
    created(charlie, "charlie's")

    assert listed(alice, "?status=archived") == (["archived"], 1)
    assert listed(alice, "?status=active") == (["mine"], 1)
    assert listed(alice, f"?tenant_id={other_tenant.id}") == (["archived"], 1)
    assert listed(alice, f"?tenant_id={other_tenant.id}&status=active") == ([], 0)
    assert listed(alice, f"?tenant_id={charlie.tenant.id}") == ([], 0)


def test_list_is_sorted_as_requested(alice: Person) -> None:
    for number, name in enumerate(("b", "C", "a")):
        with travel(NOON + timedelta(hours=number), tick=False):
            created(alice, name)

    assert listed(alice)[0] == ["a", "C", "b"], "newest first"
    assert listed(alice, "?sort=-created_at")[0] == ["a", "C", "b"]
    assert listed(alice, "?sort=created_at")[0] == ["b", "C", "a"]
    assert listed(alice, "?sort=name")[0] == ["a", "b", "C"]
    assert listed(alice, "?sort=-name")[0] == ["C", "b", "a"]


def test_ties_are_ordered_by_id(alice: Person) -> None:
    with travel(NOON, tick=False):
        ids = [created(alice, f"bot {number}")["id"] for number in range(6)]

    slices = [alice.client.get(f"{AGENTS}?skip={skip}&limit=2").json() for skip in (0, 2, 4)]

    assert [agent["id"] for part in slices for agent in part] == sorted(ids, reverse=True)
