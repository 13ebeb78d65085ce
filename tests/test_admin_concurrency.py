"""Admin forms that are submitted after somebody else changed the same row, which overwrite nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from django.core import signing
from django.db import connection
from django.db.models import Model

from accounts import services as accounts
from accounts.models import User
from agents import services as agents
from agents.models import Agent, Template
from agents.services import templates
from apikeys import services as apikeys
from apikeys.models import ApiKey
from core.admin_concurrency import SHOWN_VALUES
from core.admin_config import STRICT
from core.models import AuditEntry
from tenants import members
from tenants import services as tenants
from tenants.models import Membership, Role, Tenant
from tests.support.interleaving import AfterQuery, other_thread
from tests.support.operators import Operator, form_of, sign_in, url
from tests.support.operators import errors_of as errors_with_isolates_of
from tests.support.people import OPERATOR, Person, join, make_agent, make_key, register

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]

LATER = datetime(2999, 1, 31, 12, tzinfo=UTC)
PROVIDER = {"name": "mine", "base_url": "https://mine.example", "api_key": "sk-first"}


def with_providers(*providers: dict[str, Any]) -> dict[str, Any]:
    return {"config_overrides": {"model": {"api_providers": list(providers)}}}


def errors_of(response: Any) -> dict[str, list[str]]:
    """Return a form's errors without the isolates around names and values."""
    isolates = str.maketrans("", "", "\u2068\u2069")
    errors = errors_with_isolates_of(response)
    return {field: [sentence.translate(isolates) for sentence in sentences] for field, sentences in errors.items()}


@dataclass(frozen=True)
class Case:
    """A kind of row: its service, another user's values for all fields, and a field with its input in the form."""

    make: Callable[[Person], Model]
    change: Callable[[Any, Any], object]
    other_values: dict[str, Any]
    form_input: tuple[str, Any]


def change_user(row: User, changes: Any) -> object:
    return accounts.update_user(actor=OPERATOR, user_id=row.pk, changes=changes)


CASES: dict[type[Model], Case] = {
    ApiKey: Case(
        make=lambda alice: make_key(make_agent(alice.tenant), permissions=["admin"], expires_at=LATER).key,
        change=lambda row, changes: apikeys.update_key(actor=OPERATOR, key=row, changes=changes),
        other_values={
            "name": "renamed",
            "permissions": ["chat"],
            "status": "disabled",
            "expires_at": None,
            "rate_limit": {"limit": 1, "window_seconds": 60},
            "quota": {"limit": 1, "period": "day"},
            "allowed_networks": ["203.0.113.0/24"],
            "metadata": {"owner": "bob"},
        },
        form_input=("description", "for the phone"),
    ),
    Agent: Case(
        make=lambda alice: make_agent(alice.tenant, config={"persona": "kind", "own": [1, 2.0, True]}, tags=["old"]),
        change=lambda row, changes: agents.update_agent(actor=OPERATOR, agent=row, changes=changes),
        other_values={
            "name": "renamed",
            "template_id": "template_1",
            "status": "archived",
            "config": {"persona": "strict", "own": [1.0, 2, 1]},
            "tags": ["new"],
            "config_schema": "maibot-1.2",
            "rate_limit": {"limit": 1, "window_seconds": 60},
            "quota": {"limit": 1, "period": "day"},
        },
        form_input=("description", "for the phone"),
    ),
    Tenant: Case(
        make=lambda alice: alice.tenant,
        change=lambda row, changes: tenants.update_tenant(actor=OPERATOR, tenant=row, changes=changes),
        other_values={
            "tenant_name": "renamed",
            "tenant_type": "enterprise",
            "status": "suspended",
            "contact_email": "new@example.com",
            "tenant_config": {"agent_defaults": {"persona": "strict"}, "own": 1},
            "config_schema": "maibot-1.2",
            "rate_limit": {"limit": 1, "window_seconds": 60},
            "quota": {"limit": 1, "period": "day"},
            "limits": {"agents": 1},
            "requires_mfa": True,
        },
        form_input=("description", "for the phone"),
    ),
    Template: Case(
        make=lambda alice: templates.create_template(actor=OPERATOR, tenant=alice.tenant, name="first"),
        change=lambda row, changes: templates.update_template(actor=OPERATOR, template=row, changes=changes),
        other_values={"name": "renamed", "config": {"persona": "strict"}},
        form_input=("description", "for the phone"),
    ),
    User: Case(
        make=lambda alice: alice.user,
        change=change_user,
        other_values={"is_active": False, "key_notices": False},
        form_input=("email", "new@example.com"),
    ),
}


@pytest.fixture(params=CASES, ids=lambda model: model.__name__)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@dataclass(frozen=True)
class OpenForm:
    """An opened form of a row."""

    operator: Operator
    row: Model
    fields: dict[str, Any]

    def send(self, **changes: Any) -> Any:
        return self.operator.client.post(url(self.row, "change"), {**self.fields, **changes})


def open_form(operator: Operator, row: Model) -> OpenForm:
    return OpenForm(operator, row, form_of(operator.get(url(row, "change"))))


def stored(row: Model, names: Any) -> dict[str, Any]:
    fresh = type(row)._base_manager.get(pk=row.pk)
    return {name: getattr(fresh, name) for name in names}


def test_every_field_of_the_form_is_covered(olivia: Operator, alice: Person, case: Case) -> None:
    form = olivia.get(url(case.make(alice), "change")).context_data["adminform"].form

    assert set(form.fields) - {STRICT} == {*case.other_values, case.form_input[0], SHOWN_VALUES}


def test_field_changed_elsewhere_is_kept_if_unchanged_in_the_form(olivia: Operator, alice: Person, case: Case) -> None:
    row = case.make(alice)
    form = open_form(olivia, row)
    case.change(row, case.other_values)
    expected = stored(row, case.other_values)
    name, value = case.form_input

    assert form.send(**{name: value}).status_code == 302

    assert stored(row, case.other_values) == expected
    assert stored(row, [name]) == {name: value}
    entry = AuditEntry.objects.exclude(action="operator.sign_in").get(actor_id=olivia.user.pk)
    assert list(entry.after or {}) == [name]


def test_unchanged_form_changes_nothing(olivia: Operator, alice: Person, case: Case) -> None:
    row = case.make(alice)
    form = open_form(olivia, row)
    case.change(row, case.other_values)
    expected = stored(row, case.other_values)

    assert form.send().status_code == 302

    assert stored(row, case.other_values) == expected
    assert not AuditEntry.objects.filter(actor_id=olivia.user.pk).exclude(action="operator.sign_in").exists()


# ---- the same field changed in both


def test_field_changed_in_both_is_refused_with_actor_and_time(olivia: Operator, alice: Person, case: Case) -> None:
    row = case.make(alice)
    form = open_form(olivia, row)
    name, value = case.form_input
    case.change(row, {name: "else@example.com"})
    changed = AuditEntry.objects.latest("id")

    response = form.send(**{name: value})

    assert errors_of(response) == {
        name: [
            f"This was changed by manage.py tests at {changed.at:%Y-%m-%d %H:%M:%S} UTC, after the form was opened "
            "(it is else@example.com now). Nothing was saved; open the form again."
        ]
    }
    assert stored(row, [name]) == {name: "else@example.com"}
    assert not AuditEntry.objects.filter(actor_id=olivia.user.pk).exclude(action="operator.sign_in").exists()


def test_one_conflict_refuses_the_whole_form(olivia: Operator, alice: Person) -> None:
    key = make_key(make_agent(alice.tenant), "first").key
    form = open_form(olivia, key)
    apikeys.disable_key(actor=OPERATOR, key=key)

    response = form.send(status="expired", description="new", permissions='["chat"]')

    assert list(errors_of(response)) == ["status"]
    assert stored(key, ["status", "description", "permissions"]) == {
        "status": "disabled", "description": None, "permissions": [],
    }  # fmt: skip


def test_same_change_in_both_is_no_conflict(olivia: Operator, alice: Person, case: Case) -> None:
    row = case.make(alice)
    form = open_form(olivia, row)
    name, value = case.form_input
    case.change(row, {name: value})

    assert form.send(**{name: value}).status_code == 302


def test_conflict_remains_until_the_form_is_opened_again(olivia: Operator, alice: Person) -> None:
    key = make_key(make_agent(alice.tenant)).key
    form = open_form(olivia, key)
    apikeys.update_key(actor=OPERATOR, key=key, changes={"description": "theirs", "status": "disabled"})

    refused = form.send(description="mine")
    again = OpenForm(olivia, key, form_of(refused))
    assert again.fields["description"] == ["mine"]
    assert list(errors_of(again.send())) == ["description"]

    assert open_form(olivia, key).send(description="mine").status_code == 302
    assert stored(key, ["description", "status"]) == {"description": "mine", "status": "disabled"}


def test_conflict_without_an_audit_entry_names_nobody(olivia: Operator, alice: Person) -> None:
    key = make_key(make_agent(alice.tenant)).key
    form = open_form(olivia, key)
    ApiKey.unscoped.filter(pk=key.pk).update(description="")

    assert errors_of(form.send(description="mine")) == {
        "description": [
            "This was changed by somebody else after the form was opened (it is empty now). "
            "Nothing was saved; open the form again."
        ]
    }


@pytest.mark.parametrize("model", [Agent, Template])
def test_config_changed_in_both_is_refused_with_the_paths(olivia: Operator, alice: Person, model: type[Model]) -> None:
    case = CASES[model]
    row = case.make(alice)
    form = open_form(olivia, row)
    case.change(row, {"config": {"persona": "strict", "config_overrides": {"chat": {"talk_value": 0.2}}}})

    expected = stored(row, ["config"])

    response = form.send(config='{"persona": "mine"}')

    (sentence,) = errors_of(response)["config"]
    assert sentence.startswith("This was changed by manage.py tests at ")
    assert "(/config_overrides, /persona)" in sentence
    assert stored(row, ["config"]) == expected


def test_secret_changed_elsewhere_is_a_conflict_although_masked(olivia: Operator, alice: Person) -> None:
    agent = make_agent(alice.tenant, config=with_providers(PROVIDER))
    form = open_form(olivia, agent)
    config = with_providers({**PROVIDER, "api_key": "sk-second"})
    agents.update_agent(actor=OPERATOR, agent=agent, changes={"config": config})
    expected = stored(agent, ["config"])

    (config,) = form.fields["config"]
    response = form.send(config=config.replace("mine.example", "mine.invalid").replace("********", "sk-third"))

    assert "a value that is masked" in errors_of(response)["config"][0]
    assert stored(agent, ["config"]) == expected


def test_form_contains_no_secret(olivia: Operator, alice: Person) -> None:
    agent = make_agent(alice.tenant, config=with_providers(PROVIDER))
    (carried,) = open_form(olivia, agent).fields[SHOWN_VALUES]

    _at, values, digests = signing.loads(carried, salt=f"core.admin_concurrency:agents.agent:{agent.pk}")

    assert "sk-first" not in str(values)
    assert "$sealed" not in str(values)
    assert str(values).count("********") == 2
    assert list(digests) == ["config"]


@pytest.mark.single
@pytest.mark.django_db(transaction=True)
def test_change_during_the_save_is_not_lost() -> None:
    """A change after any of the form's queries is either seen by the form, or made after the save."""
    olivia, key = sign_in("olivia"), make_key(make_agent(register("alice").tenant)).key
    theirs = partial(apikeys.update_key, actor=OPERATOR, key=key, changes={"description": "theirs"})
    form, queries = open_form(olivia, key), AfterQuery()
    with connection.execute_wrapper(queries):
        assert form.send(description="mine").status_code == 302
    for number in range(1, queries.count):
        apikeys.update_key(actor=OPERATOR, key=key, changes={"description": None})
        form = open_form(olivia, key)
        with other_thread() as meanwhile:
            change_elsewhere = partial(meanwhile, theirs, wait=0.05)
            with connection.execute_wrapper(AfterQuery(number, change_elsewhere, anywhere=True)):
                form.send(description="mine")

        assert stored(key, ["description"]) == {"description": "theirs"}, number


# ---- the shown values in the form


@pytest.mark.parametrize("carried", ["", "nonsense", "e30:1:x", "\x00", "文" * 1000])
def test_form_without_shown_values_is_refused(olivia: Operator, alice: Person, case: Case, carried: str) -> None:
    row = case.make(alice)
    form = open_form(olivia, row)
    name, value = case.form_input

    response = form.send(**{name: value, SHOWN_VALUES: carried})

    assert list(errors_of(response)) in (["__all__"], [SHOWN_VALUES, "__all__"])
    assert not AuditEntry.objects.filter(actor_id=olivia.user.pk).exclude(action="operator.sign_in").exists()


def test_shown_values_of_another_row_are_refused(olivia: Operator, alice: Person) -> None:
    agent = make_agent(alice.tenant)
    first, second = (open_form(olivia, make_key(agent).key) for _ in range(2))

    response = first.send(**{SHOWN_VALUES: second.fields[SHOWN_VALUES], "description": "new"})

    assert errors_of(response) == {
        "__all__": ["The form does not say what it was shown with. Nothing was saved; open it again."]
    }


@pytest.mark.parametrize("values", [{}, {"name": "key"}])
def test_shown_values_of_another_version_are_refused(olivia: Operator, alice: Person, values: dict[str, Any]) -> None:
    """A former version of the form had other fields."""
    key = make_key(make_agent(alice.tenant)).key
    carried = signing.dumps(
        ["2026-01-31T12:00:00+00:00", values, {}], salt=f"core.admin_concurrency:apikeys.apikey:{key.pk}", compress=True
    )

    response = open_form(olivia, key).send(**{SHOWN_VALUES: carried, "description": "new"})

    assert list(errors_of(response)) == ["__all__"]


# ---- texts that browsers change


@pytest.mark.parametrize("text", ["first\nsecond", "first\r\nsecond", "\nfirst", "  first ", "a\rb"])
@pytest.mark.parametrize("model", [ApiKey, Agent, Tenant, Template])
def test_unchanged_text_keeps_its_stored_form(olivia: Operator, alice: Person, model: type[Model], text: str) -> None:
    case = CASES[model]
    row = case.make(alice)
    name = next(iter(case.other_values))
    case.change(row, {"description": text})
    form = open_form(olivia, row)
    as_of_a_browser = text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")

    assert form.send(**{"description": as_of_a_browser, name: "renamed here"}).status_code == 302

    assert stored(row, ["description", name]) == {"description": text, name: "renamed here"}


# ---- members


def role_field(form: OpenForm, username: str) -> str:
    """Return the name of the role field in the row of a member."""
    member = Membership.objects.get(tenant_id=form.row.pk, user__username=username)
    prefix = next(name for name, value in form.fields.items() if name.endswith("-id") and value == [str(member.pk)])
    return prefix.replace("-id", "-role")


def test_role_changed_elsewhere_is_kept(olivia: Operator, alice: Person, bob: Person) -> None:
    form = open_form(olivia, alice.tenant)
    join(bob, alice.tenant, Role.ADMIN)

    assert form.send(description="new").status_code == 302

    assert Membership.objects.get(user=bob.user, tenant=alice.tenant).role == Role.ADMIN


def test_role_changed_in_both_is_refused(olivia: Operator, alice: Person) -> None:
    for name in ("bob", "carol"):
        join(register(name), alice.tenant)
    bob = Membership.objects.get(user__username="bob", tenant=alice.tenant)
    form = open_form(olivia, alice.tenant)
    members.set_member(actor=OPERATOR, tenant=alice.tenant, user_id=bob.user_id, role=Role.ADMIN)
    form = OpenForm(olivia, alice.tenant, {**form.fields, role_field(form, "bob"): ["admin"]})
    assert form.send(description="the same").status_code == 302, "both made an admin of Bob"

    form = open_form(olivia, alice.tenant)
    members.set_member(actor=OPERATOR, tenant=alice.tenant, user_id=bob.user_id, role=Role.MEMBER)
    Membership.objects.filter(pk=bob.pk).update(role="guest")
    response = form.send(**{role_field(form, "bob"): "member"})

    assert response.status_code == 200
    assert "This was changed by " in response.content.decode()
    bob.refresh_from_db()
    assert bob.role == "guest"


def test_member_removed_elsewhere_stays_removed_without_an_error(olivia: Operator, alice: Person, bob: Person) -> None:
    form = open_form(olivia, alice.tenant)
    members.remove_member(actor=OPERATOR, tenant=alice.tenant, user_id=bob.user.pk)

    assert form.send(description="new").status_code < 500

    assert not Membership.objects.filter(user=bob.user, tenant=alice.tenant).exists()


def test_member_added_elsewhere_keeps_the_role(olivia: Operator, alice: Person, charlie: Person) -> None:
    form = open_form(olivia, alice.tenant)
    members.set_member(actor=OPERATOR, tenant=alice.tenant, user_id=charlie.user.pk, role=Role.ADMIN)

    response = form.send(**{"memberships-2-0-user": charlie.user.pk, "memberships-2-0-role": "member"})

    assert "The members were changed after the form was opened" in response.content.decode()
    assert Membership.objects.get(user=charlie.user, tenant=alice.tenant).role == Role.ADMIN


def test_member_with_a_role_changed_elsewhere_is_not_removed(olivia: Operator, alice: Person, bob: Person) -> None:
    form = open_form(olivia, alice.tenant)
    line = role_field(form, "bob").removesuffix("-role")
    members.set_member(actor=OPERATOR, tenant=alice.tenant, user_id=bob.user.pk, role=Role.ADMIN)

    response = form.send(**{f"{line}-DELETE": "on"})

    assert "The members were changed after the form was opened" in response.content.decode()
    assert Membership.objects.get(user=bob.user, tenant=alice.tenant).role == Role.ADMIN
