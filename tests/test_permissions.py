"""Every route and method of both surfaces for every kind of caller, as listed in `tests/permission_matrix.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import pytest
from django.db import transaction
from django.db.models import QuerySet, Value
from django.db.models.functions import Concat

from accounts import services as accounts
from accounts.models import EmailToken, TokenSession, User
from agents import services as agents
from agents.access import agents_for
from agents.models import Agent, Template
from agents.services import templates
from agents.services.templates import templates_for
from apikeys.access import keys_for
from apikeys.services import IssuedKey
from core.actor import Actor, ActorKind
from core.http.surfaces import INTERNAL, PUBLIC, SURFACES, Surface
from tenants import members
from tenants import services as tenants
from tenants.access import tenants_for
from tenants.models import Role, Tenant, TenantStatus
from tests import permission_matrix as matrix
from tests.support.client import SurfaceClient
from tests.support.copies import Original
from tests.support.factors import new_challenge, values_for
from tests.support.invitations import invite, invited_token
from tests.support.mail import new_token
from tests.support.oidc import add_identity, request_values
from tests.support.people import OPERATOR, Person, join, make_agent, make_key, register, see_everybody
from tests.support.routes import METHODS, Route, all_routes, fill, fill_value, methods_of
from tests.support.tables import unchanged_tables
from tests.support.tokens import add_token

pytestmark = pytest.mark.embedded

NOT_FOUND_CODES = {"TENANT_001", "AGENT_001", "KEY_001", "NOT_FOUND"}
CODES = {
    400: {"VALIDATION_ERROR"},
    401: {"AUTHENTICATION_REQUIRED"},
    403: {"FORBIDDEN"},
    404: NOT_FOUND_CODES,
    409: {"TENANT_003", "TENANT_004", "CONFLICT"},
}


WITH_TOKEN_IN_BODY = {f"/api/v1/auth/{name}" for name in ("mfa", "refresh", "logout")}

JOINING = "/api/v1/invitations/accept"  # which makes strangers members


@dataclass(frozen=True)
class Row:
    """A row of the matrix: a request, and the expected status for each caller."""

    method: str
    target: str
    members: dict[str, str]
    statuses: tuple[int, ...]

    @property
    def path(self) -> str:
        """The route's path, without the query."""
        return self.target.partition("?")[0]

    @property
    def body(self) -> dict[str, Any] | None:
        body = matrix.BODIES.get(f"{self.method} {self.path}")
        return None if body is None else {**body, **self.members}

    def __str__(self) -> str:
        return " ".join([self.method, self.target, *(f"{key}={value}" for key, value in self.members.items())])


def rows(table: str, columns: int) -> Iterator[Row]:
    """Yield the rows of a table of the matrix. Lines that start with no method are headings."""
    for cells in (line.split() for line in table.splitlines()):
        if cells and cells[0] in METHODS:
            method, target, *members = cells[:-columns]
            pairs = dict(member.split("=", 1) for member in members)
            yield Row(method, target, pairs, tuple(int(status) for status in cells[-columns:]))


PUBLIC_ROWS = list(rows(matrix.PUBLIC, len(matrix.COLUMNS)))
TOKEN_ROWS = {str(row): row for row in rows(matrix.TOKENS, len(matrix.TOKEN_COLUMNS))}
INTERNAL_ROWS = list(rows(matrix.INTERNAL, 1))


@dataclass(frozen=True)
class Data:
    """Alice's tenant, with an agent, its key and a template, and all callers."""

    tenant: Tenant
    agent: Agent
    key: IssuedKey
    template: Template
    people: dict[str, Person]
    identity_id: str  # Alice's
    session_id: str  # Alice's
    invitation_id: str

    @property
    def secrets(self) -> list[str]:
        """The texts that no stranger may read."""
        return [self.tenant.id, self.agent.name, self.key.key.id, self.template.id, self.template.name]

    def told_by(self, response: Any) -> list[str]:
        """Return the secrets that a response tells."""
        text = response.content.decode()
        return [secret for secret in self.secrets if secret in text]

    def suspend(self) -> None:
        Tenant.objects.filter(pk=self.tenant.pk).update(status=TenantStatus.SUSPENDED)

    def send(
        self, row: Row, surface: Surface, person: Person | None, *, blank_after: str = "", token: str | None = None
    ) -> Any:
        """Return a function that sends a row's request as a person, or as nobody, perhaps with a token of no session.

        `blank_after` names a value of the path that gets a blank at its end.
        """
        owner, request = self.people["owner"], f"{row.target} {row.body}"

        def token_of(name: str, issue: Callable[[Person], str]) -> str:
            """Issue a token to the person if the request has it, because issuing takes longer than most requests."""
            return issue(person) if person and f"{{{name}}}" in request else "none"

        def invitation_token() -> str:
            return invited_token(owner.user, self.tenant, person.user if person else None)

        values = {
            "tenant_id": self.tenant.id,
            "agent_id": self.agent.id,
            "key_id": self.key.key.id,
            "template_id": self.template.id,
            "number": "2",
            "api_key": self.key.secret,
            "username": person.user.username if person else "nobody",
            "refresh_token": token_of("refresh_token", _refresh_token),
            "session_id": self.session_id,
            "reset_token": token_of("reset_token", lambda each: new_token(each.user, EmailToken.Purpose.RESET)),
            "verify_token": token_of("verify_token", lambda each: new_token(each.user, EmailToken.Purpose.VERIFY)),
            "user_id": self.people["member"].user.id,
            "identity_id": self.identity_id,
            **request_values(row.path, person.user if person else None),
            "invitation_id": self.invitation_id,
            "invitation_token": invitation_token() if "{invitation_token}" in request else "none",
            "own_tenant_id": person.tenant.id if person else "none",
            **(values_for((owner if "{" in row.path else person).user, row.path) if person else {}),
        }
        body = row.body and {key: fill_value(value, **values) for key, value in row.body.items()}
        client = SurfaceClient(surface, person.token if person else token)
        target = row.target.replace(f"{{{blank_after}}}", f"{{{blank_after}}}%20", 1)
        return lambda: client.send(row.method, fill(target, **values), body)


def _refresh_token(person: Person) -> str:
    """Sign a person in, an inactive one as of before the deactivation."""
    row = User.objects.filter(pk=person.user.pk)
    is_active = row.values_list("is_active", flat=True).get()
    row.update(is_active=True)
    refresh = accounts.sign_in(actor=OPERATOR, user=person.user).refresh
    row.update(is_active=is_active)
    return refresh


def make_data() -> Data:
    alice, bob, charlie = register("alice"), register("bob"), register("charlie")
    admin, viewer, former = register("adam"), register("vera"), register("fred")
    inactive = register("eve", is_active=False)
    join(bob, alice.tenant)
    join(viewer, alice.tenant, Role.VIEWER)
    for person in (admin, former, inactive):
        join(person, alice.tenant, Role.ADMIN)
    User.objects.update(pending_email=Concat("username", Value("@example.com")))
    members.remove_member(actor=OPERATOR, tenant=alice.tenant, user_id=former.user.id)
    members.offer_tenant(actor=alice.actor, tenant=alice.tenant, user_id=bob.user.id)
    other = tenants.create_tenant(actor=alice.actor, tenant_name="Other", tenant_type="enterprise")
    agent = make_agent(alice.tenant)
    agent = agents.update_agent(actor=OPERATOR, agent=agent, changes={"config": {"persona": "kind"}})
    return Data(
        tenant=alice.tenant,
        agent=agent,
        key=make_key(agent, permissions=["chat"]),
        template=templates.create_template(actor=OPERATOR, tenant=alice.tenant, name="template of Alice's"),
        identity_id=add_identity(alice.user, "alice-at-acme"),
        session_id=TokenSession.objects.get(user=alice.user).id,
        invitation_id=invite(alice.user, alice.tenant).id,
        people={
            "owner": alice,
            "admin": admin,
            "member": bob,
            "viewer": viewer,
            "stranger": charlie,
            "former": former,
            "inactive": inactive,
            "read token": replace(alice, token=add_token(alice.user, scope="read")),
            "write token": replace(alice, token=add_token(alice.user)),
            "other token": replace(alice, token=add_token(alice.user, tenant=other)),
        },
    )


BeginCase = Callable[[str], AbstractContextManager[Data]]


@pytest.fixture(scope="module")
def module_data(module_transaction: None) -> Original[Data]:
    return Original(make_data())


@pytest.fixture
def data(module_data: Original[Data], db: None) -> Data:
    see_everybody()
    return module_data.copy()


@pytest.fixture
def begin_case(module_data: Original[Data], db: None, subtests: pytest.Subtests) -> BeginCase:
    """Return a function that begins a case of a test, with data of its own: a test for each would take twice as long.

    A case that fails is reported by its title, and the next one begins nevertheless.
    """
    see_everybody()

    @contextmanager
    def begin(title: str) -> Iterator[Data]:
        block = transaction.atomic()
        vars(block)["_from_testcase"] = True  # as TestCase does, so that a durable atomic block may be nested
        with subtests.test(title), block:
            yield module_data.copy()
            transaction.set_rollback(True)

    return begin


def code_of(response: Any) -> str:
    """Return the error code of either shape."""
    body = response.json()
    return str(body["error_code"] if "success" in body else body["code"])


def test_matrix_has_exactly_the_served_routes() -> None:
    named = {Route(PUBLIC.name, row.path, row.method) for row in PUBLIC_ROWS}
    named |= {Route(INTERNAL.name, row.path, row.method) for row in INTERNAL_ROWS}
    assert sorted(map(str, set(all_routes()) - named)) == [], "served, but not in the matrix"
    assert sorted(map(str, named - set(all_routes()))) == [], "in the matrix, but not served"


def test_every_body_belongs_to_a_row() -> None:
    assert set(matrix.BODIES) <= {f"{row.method} {row.path}" for row in PUBLIC_ROWS + INTERNAL_ROWS}


@pytest.mark.usefixtures("oidc_provider")
@pytest.mark.parametrize("row", PUBLIC_ROWS, ids=str)
def test_public_route_has_the_status_of_the_matrix(row: Row, begin_case: BeginCase) -> None:
    """Each caller gets the status of the matrix. An error changes nothing and tells strangers nothing."""
    for column, expected in zip(matrix.COLUMNS, row.statuses, strict=True):
        with begin_case(column) as data:
            state, _, role = column.rpartition(" ")
            if state == "suspended":
                data.suspend()
            send = data.send(row, PUBLIC, data.people.get(role))
            # A flow is used up by a sign-in that fails.
            response = check(send, expected, may_change={"accounts.OidcFlow"})

            if role in ("stranger", "former", "inactive", "nobody") and row.path != JOINING:
                assert not data.told_by(response)


@pytest.mark.usefixtures("oidc_provider")
@pytest.mark.parametrize("row", PUBLIC_ROWS, ids=str)
def test_personal_token_gets_the_status_of_the_matrix(row: Row, begin_case: BeginCase) -> None:
    """A route that is not in the table of tokens takes none, unless it takes nothing of whoever sends the request."""
    nobody, owner = row.statuses[:2]
    for number, column in enumerate(matrix.TOKEN_COLUMNS):
        if str(row) in TOKEN_ROWS:
            expected = TOKEN_ROWS[str(row)].statuses[number]
        else:
            expected = 403 if nobody == 401 and row.path not in WITH_TOKEN_IN_BODY else owner
        with begin_case(column) as data:
            send = data.send(row, PUBLIC, data.people[column])

            response = check(send, expected, may_change={"accounts.PersonalToken"})  # its use is recorded

            if column == "other token":
                assert not data.told_by(response)


def test_token_rows_are_those_of_routes_that_need_a_sign_in() -> None:
    assert TOKEN_ROWS.keys() <= {str(row) for row in PUBLIC_ROWS if row.statuses[0] == 401}


def check(send: Callable[[], Any], expected: int, *, may_change: Set[str]) -> Any:
    """Send a request and check its status. An error changes nothing but what it may change."""
    with unchanged_tables(may_change=may_change) if expected >= 400 else nullcontext():
        response = send()
    assert response.status_code == expected, response.content
    if expected >= 400:
        assert code_of(response) in CODES[response.status_code]
        assert response.headers.get("WWW-Authenticate") == ("Bearer" if response.status_code == 401 else None)
    return response


OF_THE_TENANT = [
    row
    for row in PUBLIC_ROWS
    if row.statuses[matrix.COLUMNS.index("stranger")] == 404 and row.statuses[matrix.COLUMNS.index("admin")] != 404
]


@pytest.mark.parametrize("role", ["owner", "member", "viewer"])
def test_member_without_a_factor_is_refused_what_is_of_a_tenant_that_requires_one(role: str, data: Data) -> None:
    Tenant.objects.filter(pk=data.tenant.pk).update(requires_mfa=True)
    sends = {str(row): data.send(row, PUBLIC, data.people[role]) for row in OF_THE_TENANT}
    with unchanged_tables():
        responses = {name: send() for name, send in sends.items()}

        assert len(responses) > 50
        assert {name for name, response in responses.items() if response.status_code != 403} == set()
        assert {code_of(response) for response in responses.values()} == {"TENANT_006"}


def test_half_signed_in_is_nobody(data: Data) -> None:
    """The challenge of a sign-in that waits for a second factor is no token."""
    challenge = new_challenge(data.people["owner"].user)
    client = SurfaceClient(PUBLIC, challenge)
    takes_a_token = [row for row in PUBLIC_ROWS if row.statuses[0] == 401 and row.path not in WITH_TOKEN_IN_BODY]
    with unchanged_tables():
        statuses = {str(row): client.send(row.method, fill(row.target), row.body).status_code for row in takes_a_token}

        assert len(statuses) > 40
        assert set(statuses.values()) == {401}


@pytest.mark.usefixtures("oidc_provider")
@pytest.mark.parametrize("row", PUBLIC_ROWS, ids=str)
def test_half_signed_in_owner_may_do_what_nobody_may(row: Row, data: Data) -> None:
    """The challenge of a sign-in whose second factor is missing is no token."""
    challenge = new_challenge(data.people["owner"].user)

    response = data.send(row, PUBLIC, None, token=challenge)()

    assert response.status_code == row.statuses[matrix.COLUMNS.index("nobody")], response.content


@pytest.mark.parametrize("row", INTERNAL_ROWS, ids=str)
def test_internal_route_has_the_status_of_the_matrix(row: Row, begin_case: BeginCase) -> None:
    """The surface has no tokens. Everybody who reaches the port gets the same response, whatever they send."""
    for caller in ("nobody", "stranger", "inactive"):
        with begin_case(caller) as data:
            response = data.send(row, INTERNAL, data.people.get(caller))()

            assert (response.status_code,) == row.statuses, response.content


@pytest.mark.parametrize("gate", [tenants_for, agents_for, templates_for, keys_for], ids=lambda gate: gate.__name__)
def test_access_function_lists_only_rows_of_the_callers_tenants(
    gate: Callable[[Actor], QuerySet[Any]], data: Data
) -> None:
    """The routes list one tenant at a time, but the access functions must not rely on that."""
    everything = set(gate(OPERATOR))
    of_alice = {row for row in everything if data.tenant.id in (row.pk, getattr(row, "tenant_id", None))}

    assert of_alice <= set(gate(data.people["owner"].actor))
    assert of_alice <= set(gate(data.people["member"].actor))
    assert not of_alice & set(gate(data.people["stranger"].actor))
    assert not set(gate(Actor(kind=ActorKind.ANONYMOUS)))
    assert of_alice


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_key_is_found_under_its_own_agent_only(method: str, data: Data) -> None:
    other = make_agent(data.tenant)
    with unchanged_tables():
        response = data.people["owner"].client.send(
            method, f"/api/v1/agents/{other.id}/api_keys/{data.key.key.id}", {"name": "taken over"}
        )

        assert (response.status_code, code_of(response)) == (404, "KEY_001")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("role", ["owner", "member", "stranger"])
def test_template_without_a_tenant_is_readable_by_all_and_changeable_by_none(
    role: str, method: str, data: Data
) -> None:
    template = templates.create_template(actor=OPERATOR, tenant=None, name="for everybody")
    with unchanged_tables():
        response = data.people[role].client.send(method, f"/api/v1/templates/{template.id}", {"name": "taken over"})

        assert response.status_code == (200 if method == "GET" else 403), response.content


@pytest.mark.parametrize("role", ["owner", "member"])
def test_template_of_another_tenant_cannot_be_used(role: str, data: Data) -> None:
    """Callers may know its id, which reveals nothing of its content."""
    foreign = templates.create_template(actor=OPERATOR, tenant=data.people["stranger"].tenant, name="foreign")
    with unchanged_tables():
        response = data.people[role].client.send(
            "PATCH", f"/api/v1/agents/{data.agent.id}", {"template_id": foreign.id}
        )

        assert (response.status_code, code_of(response)) == (400, "AGENT_003")


def test_key_cannot_be_issued_for_an_agent_of_the_callers_other_tenant(data: Data) -> None:
    alice = data.people["owner"]
    second = alice.client.send("POST", "/api/v1/tenants", {"tenant_name": "Second", "tenant_type": "enterprise"})
    second_id = second.json()["data"]["tenant_id"]
    with unchanged_tables():
        response = alice.client.send(
            "POST", "/api/v1/api-keys", {"tenant_id": second_id, "agent_id": data.agent.id, "name": "crossing"}
        )

        assert (response.status_code, code_of(response)) == (404, "AGENT_001")


@pytest.mark.parametrize("scheme", ["", "Bearer", "Bearer ", "Basic YWxpY2U6cGFzc3dvcmQxMjM=", "Token x", "Bearer é"])
def test_malformed_bearer_token_gets_401(scheme: str, public: SurfaceClient, db: None) -> None:
    response = public.send("GET", "/api/v1/agents", HTTP_AUTHORIZATION=scheme)

    assert (response.status_code, response["WWW-Authenticate"]) == (401, "Bearer")


def test_refresh_token_gets_401(data: Data) -> None:
    response = SurfaceClient(PUBLIC, _refresh_token(data.people["owner"])).send("GET", "/api/v1/agents")

    assert response.status_code == 401


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
def test_unknown_method_gets_405_with_the_allowed_ones(surface: Surface, data: Data) -> None:
    client = SurfaceClient(surface, data.people["owner"].token)
    for path, methods in methods_of(surface).items():
        for method in {*METHODS, "OPTIONS", "TRACE"} - set(methods):
            response = client.send(method, fill(path))

            assert response.status_code == 405, f"{method} {path}: {response.content!r}"
            assert code_of(response) == "METHOD_NOT_ALLOWED"
            allowed = {name.strip() for name in response["Allow"].split(",")}
            assert allowed - {"HEAD"} == set(methods), f"{method} {path}"
            assert ("HEAD" in allowed) == ("GET" in methods), f"{method} {path}"
