"""Personal access tokens that are for one tenant, and what takes tokens at all."""

from __future__ import annotations

import pytest

from accounts.models import PersonalToken
from agents.access import agents_for
from agents.errors import AgentNotFound
from agents.listing import AgentList, get_listed_agent
from agents.models import Agent
from agents.services.templates import templates_for
from apikeys.access import find_keys, get_key, keys_for, read_newest_keys
from apikeys.errors import KeyNotFound
from core.actor import Actor, ActorKind, TokenGrant, TokenScope
from core.errors import Forbidden
from core.http.docs import document
from core.http.surfaces import PUBLIC
from core.http.views import BaseView
from maim import urls_public
from tenants import members
from tenants import services as tenants
from tenants.access import READING, default_tenant, get_tenant, tenant_errors, tenants_for
from tenants.errors import TenantNotFound
from tenants.models import Role, Tenant
from tenants.roles import Access
from tests.support.people import OPERATOR, PASSWORD, Person, join, make_agent, make_key
from tests.support.server import ROOT
from tests.support.tokens import TOKENS, script

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]


def actor_with(person: Person, *, scope: TokenScope = TokenScope.WRITE, tenant: Tenant | None = None) -> Actor:
    grant = TokenGrant(id="token_1", scope=scope, tenant_id=None if tenant is None else tenant.id)
    return Actor(kind=ActorKind.USER, id=person.user.id, label=person.user.username, token=grant)


@pytest.fixture
def other(alice: Person) -> Tenant:
    """Another tenant of Alice's."""
    return tenants.create_tenant(actor=alice.actor, tenant_name="Other", tenant_type="enterprise")


class TestOneTenant:
    def test_lists_have_its_objects_alone(self, alice: Person, other: Tenant, agent: Agent) -> None:
        inside = make_agent(other)
        client = script(alice.user, tenant=other)

        assert [row["id"] for row in client.get("/api/v1/agents").json()] == [inside.id]
        assert client.get("/api/v1/agents")["X-Total-Count"] == "1"
        assert client.get("/api/v1/agents?q=agent")["X-Total-Count"] == "1"
        assert [row["id"] for row in client.get("/api/v1/agents?after=&limit=10").json()] == [inside.id]
        for query in ("", "&after=", "&q=agent", "&sort=name"):
            response = client.get(f"/api/v1/agents?tenant_id={alice.tenant.id}{query}")
            assert (response.json(), response["X-Total-Count"]) == ([], "0"), query
        listed = client.get("/api/v1/tenants").json()["data"]["items"]
        assert [row["id"] for row in listed] == [other.id]
        assert [row["tenant_id"] for row in client.get("/api/v1/auth/me").json()["memberships"]] == [other.id]

    def test_what_names_no_tenant_is_about_it(self, alice: Person, other: Tenant) -> None:
        client = script(alice.user, tenant=other)

        assert client.send("POST", "/api/v1/agents", {"name": "bot"}).json()["tenant_id"] == other.id

    def test_access_functions_return_only_the_tokens_tenant(self, alice: Person, other: Tenant, agent: Agent) -> None:
        """The routes check the tenant first, but the functions must not rely on that."""
        key = make_key(agent).key
        actor = actor_with(alice, tenant=other)

        for gate in (tenants_for, agents_for, templates_for, keys_for):
            rows = list(gate(actor))
            assert not [row for row in rows if alice.tenant.id in (row.pk, getattr(row, "tenant_id", None))], gate
        assert default_tenant(actor, Access.READ) == other
        assert read_newest_keys(actor, slice(0, 10), tenant_id=alice.tenant.id) == []
        assert isinstance(find_keys(actor, [key.pk], Access.READ)[key.pk], KeyNotFound)
        assert list(tenant_errors(actor, [alice.tenant.id, other.id], Access.READ)) == [alice.tenant.id]
        assert AgentList(actor, sort="id", filters={}).count() == 0
        assert list(AgentList(actor, sort="id", filters={"tenant_id": alice.tenant.id})[0:10]) == []
        with pytest.raises(TenantNotFound):
            get_tenant(actor, alice.tenant.id, Access.READ)
        with pytest.raises(AgentNotFound):
            get_listed_agent(actor, agent.id)
        with pytest.raises(KeyNotFound):
            get_key(actor, key.pk, Access.READ)
        with pytest.raises(Forbidden):
            tenants.create_tenant(actor=actor, tenant_name="Third", tenant_type="enterprise")

    def test_it_must_be_ones_own(self, alice: Person, charlie: Person) -> None:
        body = {"name": "script", "scope": "read", "password": PASSWORD, "tenant_id": charlie.tenant.id}

        response = alice.client.send("POST", TOKENS, body)

        assert (response.status_code, response.json()["code"]) == (404, "TENANT_001")
        assert not PersonalToken.objects.exists()

    def test_token_of_a_member_ends_with_the_membership(self, alice: Person, bob: Person) -> None:
        client, unbound = script(bob.user, tenant=alice.tenant), script(bob.user)

        members.remove_member(actor=OPERATOR, tenant=alice.tenant, user_id=bob.user.id)

        assert client.get("/api/v1/auth/me").status_code == 401
        assert unbound.get(f"/api/v1/tenants/{alice.tenant.id}").status_code == 404
        join(bob, alice.tenant)
        assert client.get("/api/v1/auth/me").status_code == 401
        assert unbound.get(f"/api/v1/tenants/{alice.tenant.id}").status_code == 200

    def test_token_ends_with_its_tenant(self, alice: Person, other: Tenant) -> None:
        client, unbound = script(alice.user, tenant=other), script(alice.user)

        tenants.delete_tenant(actor=OPERATOR, tenant=other)

        assert client.get("/api/v1/auth/me").status_code == 401
        assert unbound.get("/api/v1/auth/me").status_code == 200

    def test_token_is_limited_to_its_owners_role(self, alice: Person, bob: Person, agent: Agent) -> None:
        client = script(bob.user, tenant=alice.tenant)
        members.set_member(actor=OPERATOR, tenant=alice.tenant, user_id=bob.user.id, role=Role.VIEWER)

        assert client.get(f"/api/v1/agents/{agent.id}").status_code == 200
        assert client.send("DELETE", f"/api/v1/agents/{agent.id}").status_code == 403


class TestReading:
    @pytest.mark.parametrize("access", set(Access) - READING)
    def test_token_that_may_read_has_no_other_access(self, alice: Person, access: Access) -> None:
        """The routes refuse it first, by their methods, but access must not rely on that."""
        actor = actor_with(alice, scope=TokenScope.READ)

        with pytest.raises(Forbidden, match="only read"):
            get_tenant(actor, alice.tenant.id, access)
        assert isinstance(tenant_errors(actor, [alice.tenant.id], access)[alice.tenant.id], Forbidden)
        with pytest.raises(Forbidden, match="only read"):
            tenants.create_tenant(actor=actor, tenant_name="Third", tenant_type="enterprise")


class TestRoutes:
    def test_security_of_the_document_is_what_is_enforced(self) -> None:
        """Only what takes personal access tokens names their scheme, and nothing about one's own account does."""
        accepting = {
            f"{method.upper()} {path}"
            for path, methods in document(PUBLIC)["paths"].items()
            for method, operation in methods.items()
            if {"personalToken": []} in operation.get("security", [])
        }

        assert len(accepting) > 50
        assert {request for request in accepting if "/auth/" in request} == {"GET /api/v1/auth/me"}
        assert not [request for request in accepting if "ownership" in request]

    def test_every_view_that_authenticates_asks_whether_it_takes_tokens(self) -> None:
        views = [
            getattr(pattern.callback, "cls", None)
            for pattern in urls_public.urlpatterns
            if hasattr(pattern, "callback")
        ]
        authenticating = [view for view in views if view is not None and view.authentication_classes]

        assert len(authenticating) > 50
        assert all(issubclass(view, BaseView) for view in authenticating)
        assert not [view for view in authenticating if view.check_permissions is not BaseView.check_permissions]

    def test_head_is_what_get_is(self, alice: Person) -> None:
        client = script(alice.user, scope="read")

        assert client.head("/api/v1/agents").status_code == 200
        assert client.head(TOKENS).status_code == 403

    def test_unknown_method_gets_405(self, alice: Person) -> None:
        assert script(alice.user).send("DELETE", "/api/v1/agents").status_code == 405

    def test_only_listed_modules_query_memberships(self) -> None:
        """A person's memberships are more than what their token is for, so access functions ask for both."""
        found = {
            str(path.relative_to(ROOT))
            for app in ("accounts", "tenants", "agents", "apikeys", "core")
            for path in (ROOT / app).rglob("*.py")
            if "tests" not in path.parts and "migrations" not in path.parts and "Membership.objects" in path.read_text()
        }

        assert found == {
            "apikeys/search.py",  # in the tenants that it is given
            "tenants/access.py",
            "tenants/admin.py",  # of operators
            "tenants/bulk_import.py",  # of commands
            "tenants/capacity.py",  # counts
            "tenants/management/commands/users.py",  # of operators
            "tenants/invitations.py",  # of a tenant that passed the gate, or that a person is invited into
            "tenants/members.py",  # of a tenant that passed the gate
            "tenants/notices.py",  # of a tenant that was changed
            "tenants/services.py",  # passes over other tenants itself
        }
