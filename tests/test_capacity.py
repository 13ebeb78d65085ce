"""Limits on the agents, keys and members of a tenant."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from accounts.tests.threads import at_once
from agents.models import Agent
from apikeys.models import ApiKey
from core.http.surfaces import INTERNAL
from tenants import members, services
from tenants.errors import TenantLimitReached
from tenants.models import Role, Tenant
from tests.support.client import SurfaceClient
from tests.support.people import OPERATOR, Person, join, make_agent, make_key, register

pytestmark = pytest.mark.django_db

NONE = {"agents": None, "keys": None, "members": None}


def limit(tenant: Tenant, **limits: int) -> Tenant:
    """Set a tenant's own limits, as an operator."""
    return services.update_tenant(actor=OPERATOR, tenant=tenant, changes={"limits": limits})


def capacity(person: Person, tenant: Tenant) -> Any:
    return person.client.get(f"/api/v1/tenants/{tenant.id}/limits").json()["data"]


def test_tenant_has_any_number_unless_a_limit_is_set(alice: Person) -> None:
    make_key(make_agent(alice.tenant))

    assert capacity(alice, alice.tenant) == {
        "agents": {"limit": None, "used": 1},
        "keys": {"limit": None, "used": 1},
        "members": {"limit": None, "used": 1},
    }


def test_own_limit_replaces_the_default(alice: Person, charlie: Person, settings: Any) -> None:
    settings.TENANT_LIMITS = {**NONE, "agents": 1}
    limit(alice.tenant, agents=2)

    assert capacity(alice, alice.tenant)["agents"]["limit"] == 2
    assert capacity(charlie, charlie.tenant)["agents"]["limit"] == 1


class TestAgents:
    @pytest.mark.parametrize("surface", ["public", "internal"])
    def test_no_more_are_created(self, surface: str, alice: Person) -> None:
        limit(alice.tenant, agents=1)
        make_agent(alice.tenant)
        client = alice.client if surface == "public" else SurfaceClient(INTERNAL)
        path = "/api/v1/agents" if surface == "public" else "/api/v2/agents"

        response = client.send("POST", path, {"name": "second", "tenant_id": alice.tenant.id})

        body = response.json()
        assert (response.status_code, body.get("code") or body["error_code"]) == (409, "TENANT_005")
        assert Agent.unscoped.count() == 1

    def test_copies_and_imports_count(self, alice: Person) -> None:
        agent = make_agent(alice.tenant)
        limit(alice.tenant, agents=1)

        for path in (f"/api/v1/agents/{agent.id}/duplicate", "/api/v1/agents/import"):
            response = alice.client.send("POST", path, {"name": "copy", "maim_export": 1} if "import" in path else {})
            assert response.json()["code"] == "TENANT_005", path

    def test_archived_one_counts_until_it_is_deleted(self, alice: Person) -> None:
        agent = make_agent(alice.tenant)
        limit(alice.tenant, agents=1)
        alice.client.send("PATCH", f"/api/v1/agents/{agent.id}", {"status": "archived"})
        create = partial(alice.client.send, "POST", "/api/v1/agents", {"name": "second"})

        assert create().status_code == 409
        alice.client.send("DELETE", f"/api/v1/agents/{agent.id}")
        assert create().status_code == 200


class TestKeys:
    def test_no_more_are_issued_in_the_tenant(self, alice: Person) -> None:
        agent, other = make_agent(alice.tenant), make_agent(alice.tenant)
        make_key(agent)
        limit(alice.tenant, keys=1)

        response = alice.client.send("POST", f"/api/v1/agents/{other.id}/api_keys", {"name": "second"})

        assert (response.status_code, response.json()["code"]) == (409, "TENANT_005")
        assert ApiKey.unscoped.count() == 1

    def test_rotating_one_is_no_new_one(self, alice: Person) -> None:
        key = make_key(make_agent(alice.tenant)).key
        limit(alice.tenant, keys=1)

        assert alice.client.send("POST", f"/api/v1/api-keys/{key.id}/rotate", {}).status_code == 200


class TestMembers:
    def test_no_more_join(self, alice: Person, bob: Person) -> None:
        limit(alice.tenant, members=2)

        with pytest.raises(TenantLimitReached):
            join(register("dora"), alice.tenant)
        join(bob, alice.tenant, Role.VIEWER)  # is one already


class TestSetting:
    def test_person_cannot_set_them(self, alice: Person) -> None:
        limit(alice.tenant, agents=1)

        alice.client.send("PUT", f"/api/v1/tenants/{alice.tenant.id}", {"limits": {"agents": 100}})

        assert Tenant.objects.get(pk=alice.tenant.pk).limits == {"agents": 1}

    def test_empty_object_takes_them_off(self, alice: Person, internal: SurfaceClient) -> None:
        limit(alice.tenant, agents=1)

        response = internal.send("PUT", f"/api/v2/tenants/{alice.tenant.id}", {"limits": {}})

        assert response.json()["data"]["limits"] is None
        assert capacity(alice, alice.tenant)["agents"]["limit"] is None

    @pytest.mark.parametrize(
        "limits", [{"agents": -1}, {"agents": "5"}, {"keys": 2**31}, {"members": 0}, {"agents": True}, 5, [1]]
    )
    def test_no_other_value_is_accepted(self, limits: Any, alice: Person, internal: SurfaceClient) -> None:
        response = internal.send("PUT", f"/api/v2/tenants/{alice.tenant.id}", {"limits": limits})

        assert response.status_code == 400
        assert Tenant.objects.get(pk=alice.tenant.pk).limits is None


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    """Parallel requests, of which exactly as many succeed as there is room."""

    @staticmethod
    def outcomes(*creations: Callable[[], Any]) -> list[bool]:
        """Return which creations succeeded, that were tried at once; the others found the tenant full."""

        def succeeds(create: Callable[[], Any]) -> bool:
            try:
                create()
            except TenantLimitReached:
                return False
            return True

        return at_once(*(partial(succeeds, create) for create in creations))

    def test_agents(self, alice: Person) -> None:
        limit(alice.tenant, agents=3)

        assert sum(self.outcomes(*(partial(make_agent, alice.tenant, f"agent {n}") for n in range(6)))) == 3
        assert Agent.unscoped.count() == 3

    def test_keys_of_several_agents(self, alice: Person) -> None:
        agents = [make_agent(limit(alice.tenant, keys=3)) for _ in range(6)]

        assert sum(self.outcomes(*(partial(make_key, agent) for agent in agents))) == 3
        assert ApiKey.unscoped.count() == 3

    def test_members(self, alice: Person) -> None:
        limit(alice.tenant, members=3)
        people = [register(f"person {n}") for n in range(5)]

        assert sum(self.outcomes(*(partial(join, person, alice.tenant) for person in people))) == 2
        assert members.members_of(alice.tenant).count() == 3
