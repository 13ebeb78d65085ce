"""Tenants and their members in the operators' admin."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import User
from core.models import AuditEntry
from tenants.models import Membership, Role, Tenant
from tests.support.operators import Operator, errors_of, sign_in, url
from tests.support.people import Person, make_agent, make_key

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]


def roles(tenant: Tenant) -> dict[str, str]:
    return {row.user.username: row.role for row in Membership.objects.filter(tenant=tenant).select_related("user")}


def test_an_operator_adds_a_tenant_with_an_owner(olivia: Operator, charlie: Person) -> None:
    response = olivia.add(
        Tenant,
        tenant_name="企业 🤖",
        tenant_type="enterprise",
        owner=charlie.user.pk,
        tenant_config='{"plan": {"seats": 5}}',
    )

    tenant = Tenant.objects.get(tenant_name="企业 🤖")
    assert response["Location"] == url(Tenant)
    assert (tenant.owner, tenant.tenant_config, tenant.description) == (charlie.user, {"plan": {"seats": 5}}, None)
    assert roles(tenant) == {"charlie": Role.OWNER}
    entry = olivia.audit_of("tenant.create")
    assert (entry.object_id, entry.tenant_id) == (tenant.pk, tenant.pk)
    assert entry.after["tenant_name"] == "企业 🤖"


def test_an_operator_adds_a_tenant_without_an_owner(olivia: Operator) -> None:
    olivia.add(Tenant, tenant_name="Nobody's", tenant_type="personal")

    tenant = Tenant.objects.get()
    assert (tenant.owner, tenant.tenant_config, roles(tenant)) == (None, None, {})


def test_an_operator_limits_a_tenant(olivia: Operator, alice: Person) -> None:
    olivia.change(
        alice.tenant, limits_agents="7", limits_members="2", rate_limit_limit="9", rate_limit_window_seconds="1"
    )

    alice.tenant.refresh_from_db()
    assert alice.tenant.limits == {"agents": 7, "members": 2}
    assert alice.tenant.rate_limit == {"limit": 9, "window_seconds": 1}

    olivia.change(alice.tenant, limits_agents="", limits_members="")
    alice.tenant.refresh_from_db()
    assert alice.tenant.limits is None


def test_limit_of_no_members_is_refused_at_its_field(olivia: Operator, alice: Person) -> None:
    response = olivia.change(alice.tenant, limits_members="0")

    assert errors_of(response) == {"limits": ["Members: Ensure this value is greater than or equal to 1."]}


def test_a_taken_name_is_an_error_of_the_form(olivia: Operator, alice: Person, charlie: Person) -> None:
    taken = {"__all__": ["A tenant of this name already exists"]}
    olivia.add(Tenant, tenant_name="Acme", tenant_type="enterprise", owner=alice.user.pk)

    response = olivia.add(Tenant, tenant_name="ACME", tenant_type="enterprise", owner=alice.user.pk)
    assert errors_of(response) == taken
    assert 'value="ACME"' in response.content.decode()

    assert errors_of(olivia.change(alice.tenant, tenant_name="acme", description="half")) == taken
    alice.tenant.refresh_from_db()
    assert (alice.tenant.tenant_name, alice.tenant.description) == ("alice's Personal Tenant", None)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "not JSON at line 1, column 2"),
        ('{"a": 1, "a": 2}', "the key 'a' occurs twice in one object"),
        ('{"a": 99999999999999999999}', "the number 99999999999999999999 does not fit in 64 bits"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": "\\u0000"}', "text must not contain NUL characters or lone surrogates"),
        ('{"a": ' * 29 + "1" + "}" * 29, "nested deeper than 28 levels"),
        ("[" * 100_000, "nested deeper than 28 levels"),
        ("[]", "Must be an object."),
        ('"text"', "Must be an object."),
    ],
)
def test_invalid_config_is_refused(olivia: Operator, text: str, sentence: str) -> None:
    response = olivia.add(Tenant, tenant_name="Acme", tenant_type="enterprise", tenant_config=text)

    assert errors_of(response) == {"tenant_config": [sentence]}
    assert response.context_data["adminform"].form["tenant_config"].value() == text
    assert not Tenant.objects.exists()


def test_editor_lists_the_fields_of_the_agents_defaults(alice: Person) -> None:
    viewer = sign_in("victor", is_superuser=False)
    fields_of = "/admin/tenants/tenant/config-fields/{}/"

    fields = {each["path"]: each for each in viewer.get(fields_of.format("maibot-0.12")).json()["fields"]}

    assert list(fields)[:2] == ["agent_defaults", "agent_defaults.persona"]
    assert fields["agent_defaults.config_overrides.chat.talk_value"]["type"] == "number"
    assert "means nothing to agents" in fields["*"]["description"]
    assert viewer.client.get(fields_of.format("nonsense")).status_code == 404


def test_fields_are_those_of_the_tenants_schema(olivia: Operator, alice: Person) -> None:
    fields_of = 'data-fields="/admin/tenants/tenant/config-fields/{}/"'
    assert fields_of.format("maibot-0.12") in olivia.get(url(Tenant, "add")).content.decode()

    olivia.change(alice.tenant, config_schema="maibot-1.2")

    assert fields_of.format("maibot-1.2") in olivia.get(url(alice.tenant, "change")).content.decode()


def test_an_operator_changes_a_tenant(olivia: Operator, alice: Person) -> None:
    olivia.change(alice.tenant, tenant_name="Alice & Co", status="suspended", tenant_config='{"seats": 1}')

    alice.tenant.refresh_from_db()
    assert (alice.tenant.tenant_name, alice.tenant.status) == ("Alice & Co", "suspended")
    entry = olivia.audit_of("tenant.update")
    assert entry.before == {"tenant_name": "alice's Personal Tenant", "tenant_config": None, "status": "active"}
    assert entry.after == {"tenant_name": "Alice & Co", "tenant_config": {"seats": 1}, "status": "suspended"}


def test_true_and_one_are_different_configs(olivia: Operator, alice: Person) -> None:
    olivia.change(alice.tenant, tenant_config='{"on": 1}')
    olivia.change(alice.tenant, tenant_config='{"on": true}')

    assert Tenant.objects.get(pk=alice.tenant.pk).tenant_config["on"] is True


def test_saving_a_form_unchanged_changes_nothing(olivia: Operator, alice: Person, bob: Person) -> None:
    olivia.change(alice.tenant, description="One\nTwo", tenant_config='{"文": "🤖"}')
    before = AuditEntry.objects.count()

    assert olivia.change(alice.tenant).status_code == 302
    assert AuditEntry.objects.count() == before


def test_a_too_long_description_is_an_error_of_the_form(olivia: Operator, alice: Person) -> None:
    assert "description" in errors_of(olivia.change(alice.tenant, description="a" * 2001))


# ---- members; theirs are the first formset, and those to be added the second


def member_field(olivia: Operator, tenant: Tenant, username: str, field: str) -> str:
    """Return the name of a field in a member's row of the form."""
    formset = olivia.get(url(tenant, "change")).context_data["inline_admin_formsets"][0].formset
    return next(str(form.add_prefix(field)) for form in formset.forms if form.instance.user.username == username)


def test_an_operator_adds_a_member(olivia: Operator, alice: Person, charlie: Person) -> None:
    response = olivia.change(
        alice.tenant, **{"memberships-2-0-user": charlie.user.pk, "memberships-2-0-role": "member"}
    )

    assert response.status_code == 302
    assert roles(alice.tenant) == {"alice": Role.OWNER, "charlie": Role.MEMBER}
    entry = olivia.audit_of("membership.set")
    assert (entry.tenant_id, entry.before) == (alice.tenant.pk, None)
    assert entry.after == {"user": charlie.user.pk, "username": "charlie", "role": "member"}


def test_members_that_no_form_has_room_for_are_changed_by_pages(olivia: Operator, alice: Person) -> None:
    users = User.objects.bulk_create(
        User(pk=f"user_{number:012x}", username=f"u{number}", username_folded=f"u{number}") for number in range(300)
    )
    Membership.objects.bulk_create(Membership(tenant=alice.tenant, user=user, role=Role.MEMBER) for user in users)
    last = Membership.objects.order_by("created_at", "id")[300]

    response = olivia.submit(
        url(alice.tenant, "change") + "?memberships-page=4", description="Large", **{"memberships-0-role": "admin"}
    )

    alice.tenant.refresh_from_db()
    last.refresh_from_db()
    assert response.status_code == 302
    assert (alice.tenant.description, last.role) == ("Large", Role.ADMIN)
    assert Membership.objects.filter(tenant=alice.tenant).count() == 301


@pytest.mark.parametrize("page", ["0", "-1", "2", "x", "²", "٣", "9" * 5000, "\0"])
def test_page_of_members_that_does_not_exist_is_the_first(olivia: Operator, alice: Person, page: str) -> None:
    response = olivia.get(url(alice.tenant, "change"), **{"memberships-page": page})

    assert "alice" in response.content.decode()


def test_more_new_members_than_the_page_takes_are_refused(olivia: Operator, alice: Person) -> None:
    response = olivia.change(alice.tenant, **{"memberships-2-TOTAL_FORMS": "2000"})

    _members, new = (inline.formset for inline in response.context_data["inline_admin_formsets"])
    assert new.non_form_errors() == ["Please submit at most 100 forms."]
    assert len(new.forms) == 100


def test_an_operator_changes_a_role(olivia: Operator, alice: Person, bob: Person) -> None:
    olivia.change(alice.tenant, **{member_field(olivia, alice.tenant, "bob", "role"): "admin"})

    assert roles(alice.tenant) == {"alice": Role.OWNER, "bob": Role.ADMIN}
    entry, person = olivia.audit_of("membership.set"), {"user": bob.user.pk, "username": "bob"}
    assert (entry.before, entry.after) == ({**person, "role": "member"}, {**person, "role": "admin"})


def test_an_operator_hands_a_tenant_over_by_the_role_of_owner(olivia: Operator, alice: Person, bob: Person) -> None:
    olivia.change(alice.tenant, **{member_field(olivia, alice.tenant, "bob", "role"): "owner"})

    assert roles(alice.tenant) == {"alice": Role.ADMIN, "bob": Role.OWNER}
    entry = olivia.audit_of("ownership.transfer")
    assert (entry.before, entry.after) == ({"owner_id": alice.user.pk}, {"owner_id": bob.user.pk})


def test_an_operator_removes_a_member(olivia: Operator, alice: Person, bob: Person) -> None:
    olivia.change(alice.tenant, **{member_field(olivia, alice.tenant, "bob", "DELETE"): "on"})

    assert roles(alice.tenant) == {"alice": Role.OWNER}
    assert olivia.audit_of("membership.remove").before == {
        "user": bob.user.pk,
        "username": "bob",
        "role": "member",
    }


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("role", "member", "role: The tenant's owner keeps this role; hand the tenant over first"),
        ("DELETE", "on", "user: The tenant's owner cannot be removed; hand the tenant over first"),
    ],
)
def test_owner_cannot_be_removed_or_demoted(
    olivia: Operator, alice: Person, field: str, value: str, sentence: str
) -> None:
    changes: dict[str, Any] = {member_field(olivia, alice.tenant, "alice", field): value, "tenant_name": "Other"}

    response = olivia.change(alice.tenant, **changes)

    assert errors_of(response) == {"__all__": [sentence]}
    assert roles(alice.tenant) == {"alice": Role.OWNER}
    assert Tenant.objects.get(pk=alice.tenant.pk).tenant_name == "alice's Personal Tenant"
    assert not AuditEntry.objects.filter(actor_kind="operator").exclude(action="operator.sign_in").exists()


def test_adding_a_member_again_gives_the_new_role(olivia: Operator, alice: Person, bob: Person) -> None:
    olivia.change(alice.tenant, **{"memberships-2-0-user": bob.user.pk, "memberships-2-0-role": "admin"})

    assert roles(alice.tenant) == {"alice": Role.OWNER, "bob": Role.ADMIN}
    assert Membership.objects.filter(tenant=alice.tenant).count() == 2


def test_new_members_are_found_by_search(olivia: Operator, alice: Person, charlie: Person) -> None:
    found = olivia.get(
        "/admin/autocomplete/", app_label="tenants", model_name="membership", field_name="user", term="CHAR"
    )

    assert found.json()["results"] == [{"id": charlie.user.pk, "text": "charlie"}]


# ---- the end of a tenant


def test_operator_deletes_a_tenant_with_everything_in_it(olivia: Operator, alice: Person) -> None:
    secret = make_key(make_agent(alice.tenant, "Helper"), "First").secret
    page = olivia.get(url(alice.tenant, "delete")).content.decode()
    assert "Agents: 1" in page
    assert secret not in page

    response = olivia.delete(alice.tenant)

    assert response["Location"] == url(Tenant)
    assert not Tenant.objects.filter(pk=alice.tenant.pk).exists()
    assert olivia.audit_of("tenant.delete").object_id == alice.tenant.pk


def test_operators_delete_tenants_in_bulk(olivia: Operator, alice: Person, charlie: Person) -> None:
    rows = [alice.tenant.pk, charlie.tenant.pk]
    make_agent(alice.tenant)

    assert "Are you sure" in olivia.act("delete_selected", alice.tenant, charlie.tenant).content.decode()
    olivia.client.post(url(Tenant), {"action": "delete_selected", "_selected_action": rows, "post": "yes"})

    assert not Tenant.objects.exists()
    assert AuditEntry.objects.filter(action="tenant.delete", actor_id=olivia.user.pk).count() == 2
