"""Pages of the admin's lists: they follow on each other, whatever is created and deleted meanwhile."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from html import unescape
from re import search
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.admin.views.main import PAGE_VAR

from agents.admin import AgentAdmin
from agents.models import Agent
from tests.support.operators import Operator, url
from tests.support.people import Person, make_agent

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
OLDEST_FIRST = {"o": "5"}


@pytest.fixture
def agents(alice: Person, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of seven agents, newest first, of which three were created at the same time. A page shows three."""
    monkeypatch.setattr(AgentAdmin, "list_per_page", 3)
    made = [make_agent(alice.tenant, f"bot {number}") for number in range(7)]
    for number, agent in enumerate(made):
        hour = 3 if number in (2, 3, 4) else number
        Agent.unscoped.filter(pk=agent.pk).update(created_at=NOON.replace(hour=hour))
    order = Agent.unscoped.order_by("-created_at", "-name_folded").values_list("name", flat=True)
    return list(order)


def names(response: Any) -> list[str]:
    assert response.status_code == 200, response.status_code
    return [agent.name for agent in response.context_data["cl"].result_list]


def next_page(operator: Operator, response: Any) -> Any:
    """Return the page that the link leads to, or None without one."""
    link = search(r'<a [^>]*href="([^"]*)"[^>]*>Next page</a>', response.content.decode())
    return operator.client.get(url(Agent) + unescape(link[1])) if link else None


def walk(operator: Operator, **query: str) -> list[str]:
    response, found = operator.get(url(Agent), **query), []
    while response is not None:
        found += names(response)
        response = next_page(operator, response)
    return found


def test_pages_have_every_row_once(olivia: Operator, agents: list[str]) -> None:
    assert walk(olivia) == agents


def test_pages_have_every_row_once_oldest_first(olivia: Operator, agents: list[str]) -> None:
    assert walk(olivia, **OLDEST_FIRST) == agents[::-1]


def test_filter_and_search_hold_on_every_page(olivia: Operator, agents: list[str], alice: Person) -> None:
    Agent.unscoped.filter(name=agents[1]).update(status="archived")

    assert walk(olivia, status__exact="active") == [agents[0], *agents[2:]]
    # Of the same time, in the order of the index that has the rows of a tenant.
    found = list(Agent.unscoped.order_by("-created_at", "-id").values_list("name", flat=True))
    assert walk(olivia, q="BOT") == found
    assert walk(olivia, q=alice.tenant.pk) == found


def test_form_saved_from_a_filtered_list_leads_back_to_it(olivia: Operator, agents: list[str]) -> None:
    response = olivia.get(url(Agent), status__exact="active", q="BOT")
    form = search(r'<th [^>]*><a href="([^"]*)"', response.content.decode())
    assert form is not None

    saved = olivia.submit(unescape(form[1]), name="Renamed")

    assert saved["Location"] == f"{url(Agent)}?status__exact=active&q=BOT"


def test_row_created_meanwhile_moves_no_page(olivia: Operator, agents: list[str], alice: Person) -> None:
    first = olivia.get(url(Agent))
    make_agent(alice.tenant, "new")
    Agent.unscoped.filter(name=agents[2]).delete()

    assert names(next_page(olivia, first)) == agents[3:6]


def test_second_page_leads_to_the_first(olivia: Operator, agents: list[str]) -> None:
    first = olivia.get(url(Agent))
    second = next_page(olivia, first)

    assert "First page" not in first.content.decode()
    link = search(r'<a [^>]*href="([^"]*)"[^>]*>First page</a>', second.content.decode())
    assert link is not None
    assert names(olivia.client.get(url(Agent) + unescape(link[1]))) == agents[:3]


def test_number_of_rows_is_shown_where_all_are(olivia: Operator, agents: list[str]) -> None:
    assert "7 agents" not in olivia.get(url(Agent)).content.decode()

    Agent.unscoped.exclude(name__in=agents[:2]).delete()

    assert "2 agents" in olivia.get(url(Agent)).content.decode()


@pytest.mark.parametrize(
    "position",
    [
        "9000",  # a page number, as in a bookmark of the version before
        "",
        "[",
        "[]",
        "{}",
        '["2026-01-31"]',
        '["never", "bot", "agent_1"]',
        '[null, "bot", "agent_1"]',
        '["9999-12-31T23:59:59-14:00", "bot", "agent_1"]',
        '["2026-01-31T12:00:00Z", "\\ud800", "agent_1"]',
        "[" * 100_000,  # nested too deep
    ],
)
def test_position_that_is_none_leads_to_the_list(olivia: Operator, agents: list[str], position: str) -> None:
    response = olivia.client.get(f"{url(Agent)}?{urlencode({PAGE_VAR: position})}")

    assert response.status_code == 302, response.status_code
    assert response["Location"].endswith("?e=1")


def test_position_of_any_row_begins_after_it(olivia: Operator, agents: list[str]) -> None:
    position = json.dumps(["2000-01-01T00:00:00", "bot", "agent_1"])

    assert names(olivia.get(url(Agent), **{PAGE_VAR: position})) == []


def test_list_is_sorted_by_indexed_columns_only(olivia: Operator, agents: list[str]) -> None:
    """An order by any other column would sort the whole table; it is ignored."""
    for column in range(1, 5):
        assert names(olivia.get(url(Agent), o=str(column))) == agents[:3]


def test_action_reaches_the_rows_of_a_later_page(olivia: Operator, agents: list[str]) -> None:
    second = next_page(olivia, olivia.get(url(Agent), q="bot"))
    chosen = Agent.unscoped.get(name=agents[3])

    response = olivia.client.post(
        f"{second.request['PATH_INFO']}?{second.request['QUERY_STRING']}",
        {"action": "delete_selected", "_selected_action": [chosen.pk], "post": "yes"},
    )

    assert response.status_code == 302
    assert not Agent.unscoped.filter(pk=chosen.pk).exists()
    assert Agent.unscoped.count() == 6


@pytest.mark.parametrize("chosen", [0, 1])
def test_action_touches_no_row_that_is_not_named(olivia: Operator, agents: list[str], chosen: int) -> None:
    """No list offers the action on all rows of all pages that Django has, and would count before."""
    named = [agent.pk for agent in Agent.unscoped.filter(name__in=agents[:chosen])]
    action = {"action": "delete_selected", "_selected_action": named, "select_across": "1", "post": "yes"}

    olivia.client.post(url(Agent), action)

    assert Agent.unscoped.count() == 7 - chosen
