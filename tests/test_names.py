"""Allowed characters and uniqueness of names in all apps (docs/contract.md section 6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db.models import Model

from accounts import services as accounts
from accounts.models import User
from agents import services as agents
from agents.models import Agent, PluginSetting, Template
from agents.services import templates, transfer
from agents.services.plugins import set_plugin
from apikeys import services as apikeys
from apikeys.models import ApiKey
from core.errors import Conflict, Invalid
from core.text import fold_name
from tenants import services as tenants
from tenants.models import Tenant
from tests.support.client import SurfaceClient
from tests.support.commands import run
from tests.support.operators import Operator, errors_of, url
from tests.support.people import OPERATOR, PASSWORD, Person, make_agent, make_key
from tests.support.tables import changed_tables, tables

pytestmark = pytest.mark.django_db

OLD_NAME = "\u202eeman"
INVISIBLE_CHARACTER = "May not contain U+202E: control, direction and invisible characters are not allowed here"
FULL_WIDTH, PLAIN = "客服Ａ", "客服a"
LONGEST_FOLDED = "\ufdfa" * 100  # each folds to 18 letters and blanks

Make = Callable[[Person, str], Model]
Rename = Callable[[Any, Any], Model]


def _make_agent(alice: Person, name: str) -> Model:
    return make_agent(alice.tenant, name)


def _make_key(alice: Person, name: str) -> Model:
    agent = Agent.objects.in_tenants([alice.tenant.id]).first() or make_agent(alice.tenant)
    return make_key(agent, name).key


def _make_tenant(alice: Person, name: str) -> Model:
    return tenants.create_tenant(actor=OPERATOR, tenant_name=name, tenant_type="enterprise", owner_id=alice.user.id)


def _make_template(alice: Person, name: str) -> Model:
    return templates.create_template(actor=OPERATOR, tenant=alice.tenant, name=name)


MAKE: dict[type[Model], Make] = {
    Agent: _make_agent, ApiKey: _make_key, Tenant: _make_tenant, Template: _make_template
}  # fmt: skip
CHANGE: dict[type[Model], Rename] = {
    Agent: lambda row, changes: agents.update_agent(actor=OPERATOR, agent=row, changes=changes),
    ApiKey: lambda row, changes: apikeys.update_key(actor=OPERATOR, key=row, changes=changes),
    Tenant: lambda row, changes: tenants.update_tenant(actor=OPERATOR, tenant=row, changes=changes),
    Template: lambda row, changes: templates.update_template(actor=OPERATOR, template=row, changes=changes),
}
kinds = pytest.mark.parametrize("kind", MAKE)


def field(kind: type[Model]) -> str:
    return "tenant_name" if kind is Tenant else "name"


def make_old(kind: type[Model], alice: Person, name: str = OLD_NAME) -> Any:
    """Store a row with a name that was allowed formerly."""
    row: Any = MAKE[kind](alice, "to be old")
    kind._base_manager.filter(pk=row.pk).update(**{field(kind): name, "name_folded": fold_name(name)})
    setattr(row, field(kind), name)
    return row


def stored(row: Model) -> Any:
    return type(row)._base_manager.get(pk=row.pk)


# ---- refused names


@kinds
def test_every_service_refuses_invisible_characters(kind: type[Model], alice: Person) -> None:
    row = MAKE[kind](alice, "good")
    before = tables()

    with pytest.raises(Invalid) as creation:
        MAKE[kind](alice, OLD_NAME)
    with pytest.raises(Invalid) as changed:
        CHANGE[kind](row, {field(kind): OLD_NAME})

    for error in (creation.value, changed.value):
        assert {name: [str(text) for text in texts] for name, texts in error.errors.items()} == {
            field(kind): [INVISIBLE_CHARACTER]
        }
    assert changed_tables(before, tables()) == set()


def requests(alice: Person, agent: Agent, key: ApiKey, template: Template) -> list[tuple[str, str, str, Any]]:
    """Return every request with a name: surface, method, path and body."""
    tenant_id = alice.tenant.id
    body = {"name": OLD_NAME}
    tenant = {"tenant_name": OLD_NAME, "tenant_type": "enterprise"}
    plugin = {"plugin_name": OLD_NAME, "enabled": True, "config": {}}
    file = {"maim_export": 1, **body, "config": {}, "plugins": []}
    requests_of_both = [
        ("POST", "/tenants", tenant),
        ("PUT", f"/tenants/{tenant_id}", {"tenant_name": OLD_NAME}),
        ("POST", "/agents", {**body, "tenant_id": tenant_id}),
        ("PUT", f"/agents/{agent.id}", body),
        ("POST", f"/agents/{agent.id}/duplicate", body),
        ("POST", f"/agents/import?tenant_id={tenant_id}", file),
        ("POST", f"/agents/import?tenant_id={tenant_id}&dry_run=1", file),
        ("POST", "/api-keys", {**body, "tenant_id": tenant_id, "agent_id": agent.id}),
        ("PUT", f"/api-keys/{key.id}", body),
        ("POST", "/templates", {**body, "tenant_id": tenant_id}),
        ("PUT", f"/templates/{template.id}", body),
    ]
    return [
        *(("internal", method, f"/api/v2{path}", body) for method, path, body in requests_of_both),
        *(("public", method, f"/api/v1{path}", body) for method, path, body in requests_of_both),
        ("public", "PATCH", f"/api/v1/agents/{agent.id}", body),
        ("public", "POST", f"/api/v1/agents/{agent.id}/api_keys", body),
        ("public", "PATCH", f"/api/v1/agents/{agent.id}/api_keys/{key.id}", body),
        ("public", "POST", f"/api/v1/plugins/settings?agent_id={agent.id}", plugin),
        ("internal", "POST", f"/api/v1/plugins/settings?tenant_id={tenant_id}", plugin),
        ("public", "POST", "/api/v1/auth/register", {"username": OLD_NAME, "password": PASSWORD}),
        ("public", "POST", "/api/v1/auth/register",
         {"username": "new", "password": PASSWORD, "email": "a\u202e@example.org"}),
        ("public", "PATCH", "/api/v1/auth/me", {"email": "a@exa\u202emple.org"}),
    ]  # fmt: skip


@pytest.mark.embedded
def test_every_request_refuses_invisible_characters(alice: Person, internal: SurfaceClient) -> None:
    agent = make_agent(alice.tenant)
    template = templates.create_template(actor=OPERATOR, tenant=alice.tenant, name="template")
    all_requests = requests(alice, agent, make_key(agent).key, template)
    before = tables()

    for surface, method, path, body in all_requests:
        client = internal if surface == "internal" else alice.client
        response = client.send(method, path, body)

        content = response.json()
        assert response.status_code == 400, (method, path, content)
        errors = content["errors"] if "errors" in content else content["data"]["errors"]
        assert [sentence.partition("U+202E")[1] for sentences in errors.values() for sentence in sentences] == [
            "U+202E"
        ], (method, path, content)
    assert changed_tables(before, tables()) == set()


@pytest.mark.embedded
@kinds
def test_admin_form_reports_an_invisible_character(kind: type[Model], olivia: Operator, alice: Person) -> None:
    row = MAKE[kind](alice, "good")

    response = olivia.change(row, **{field(kind): OLD_NAME})

    assert errors_of(response) == {field(kind): [INVISIBLE_CHARACTER]}


@pytest.mark.embedded
def test_error_is_in_the_callers_language(alice: Person, internal: SurfaceClient) -> None:
    body = {"tenant_id": alice.tenant.id, "name": OLD_NAME}

    response = internal.send("POST", "/api/v2/agents", body)

    assert response.json()["data"]["errors"] == {
        "name": ["不能包含 U+202E：此处不允许使用控制字符、方向字符和不可见字符"]
    }


@pytest.mark.embedded
@pytest.mark.parametrize(
    "username", ["\u3164", "bob\ufe0f", "bo\u115fb", "bo\u034fb", "bob\u17b4", "bob\u200b", "\u0301"]
)
def test_username_with_an_invisible_character_is_refused(username: str) -> None:
    with pytest.raises(Invalid) as error:
        accounts.create_user(actor=OPERATOR, username=username, password=PASSWORD)

    assert list(error.value.errors) == ["username"]


@pytest.mark.embedded
@pytest.mark.parametrize("email", ["b\u3164@example.org", "bob@exam\u115fple.org", "bob@example\ufe0f.org"])
def test_email_with_an_invisible_character_is_refused(email: str) -> None:
    with pytest.raises(Invalid) as error:
        accounts.create_user(actor=OPERATOR, username="bob", password=PASSWORD, email=email)

    assert list(error.value.errors) == ["email"]


# ---- names that were allowed formerly


@kinds
def test_row_with_an_old_name_can_be_changed_when_the_name_is_sent_again(kind: type[Model], alice: Person) -> None:
    row = make_old(kind, alice)
    kind._base_manager.filter(pk=row.pk).update(name_folded="folded by another rule")

    CHANGE[kind](row, {field(kind): OLD_NAME, "description": "new"})

    found = stored(row)
    assert (getattr(found, field(kind)), found.name_folded, found.description) == (
        OLD_NAME, "folded by another rule", "new"
    )  # fmt: skip


@pytest.mark.embedded
def test_user_with_an_old_email_keeps_it_with_other_changes(alice: Person) -> None:
    address = "a\u3164@example.org"
    User.objects.filter(pk=alice.user.pk).update(email=address, email_folded=address)

    user = accounts.update_user(actor=OPERATOR, user_id=alice.user.id, changes={"email": address, "key_notices": False})

    assert (user.email, user.key_notices) == (address, False)


@pytest.mark.embedded
def test_plugin_setting_with_an_old_name_can_be_changed(alice: Person) -> None:
    PluginSetting(tenant=alice.tenant, plugin_name=OLD_NAME, enabled=True).save()

    setting = set_plugin(
        actor=OPERATOR, tenant=alice.tenant, agent=None, plugin_name=OLD_NAME, enabled=False, config={}
    )

    assert not setting.enabled


@pytest.mark.parametrize(
    ("name", "copy"),
    [(OLD_NAME, "eman (copy)"), ("x" * 100, "x" * 93 + " (copy)"), ("\ufdfa" * 16, "\ufdfa" * 16 + " (copy)")],
)
def test_agent_with_an_old_name_can_be_duplicated(name: str, copy: str, alice: Person) -> None:
    agent = make_old(Agent, alice, name)

    assert transfer.duplicate_agent(actor=OPERATOR, agent=agent).name == copy


def test_folded_name_of_a_duplicate_fits(alice: Person) -> None:
    agent = make_agent(alice.tenant, "\ufdfa" * 16)  # 288 of 300 characters, so that " (copy 2)" would be too much
    transfer.duplicate_agent(actor=OPERATOR, agent=agent)
    transfer.duplicate_agent(actor=OPERATOR, agent=agent)
    names = set(Agent.objects.in_tenants([alice.tenant.id]).values_list("name", flat=True))

    assert names == {"\ufdfa" * 16, "\ufdfa" * 16 + " (copy)", "\ufdfa" * 16 + " (copy 2)"}


# ---- equal names


@kinds
@pytest.mark.parametrize(
    ("one", "other"), [("客服Ａ", "客服a"), ("（测试）", "(测试)"), ("ＢＯＴ　１", "bot 1"), ("❤️", "❤"), ("①", "1")]
)
def test_names_that_differ_in_width_are_the_same(kind: type[Model], one: str, other: str, alice: Person) -> None:
    row = MAKE[kind](alice, one)

    with pytest.raises(Conflict):
        MAKE[kind](alice, other)
    with pytest.raises(Conflict):
        CHANGE[kind](MAKE[kind](alice, "another"), {field(kind): other})

    assert getattr(stored(row), field(kind)) == one


@kinds
def test_name_may_be_changed_to_another_width(kind: type[Model], alice: Person) -> None:
    row = MAKE[kind](alice, FULL_WIDTH)

    CHANGE[kind](row, {field(kind): PLAIN})

    assert getattr(stored(row), field(kind)) == PLAIN


@kinds
def test_name_that_is_too_long_when_folded_is_refused(kind: type[Model], alice: Person) -> None:
    with pytest.raises(Invalid) as error:
        MAKE[kind](alice, LONGEST_FOLDED)

    most = 700 if kind is Tenant else 300
    assert [str(text) for text in error.value.errors[field(kind)]] == [
        f"Too long: written out in full it has 1800 characters, and at most {most} are allowed"
    ]


@kinds
def test_longest_folded_name_is_stored(kind: type[Model], alice: Person) -> None:
    """Each character folds to 18, so the name fills the column and its index."""
    name = "\ufdfa" * (38 if kind is Tenant else 16)

    assert stored(MAKE[kind](alice, name)).name_folded == fold_name(name)


@pytest.mark.embedded
def test_username_too_long_for_the_name_of_its_tenant_is_refused(public: SurfaceClient) -> None:
    response = public.send("POST", "/api/v1/auth/register", {"username": LONGEST_FOLDED, "password": PASSWORD})

    assert response.status_code == 400
    assert list(response.json()["errors"]) == ["username"]


def test_usernames_that_differ_in_width_are_different(public: SurfaceClient) -> None:
    responses = [
        public.send("POST", "/api/v1/auth/register", {"username": name, "password": PASSWORD}).status_code
        for name in ("ａlice", "alice")
    ]

    assert responses == [200, 200]


# ---- searching


@pytest.mark.parametrize("q", ["服Ａ", "服a", "服A", "Ａ"])
def test_lists_find_a_name_in_any_width(q: str, alice: Person, internal: SurfaceClient) -> None:
    agent = make_agent(alice.tenant, FULL_WIDTH)
    key = make_key(agent, FULL_WIDTH).key
    others = make_agent(alice.tenant, "other")

    listed = {
        "agents": alice.client.get("/api/v1/agents", {"q": q}).json(),
        "keys": alice.client.get(f"/api/v1/agents/{agent.id}/api_keys", {"q": q}).json(),
        "v2 keys": internal.get("/api/v2/api-keys", {"tenant_id": alice.tenant.id, "q": q}).json()["data"]["items"],
    }

    assert [(row["id"], row["name"]) for row in listed["agents"]] == [(agent.id, FULL_WIDTH)]
    assert [(row["id"], row["name"]) for row in listed["keys"]] == [(key.id, FULL_WIDTH)]
    assert [(row["api_key_id"], row["name"]) for row in listed["v2 keys"]] == [(key.id, FULL_WIDTH)]
    assert others.name == "other"


@kinds
def test_admin_search_finds_a_name_in_any_width(kind: type[Model], olivia: Operator, alice: Person) -> None:
    row = MAKE[kind](alice, FULL_WIDTH)

    for q in ("客服Ａ", "客服a"):
        assert list(olivia.get(url(kind), q=q).context_data["cl"].queryset) == [row]


@pytest.mark.embedded
def test_admin_search_finds_a_user_by_the_exact_name(olivia: Operator, alice: Person) -> None:
    user = accounts.create_user(actor=OPERATOR, username="Ａlba", password=None)

    assert list(olivia.get(url(User), q="ａlba").context_data["cl"].queryset) == [user]


def test_commands_find_a_name_in_any_width(alice: Person) -> None:
    agent = make_agent(alice.tenant, FULL_WIDTH)
    make_key(agent, FULL_WIDTH)

    assert run("agents", "export", PLAIN).document["name"] == FULL_WIDTH
    assert run("keys", "show", "客服Ａ", "--json").document["name"] == FULL_WIDTH
