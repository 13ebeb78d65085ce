"""The audit log: one entry for each change, in the change's transaction, without secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, models
from django.utils import timezone
from time_machine import travel

from accounts import services as accounts
from accounts.models import EmailToken, Passkey, TokenSession, TotpFactor
from agents import services as agents
from agents.models import Agent
from agents.services import plugins, templates
from apikeys.models import KeySecret
from apikeys.services import IssuedKey
from core import audit, reveals
from core.http.surfaces import INTERNAL
from core.models import AuditEntry
from tenants import members
from tenants.models import Tenant
from tests.audit_changes import API_KEY, AUTH_TOKEN, BASE_URL, CHANGES, MEASUREMENTS, NEW, SECRET_CONFIG, Change
from tests.support.client import SurfaceClient
from tests.support.factors import values_for
from tests.support.invitations import invite, invited_token
from tests.support.mail import new_token
from tests.support.oidc import Provider, add_identity, request_values
from tests.support.people import OPERATOR, PASSWORD, Person, give_up_tenants, join, make_agent, make_key, register
from tests.support.routes import all_routes, fill_value
from tests.support.shared import Makers, Shared
from tests.support.tables import changed_tables, tables

REQUEST_ID = "audit-test-1"


@dataclass(frozen=True)
class Data:
    """Alice's tenant with an agent, two keys, a template, a plugin setting and two members, and the ids for requests.

    The agent's config is empty, in its second version. Alice has offered the tenant to Eve, and Dave has offered his to
    Alice. Bob owns no tenant.
    """

    alice: Person
    bob: Person
    agent: Agent
    key: IssuedKey
    ids: dict[str, str]

    def send(self, change: Change) -> Any:
        self.prepare(change)
        return self.perform(change)

    def prepare(self, change: Change) -> None:
        """Make what a request about factors, or a sign-in by a provider, takes."""
        self.ids.update(request_values(change.request, self.alice.user))
        self.ids.update(values_for(self.alice.user, change.request.split(" ")[1]))
        if "invitation_token" in str(change.body):
            inviting = Tenant.objects.get(pk=self.ids["inviting_tenant_id"])
            self.ids["invitation_token"] = invited_token(inviting.memberships.get().user, inviting, self.alice.user)
            self.ids["accepted_invitation_id"] = inviting.invitations.latest("created_at").pk

    def perform(self, change: Change) -> Any:
        method, path = self.filled(change.request).split(" ")
        client = SurfaceClient(change.surface, self.sender(change).token)
        return client.send(method, path, self.filled(change.body), HTTP_X_REQUEST_ID=REQUEST_ID)

    def sender(self, change: Change) -> Person:
        return self.bob if change.by == "bob" else self.alice

    def filled(self, value: Any) -> Any:
        """Replace the braces in a value by ids."""
        if isinstance(value, str):
            return fill_value(value, **self.ids)
        if isinstance(value, dict):
            return {key: self.filled(member) for key, member in value.items()}
        if isinstance(value, list):
            return [self.filled(item) for item in value]
        return value


@pytest.fixture
def data(known: Shared, alice: Person, oidc_provider: Provider) -> Data:
    data: Data = known["data"]
    return data


def make_data(alice: Person) -> Data:
    """Create the data in Alice's tenant."""
    agent = make_agent(alice.tenant, "agent", config={"temperature": 0.7})
    agents.update_agent(actor=OPERATOR, agent=agent, changes={"config": {"temperature": None}})
    template = templates.create_template(actor=OPERATOR, tenant=alice.tenant, name="template")
    key, disabled = make_key(agent, "key"), make_key(agent, "disabled key")
    disabled.key.status = "disabled"
    disabled.key.save()
    plugin = plugins.set_plugin(
        actor=OPERATOR, tenant=alice.tenant, agent=None, plugin_name="news", enabled=True, config={}
    )
    bob, dave, eve, inviting = give_up_tenants(register("bob")), *map(register, ("dave", "eve", "ivan"))
    for person in (bob, eve):
        join(person, alice.tenant)
    members.offer_tenant(actor=alice.actor, tenant=alice.tenant, user_id=eve.user.id)
    join(alice, dave.tenant)
    members.offer_tenant(actor=dave.actor, tenant=dave.tenant, user_id=alice.user.id)
    ids = {
        "user_id": alice.user.id,
        "member_id": bob.user.id,
        "offered_to": eve.user.id,
        "offered_by": dave.user.id,
        "offered_tenant_id": dave.tenant.id,
        "invitation_id": invite(alice.user, alice.tenant).id,
        "inviting_tenant_id": inviting.tenant.id,
        "bob_id": bob.user.id,
        "refresh_token": accounts.sign_in(actor=OPERATOR, user=alice.user).refresh,
        "session_id": TokenSession.objects.filter(user=alice.user).latest("created_at").id,
        "reset_token": new_token(alice.user, EmailToken.Purpose.RESET),
        "verify_token": new_token(alice.user, EmailToken.Purpose.VERIFY),
        "identity_id": add_identity(alice.user, "alice"),
        "tenant_id": alice.tenant.id,
        "agent_id": agent.id,
        "key_id": key.key.id,
        "api_key": key.secret,
        "hint": key.key.current_secret.hint,
        "disabled_key_id": disabled.key.id,
        "plugin_id": str(plugin.pk),
        "template_id": template.pk,
    }
    return Data(alice, bob, agent, key, ids)


SHARED: Makers = {"data": lambda shared: make_data(shared["alice"])}


@contextmanager
def new_rows(rows: list[AuditEntry]) -> Iterator[None]:
    """Append the entries written by the block to `rows`, oldest first."""
    last = AuditEntry.objects.first()
    yield
    rows.extend(AuditEntry.objects.filter(pk__gt=last.pk if last else 0).order_by("pk"))


# ---- the rows


@pytest.mark.embedded
def test_every_writing_route_is_covered() -> None:
    writing = {str(route) for route in all_routes() if route.method != "GET"}
    covered = {
        f"{change.surface.name}: {change.request.partition('?')[0]}".replace("{disabled_key_id}", "{key_id}")
        .replace("{offered_tenant_id}", "{tenant_id}")
        .replace("{member_id}", "{user_id}")
        for change in CHANGES
    }

    assert writing == covered | set(MEASUREMENTS)


@pytest.mark.embedded
@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_change_writes_its_audit_entry(change: Change, data: Data) -> None:
    data.prepare(change)
    rows: list[AuditEntry] = []
    with new_rows(rows):
        response = data.send(change)

    assert response.status_code in (200, 204), response.content
    data.ids["newest_hint"] = KeySecret.objects.order_by("id").values_list("hint", flat=True).last() or ""
    data.ids["newest_passkey_id"] = str(Passkey.objects.order_by("created_at").values_list("id", flat=True).last())
    row, *others = rows
    assert row.action == change.action
    assert row.object_type == change.action.partition(".")[0]
    assert tuple(other.action for other in others) == change.also
    assert (row.before, row.after) == (data.filled(change.before), data.filled(change.after))
    assert row.object_id == _id_in(response, row) if change.object_id == NEW else data.filled(change.object_id)
    assert (row.request_id, row.address) == (REQUEST_ID, "127.0.0.1")
    if change.surface == INTERNAL:
        assert (row.actor_kind, row.actor_id) == ("internal", None)
        assert row.actor_label == "", "its name is translated where it is shown"
    elif change.anonymous:
        assert (row.actor_kind, row.actor_id) == ("anonymous", None)
    else:
        assert (row.actor_kind, row.actor_id, row.actor_label) == ("user", data.sender(change).user.id, change.by)
    is_tenant = row.object_type in ("tenant", "ownership")
    tenant_id = data.ids["inviting_tenant_id"] if row.action == "invitation.accept" else data.alice.tenant.id
    assert row.tenant_id == (None if not change.in_tenant else row.object_id if is_tenant else tenant_id)


def _id_in(response: Any, row: AuditEntry) -> str:
    """Return the id of the created object from the response, or from the entry if the response has none."""
    if row.object_type in ("session", "plugin", "identity"):
        return str(row.object_id)
    body = response.json()
    data = body.get("data", body)
    data = data.get("agent", data)
    return str(data.get("id") or data.get("api_key_id"))


IDEMPOTENT = [change for change in CHANGES if change.action.endswith((".update", ".set"))]


@pytest.mark.embedded
@pytest.mark.parametrize("change", IDEMPOTENT, ids=str)
def test_change_without_effect_writes_no_entry(change: Change, data: Data) -> None:
    data.send(change)
    rows: list[AuditEntry] = []
    with new_rows(rows):
        response = data.send(change)

    assert response.status_code == 200
    assert rows == []


@pytest.mark.embedded
def test_sending_a_mask_writes_no_entry(data: Data, internal: SurfaceClient) -> None:
    path = f"/api/v2/agents/{data.agent.id}/config"
    internal.send("PUT", path, SECRET_CONFIG)
    rows: list[AuditEntry] = []
    with new_rows(rows):
        internal.send("PUT", path, internal.send("GET", path).json()["data"])

    assert rows == []


@pytest.mark.embedded
def test_change_of_a_secret_writes_an_entry_without_it(data: Data, internal: SurfaceClient) -> None:
    path = f"/api/v2/agents/{data.agent.id}/config"
    internal.send("PUT", path, SECRET_CONFIG)
    rows: list[AuditEntry] = []
    with new_rows(rows):
        internal.send("PUT", path, {"config_overrides": {"maim_message": {"auth_token": ["a newer secret"]}}})

    (row,) = rows
    assert (row.action, row.object_id) == ("agent.update", data.agent.id)
    assert "a newer secret" not in json.dumps([row.before, row.after])


@pytest.mark.embedded
@pytest.mark.parametrize("part", ["config/effective", "export"])
def test_reading_secrets_writes_an_entry_without_them(part: str, data: Data, internal: SurfaceClient) -> None:
    internal.send("PUT", f"/api/v2/agents/{data.agent.id}/config", SECRET_CONFIG)
    path = f"/api/v2/agents/{data.agent.id}/{part}"
    rows: list[AuditEntry] = []
    with new_rows(rows):
        masked = internal.get(path)
        revealed = internal.get(f"{path}?reveal_secrets=1")
        with travel(timezone.now() + timedelta(hours=2)):
            reveals.record_counted()

    assert API_KEY not in masked.content.decode()
    assert API_KEY in revealed.content.decode()
    (row,) = rows
    assert (row.action, row.object_id, row.tenant_id) == (
        "agent.reveal_secrets",
        data.agent.id,
        data.alice.tenant.id,
    )
    assert (row.actor_kind, row.address, row.before) == ("internal", "127.0.0.1", None)
    assert row.after["reads"] == 1


@pytest.mark.embedded
def test_refused_change_writes_no_entry(data: Data, public: SurfaceClient) -> None:
    rows: list[AuditEntry] = []
    with new_rows(rows):
        data.alice.client.send("POST", "/api/v1/agents", {"name": "agent"})
        data.alice.client.send("PUT", f"/api/v1/agents/{data.agent.id}", {"status": "sleeping"})
        public.send("POST", "/api/v1/auth/login", {"username": "alice", "password": "a wrong one"})
        public.send("DELETE", f"/api/v1/agents/{data.agent.id}")

    assert rows == []


@pytest.mark.embedded
def test_measurement_writes_no_entry(data: Data, internal: SurfaceClient, public: SurfaceClient) -> None:
    rows: list[AuditEntry] = []
    with new_rows(rows):
        responses = [
            public.send("POST", "/api/v1/auth/refresh", {"refresh_token": data.ids["refresh_token"]}),
            internal.send("POST", "/api/v2/auth/validate-api-key", {"api_key": data.key.secret}),
            internal.send("POST", "/api/v1/usage/log", {"action": "chat"}),
            internal.send(
                "PUT",
                "/api/v2/agent-activity",
                {"tenant_id": data.alice.tenant.id, "agent_id": data.agent.id, "ttl_seconds": 60},
            ),
        ]

    assert [response.status_code for response in responses] == [200] * 4
    assert rows == []


# ---- secrets


@pytest.mark.embedded
def test_no_entry_contains_a_secret(data: Data) -> None:
    secrets = [PASSWORD, "another password", API_KEY, BASE_URL, AUTH_TOKEN, data.key.secret, data.alice.token]
    secrets.append(data.ids["refresh_token"])
    for change in sorted(CHANGES, key=lambda change: "DELETE" in change.request or "logout" in change.request):
        response = data.send(change)
        body = response.json() if response.content else {}
        secrets += [body[name] for name in ("access_token", "refresh_token", "api_key") if name in body]
        if isinstance(created := body.get("data"), dict) and change.action in ("key.create", "key.rotate"):
            secrets.append(created["api_key"])

    log = "\n".join(str(row) for row in AuditEntry.objects.values_list())

    assert len(secrets) >= 13
    assert [secret for secret in secrets if secret in log] == []


# ---- the transaction


@contextmanager
def inserts_refused(model: type[models.Model]) -> Iterator[None]:
    """Make the database refuse new rows of a table, as with a full disk."""
    trigger_body = {
        "sqlite": "BEGIN SELECT RAISE(ABORT, 'refused'); END",
        "mysql": "FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'refused'",
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TRIGGER refusal BEFORE INSERT ON {model._meta.db_table} {trigger_body}")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER refusal")


@pytest.mark.heavy
@pytest.mark.django_db(transaction=True)
def test_change_without_its_entry_is_rolled_back(alice: Person, oidc_provider: Provider) -> None:
    data = make_data(alice)
    with inserts_refused(AuditEntry):
        for change in CHANGES:
            alice.user.passkeys.all().delete()  # factors of requests before, which would hold up a sign-in
            TotpFactor.objects.all().delete()
            data.prepare(change)
            before = tables()
            response = data.perform(change)

            assert response.status_code in (500, 503), f"{change}: {response.content!r}"
            # Attempts are counted first, and a sign-in that fails has used up its flow, and a known identity.
            used = {"accounts.SignInChallenge", "accounts.OidcFlow"}
            used |= {"accounts.Identity"} if change.action == "session.create" else set()
            changed = changed_tables(before, tables()) - used
            assert changed == set(), f"{change} was made without its row"


@pytest.mark.django_db(transaction=True)
def test_entry_of_a_failed_change_is_rolled_back(public: SurfaceClient) -> None:
    """A registration that fails at the tenant rolls back the user and its entry."""
    before = tables()
    with inserts_refused(Tenant):
        response = public.send("POST", "/api/v1/auth/register", {"username": "dora", "password": PASSWORD})

    assert response.status_code in (500, 503)
    assert changed_tables(before, tables()) == set()


@pytest.mark.django_db(transaction=True)
def test_entry_outside_of_a_transaction_raises() -> None:
    with pytest.raises(RuntimeError, match="outside a transaction"):
        audit.record(actor=OPERATOR, action="agent.create", object_id="agent_1", tenant_id=None)

    assert not AuditEntry.objects.exists()
