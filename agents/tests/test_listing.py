"""Tests of AgentList: it finds the same agents as the ORM, with the same values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime, timedelta
from itertools import chain, combinations
from typing import Any

import pytest
from django.db.models import QuerySet
from time_machine import travel

from agents import services
from agents.access import agents_for
from agents.config_warnings import find_warnings
from agents.effective_config import get_states
from agents.errors import AgentNotFound
from agents.listing import SORT_COLUMNS, AgentList, ListedAgent, get_listed_agent
from agents.models import Agent
from agents.serializers.agents import AgentListItemResponse, AgentResponse, public_agent
from agents.tests.wire import AGENTS
from core.actor import Actor, ActorKind
from core.http.rest import CompactJSONRenderer
from tenants.models import Membership, Tenant
from tenants.services import create_tenant
from tests.support.client import SurfaceClient
from tests.support.people import OPERATOR, Person, make_agent, register

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
SORTS = [sign + column for column in SORT_COLUMNS for sign in ("", "-")]
LOOKUPS = {"q": "name_folded__contains", "status": "status", "tenant_id": "tenant_id"}
FILTERS = list(chain.from_iterable(combinations(LOOKUPS, number) for number in range(len(LOOKUPS) + 1)))


def everything(person: Person, **filters: str) -> list[ListedAgent]:
    return list(AgentList(person.actor, sort="created_at", filters=filters)[0:100])


@pytest.fixture(scope="module")
def alice(module_transaction: None) -> Person:
    return register("alice")


@pytest.fixture(scope="module")
def charlie(module_transaction: None) -> Person:
    return register("charlie")


@pytest.fixture(scope="module")
def other_tenant(alice: Person) -> Tenant:
    """The second tenant of Alice."""
    return create_tenant(actor=OPERATOR, tenant_name="Acme", tenant_type="enterprise", owner_id=alice.user.id)


@pytest.fixture(scope="module")
def agents(alice: Person, charlie: Person, other_tenant: Tenant) -> None:
    """Agents of both of Alice's tenants and of Charlie's, of all states and with all there may be to an agent."""
    for number, tenant in enumerate([alice.tenant, other_tenant, charlie.tenant] * 4):
        with travel(NOON + timedelta(hours=number // 2, microseconds=number % 3), tick=False):
            agent = make_agent(tenant, f"{'Bot' if number % 2 else 'bat'} 100%_{number}", description="helps")
            services.update_agent(
                actor=OPERATOR,
                agent=agent,
                changes={"status": "archived"} if number % 4 == 0 else {"tags": ["a", "ü"], "template_id": "free text"},
            )
    make_agent(
        alice.tenant,
        "limited",
        config={"persona": "calm", "config_overrides": {"maim_message": {"auth_token": ["sk-secret"]}}},
        rate_limit={"limit": 5, "window_seconds": 60},
        quota={"limit": 5, "period": "day"},
    )


def shown(agents: Sequence[ListedAgent]) -> list[dict[str, Any]]:
    return [public_agent(agent, json.loads(agent.config)) for agent in agents]


def shown_json(serializer: AgentResponse, agent: Agent | ListedAgent) -> Any:
    return json.loads(CompactJSONRenderer().render(serializer.to_representation(agent)))


def orm_list(person: Person, sort: str, filters: Mapping[str, str]) -> QuerySet[Agent]:
    """Return the agents that AgentList must find."""
    sign = "-" if sort.startswith("-") else ""
    found = agents_for(person.actor).filter(**{LOOKUPS[name]: value for name, value in filters.items()})
    return found.order_by(*(f"{sign}{column}" for column in SORT_COLUMNS[sort.removeprefix("-")]))


@pytest.mark.usefixtures("agents")
@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("names", FILTERS, ids=str)
def test_list_equals_the_orms_result(names: tuple[str, ...], sort: str, alice: Person, other_tenant: Tenant) -> None:
    values = {"q": "bot 100%_", "status": "active", "tenant_id": other_tenant.id}
    filters = {name: values[name] for name in names}
    expected = [public_agent(agent, agent.config) for agent in orm_list(alice, sort, filters)]
    assert expected, "something must be there to be found"

    found = AgentList(alice.actor, sort=sort, filters=filters)

    assert shown(found[0:100]) == expected
    assert shown(found[1:3]) == expected[1:3]
    assert found.count() == len(expected)


@pytest.mark.usefixtures("agents")
def test_values_equal_the_models(alice: Person) -> None:
    models = {agent.id: agent for agent in agents_for(alice.actor)}

    for listed in everything(alice):
        model = models[listed.id]
        find_warnings(model)
        values = {**asdict(listed), "config": json.loads(listed.config)}
        assert values.pop("state") == get_states([listed.id])[listed.id]
        assert values == {name: getattr(model, name) for name in values}


def test_fields_equal_the_documented_ones() -> None:
    assert {field.name for field in fields(ListedAgent)} - {"state"} == {*AgentListItemResponse().fields}


@pytest.mark.usefixtures("agents")
def test_one_agent_is_read_as_it_is_listed(alice: Person) -> None:
    for listed in everything(alice):
        assert get_listed_agent(alice.actor, listed.id) == replace(listed, config_warnings=None)


@pytest.mark.usefixtures("agents")
def test_one_agent_is_shown_as_after_a_write(alice: Person) -> None:
    """Given a row or a model, the representation is the same."""
    serializer = AgentResponse()

    for model in agents_for(alice.actor):
        row = get_listed_agent(alice.actor, model.id)
        assert shown_json(serializer, row) == shown_json(serializer, model)


@pytest.mark.usefixtures("agents")
@pytest.mark.parametrize("value", ["' OR 1=1 -- ", '" OR "" = "', "%", "\\", "%s", "?"])
@pytest.mark.parametrize("name", ["status", "tenant_id"])
def test_filter_value_is_escaped(name: str, value: str, alice: Person) -> None:
    assert everything(alice, **{name: value}) == []


@pytest.mark.usefixtures("agents")
class TestScoping:
    """Queries of people fail closed."""

    def test_person_sees_only_agents_of_their_tenants(self, alice: Person, bob: Person, charlie: Person) -> None:
        assert {agent.tenant_id for agent in everything(bob)} == {alice.tenant.id}
        assert {agent.tenant_id for agent in everything(charlie)} == {charlie.tenant.id}

    def test_person_reads_only_an_agent_of_their_tenants(self, alice: Person, charlie: Person) -> None:
        listed = everything(alice)[0]

        for actor, agent_id in [(charlie.actor, listed.id), (alice.actor, "missing"), (alice.actor, "")]:
            with pytest.raises(AgentNotFound):
                get_listed_agent(actor, agent_id)

    def test_no_filter_reaches_into_another_tenant(self, alice: Person, charlie: Person) -> None:
        assert everything(charlie, tenant_id=alice.tenant.id) == []
        assert everything(charlie, q="limited") == []
        assert everything(charlie, q="\u00ad") == [], "an invisible character"

    def test_former_member_sees_nothing_at_once(self, bob: Person) -> None:
        assert everything(bob)

        Membership.objects.filter(user=bob.user).delete()

        assert everything(bob) == []
        assert AgentList(bob.actor, sort="name", filters={}).count() == 0

    @pytest.mark.embedded
    @pytest.mark.parametrize("kind", sorted(set(ActorKind) - {ActorKind.USER}))
    def test_list_is_only_for_people(self, kind: ActorKind) -> None:
        with pytest.raises(ValueError, match=kind):
            AgentList(Actor(kind=kind), sort="name", filters={})


def test_full_page_has_the_total_count(db: None) -> None:
    dora = register("dora")
    for number in range(3):
        make_agent(dora.tenant, f"bot {number}")
    client: SurfaceClient = dora.client

    answers: list[Any] = [client.get(f"{AGENTS}?limit=2&q=bot&skip={skip}") for skip in (0, 1, 2, 3)]

    assert [len(answer.json()) for answer in answers] == [2, 2, 1, 0]
    assert [answer["X-Total-Count"] for answer in answers] == ["3"] * 4
