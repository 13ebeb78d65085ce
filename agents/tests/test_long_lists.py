"""Pages of long lists, of which only ids are read first: the same rows in the same order as in the whole list."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from agents import listing
from agents.models import Agent
from agents.tests.wire import AGENTS
from core import listing as core_listing
from core.http.surfaces import INTERNAL
from tenants import services as tenants
from tenants.models import TenantType
from tests.support.client import SurfaceClient
from tests.support.people import Person, make_agent

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
SORTS = ("created_at", "-created_at", "name", "-name")
FILTERS = ("", "&status=archived", "&q=bot")


@pytest.fixture(autouse=True)
def _far_from_the_second_row(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (listing, core_listing):
        monkeypatch.setattr(module, "NEAR", 1)


def add_agents(person: Person, number: int) -> None:
    """Create a tenant with agents, some of which were created at the same time, and a third of which are archived."""
    tenant = tenants.create_tenant(actor=person.actor, tenant_name=str(number), tenant_type=TenantType.ENTERPRISE)
    for each in range(10):
        agent = make_agent(tenant, f"bot {(each * 7 + number) % 10}")
        status = "archived" if each % 3 == 0 else "active"
        Agent.unscoped.filter(pk=agent.pk).update(created_at=NOON + timedelta(hours=each // 2))
        person.client.send("PUT", f"{AGENTS}/{agent.id}", {"status": status})


def walk(person: Person, query: str) -> list[str]:
    """Return the ids of the agents on all pages of two."""
    found: list[str] = []
    while True:
        response = person.client.get(f"{AGENTS}?limit=2&skip={len(found)}{query}")
        page = [agent["id"] for agent in response.json()]
        assert len(page) <= 2
        if not page:
            return found
        found += page


@pytest.mark.parametrize("tenants_of_alice", [1, 3])
def test_pages_are_those_of_the_whole_list(alice: Person, tenants_of_alice: int) -> None:
    for number in range(tenants_of_alice):
        add_agents(alice, number)

    for sort in SORTS:
        for filters in FILTERS:
            query = f"&sort={sort}{filters}"
            whole = alice.client.get(f"{AGENTS}?limit=100{query}")
            ids = [agent["id"] for agent in whole.json()]
            assert walk(alice, query) == ids, query
            assert len(ids) > 3, query


def test_cursor_reads_several_long_tenants_in_the_order_of_ids(alice: Person) -> None:
    for number in range(2):
        add_agents(alice, number)
    found = list[str]()
    cursor: str | None = ""

    while cursor is not None:
        response = alice.client.get(f"{AGENTS}?limit=3&after={cursor}")
        found += [agent["id"] for agent in response.json()]
        cursor = response.headers.get("X-Next-Cursor")

    assert found == sorted(Agent.unscoped.values_list("pk", flat=True))


def test_numbered_pages_are_those_of_the_whole_list(alice: Person) -> None:
    add_agents(alice, 0)
    internal = SurfaceClient(INTERNAL)
    tenant_id = Agent.unscoped.values_list("tenant_id", flat=True)[0]
    path = f"/api/v2/agents?tenant_id={tenant_id}"

    whole = internal.get(f"{path}&size=100").json()["data"]
    pages = [internal.get(f"{path}&size=3&page={page}").json()["data"] for page in range(1, 5)]

    assert [item for page in pages for item in page["items"]] == whole["items"]
    assert {page["total"] for page in pages} == {10}
