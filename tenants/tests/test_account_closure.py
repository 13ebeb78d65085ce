"""POST /auth/me/close: people delete their own account (docs/contract.md section 7)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import Any

import pytest

from accounts import services as accounts
from accounts.mail.sender import send_due
from accounts.models import EmailToken, TokenSession, User
from accounts.operator_roles import OperatorRole
from accounts.tests.threads import HELD_UP, Pause, at_once, on_own_connection
from core.errors import Conflict, NotFound
from core.models import AuditEntry
from tenants import members
from tenants.models import Membership, Role, Tenant
from tests.support.client import SurfaceClient
from tests.support.instances import WAIT
from tests.support.invitations import invite
from tests.support.mail import Mailbox, new_token
from tests.support.operators import Operator
from tests.support.people import OPERATOR, PASSWORD, Person, give_up_tenants, join, make_agent, make_key, register
from tests.support.tokens import add_token

CLOSE = "/api/v1/auth/me/close"
EMAIL = "alice@example.com"


def close(person: Person, password: str | None = PASSWORD) -> Any:
    return person.client.send("POST", CLOSE, {"password": password})


def create_tenant(person: Person) -> Any:
    return person.client.send("POST", "/api/v1/tenants", {"tenant_name": "New", "tenant_type": "enterprise"})


def exists(person: Person) -> bool:
    return User.objects.filter(pk=person.user.pk).exists()


@pytest.fixture
def tenantless(alice: Person) -> Person:
    """Alice with an address, who owns no tenant any more."""
    accounts.update_user(actor=OPERATOR, user_id=alice.user.pk, changes={"email": EMAIL})
    alice.user.refresh_from_db()
    return give_up_tenants(alice)


@pytest.mark.parametrize("deleted_by", ["oneself", "operator"])
def test_audit_logs_of_tenants_tell_of_it(
    tenantless: Person, charlie: Person, olivia: Operator, deleted_by: str
) -> None:
    join(tenantless, charlie.tenant, Role.ADMIN)
    invite(tenantless.user, charlie.tenant, "dora@example.com")
    invite(charlie.user, charlie.tenant, "erin@example.com")
    members.offer_tenant(actor=charlie.actor, tenant=charlie.tenant, user_id=tenantless.user.pk)
    add_token(tenantless.user, tenant=charlie.tenant)
    newest = AuditEntry.objects.latest("id").id

    if deleted_by == "oneself":
        assert close(tenantless).status_code == 204
    else:
        olivia.delete(tenantless.user)

    entries = AuditEntry.objects.filter(id__gt=newest, tenant_id=charlie.tenant.pk)
    assert {entry.action: entry.before for entry in entries} == {
        "invitation.revoke": {"email": "dora@example.com", "role": "member"},
        "ownership.withdraw": {"owner_id": tenantless.user.pk},
        "membership.remove": {"user": tenantless.user.pk, "username": "alice", "role": "admin"},
    }
    assert AuditEntry.objects.filter(id__gt=newest, action="token.delete").exists()


def test_audit_logs_do_not_tell_of_a_refused_closure(alice: Person, charlie: Person) -> None:
    join(alice, charlie.tenant)
    newest = AuditEntry.objects.latest("id").id

    assert close(alice).status_code == 409, "Alice owns a tenant"
    assert not AuditEntry.objects.filter(id__gt=newest).exists()
    assert Membership.objects.filter(user=alice.user).count() == 2


def test_account_goes_with_sessions_links_and_memberships(tenantless: Person, charlie: Person) -> None:
    join(tenantless, charlie.tenant)
    new_token(tenantless.user, EmailToken.Purpose.RESET)

    assert close(tenantless).status_code == 204

    assert not exists(tenantless)
    gone = {"user_id": tenantless.user.pk}
    assert not any(model.objects.filter(**gone).exists() for model in (TokenSession, EmailToken, Membership))
    assert tenantless.client.get("/api/v1/auth/me").status_code == 401
    assert charlie.client.get("/api/v1/auth/me").status_code == 200


def test_name_and_address_are_free_again(tenantless: Person) -> None:
    close(tenantless)

    body = {"username": "alice", "password": PASSWORD, "email": EMAIL}
    assert SurfaceClient().send("POST", "/api/v1/auth/register", body).status_code == 200


def test_audit_log_keeps_the_id(tenantless: Person) -> None:
    close(tenantless)

    entry = AuditEntry.objects.get(action="user.delete")
    assert (entry.object_id, entry.actor_id, entry.actor_kind) == (tenantless.user.pk, tenantless.user.pk, "user")
    assert entry.before["username"] == "alice"


@pytest.mark.embedded
def test_closing_is_confirmed_to_the_address(tenantless: Person, mailbox: Mailbox) -> None:
    close(tenantless)

    assert send_due() == 1
    assert (mailbox.recipients, mailbox.subjects) == ([EMAIL], ["Your account was closed"])


@pytest.mark.embedded
def test_agents_and_keys_in_other_peoples_tenants_stay(tenantless: Person, charlie: Person) -> None:
    join(tenantless, charlie.tenant, Role.ADMIN)
    created = tenantless.client.send("POST", "/api/v1/agents", {"name": "bot", "tenant_id": charlie.tenant.id})
    key = make_key(make_agent(charlie.tenant))

    assert close(tenantless).status_code == 204

    assert charlie.client.get(f"/api/v1/agents/{created.json()['id']}").status_code == 200
    key.key.refresh_from_db()


@pytest.mark.embedded
@pytest.mark.parametrize("password", ["wrong", "", None])
def test_wrong_password_closes_nothing(tenantless: Person, password: str | None) -> None:
    response = close(tenantless, password)

    assert (response.status_code, list(response.json()["errors"])) == (400, ["password"])
    assert exists(tenantless)


@pytest.mark.embedded
def test_owned_tenants_are_named_and_stay(alice: Person, mailbox: Mailbox) -> None:
    create_tenant(alice)
    sessions = TokenSession.objects.count()

    response = close(alice)

    assert (response.status_code, response.json()["code"]) == (409, "TENANT_004")
    names = ["alice's Personal Tenant", "New"]
    assert [tenant["tenant_name"] for tenant in response.json()["tenants"]] == names
    assert response.json()["tenants"][0]["tenant_id"] == alice.tenant.id
    assert exists(alice)
    assert TokenSession.objects.count() == sessions
    assert send_due() == 0


@pytest.mark.embedded
def test_tenant_of_others_does_not_keep_a_member(tenantless: Person, charlie: Person) -> None:
    join(tenantless, charlie.tenant, Role.ADMIN)

    assert close(tenantless).status_code == 204

    assert Tenant.objects.filter(pk=charlie.tenant.pk, owner=charlie.user).exists()


@pytest.mark.embedded
class TestLastSuperuser:
    @pytest.fixture
    def superuser(self, tenantless: Person) -> Person:
        User.objects.filter(pk=tenantless.user.pk).update(is_superuser=True, is_staff=True)
        return tenantless

    def test_stays(self, superuser: Person) -> None:
        User.objects.create(username="former", username_folded="former", is_superuser=True, is_active=False)

        response = close(superuser)

        assert (response.status_code, response.json()["code"]) == (409, "CONFLICT")
        assert "tenants" not in response.json()
        assert exists(superuser)

    def test_may_go_once_there_is_another(self, superuser: Person) -> None:
        accounts.create_user(actor=OPERATOR, username="olivia", password=PASSWORD, operator_role=OperatorRole.ADMIN)

        assert close(superuser).status_code == 204

    def test_is_not_deleted_by_operators_either(self, superuser: Person) -> None:
        with pytest.raises(Conflict):
            accounts.delete_user(actor=OPERATOR, user_id=superuser.user.pk)


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    @pytest.fixture
    def alice(self) -> Person:
        return give_up_tenants(register("alice"))

    @pytest.fixture
    def after_deletion(self, monkeypatch: pytest.MonkeyPatch) -> Pause:
        """A pause of a closing that has deleted the user, and not committed yet."""
        pause = Pause()
        monkeypatch.setattr("accounts.models.User.delete", pause.after(User.delete))
        return pause

    def beside_closing(self, alice: Person, pause: Pause, other: Callable[[], Any]) -> tuple[Any, Any]:
        """Do something else while a closing is about to commit; return what comes of both."""
        with pause.run(partial(close, alice)) as closing, ThreadPoolExecutor(1) as threads:
            under_way = threads.submit(on_own_connection, other)
            wait([under_way], HELD_UP)
            pause.resume()
            return closing.result(WAIT), under_way.result(WAIT)

    def test_of_several_one_closes(self, alice: Person) -> None:
        responses = at_once(*[partial(close, alice)] * 4)

        assert Counter(response.status_code == 204 for response in responses) == {True: 1, False: 3}
        assert {response.status_code for response in responses} <= {204, 400, 401}
        assert AuditEntry.objects.filter(action="user.delete").count() == 1

    def test_tenant_that_comes_too_late_is_refused(self, alice: Person, after_deletion: Pause) -> None:
        closed, created = self.beside_closing(alice, after_deletion, partial(create_tenant, alice))

        assert (closed.status_code, created.status_code) == (204, 401)
        assert not Tenant.objects.exists()

    def test_member_who_is_added_too_late_is_refused(
        self, alice: Person, charlie: Person, after_deletion: Pause
    ) -> None:
        def add() -> Any:
            with pytest.raises(NotFound):
                join(alice, charlie.tenant)

        closed, _refused = self.beside_closing(alice, after_deletion, add)

        assert closed.status_code == 204
        assert not Membership.objects.filter(user=alice.user.pk).exists()

    def test_tenant_that_comes_first_keeps_the_account(self, alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
        pause = Pause()
        monkeypatch.setattr("tenants.models.Tenant.save", pause.after(Tenant.save))

        with pause.run(partial(create_tenant, alice)) as creating, ThreadPoolExecutor(1) as threads:
            closing = threads.submit(on_own_connection, partial(close, alice))
            wait([closing], HELD_UP)
            pause.resume()
            statuses = creating.result(WAIT).status_code, closing.result(WAIT).status_code

        assert statuses == (200, 409)
        assert Tenant.objects.get().owner_id == alice.user.pk

    def test_of_two_superusers_one_stays(self, alice: Person, charlie: Person) -> None:
        people = alice, give_up_tenants(charlie)
        User.objects.update(is_staff=True, is_superuser=True)

        responses = at_once(*[partial(close, person) for person in people])

        assert Counter(response.status_code for response in responses) == {204: 1, 409: 1}
