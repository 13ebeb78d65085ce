"""Tenants of another system, taken over as they are there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError
from django.db.models import QuerySet

from accounts.models import User
from agent_config.secrets import opened
from core import epoch
from core.db import RowUpdate
from core.models import AuditEntry, FeedEntry, Invalidation
from tenants import services
from tenants.bulk_import import IMPORTED_FIELDS, import_tenants
from tenants.models import Membership, Role, Tenant
from tests.support.people import OPERATOR, Person, join, make_agent, make_key

pytestmark = pytest.mark.django_db
LONG_AGO = datetime(2024, 2, 29, 8, 30, tzinfo=UTC)
MASK = "********"
SECRET = "sk-of-the-tenant"


def defaults(api_key: str = SECRET, **others: Any) -> dict[str, Any]:
    """Return a tenant config with a secret in its agent defaults."""
    provider = {"name": "mine", "api_key": api_key}
    return {
        "agent_defaults": {"config_overrides": {"model": {"api_providers": [provider]}}},
        **others,
    }


def unsaved(name: str, *, owner: User | None = None, **fields: Any) -> Tenant:
    """Return an unsaved tenant to import."""
    owner_id = None if owner is None else owner.pk
    given = {"tenant_type": "enterprise", "created_at": LONG_AGO, "updated_at": LONG_AGO, **fields}
    tenant = Tenant(owner_id=owner_id, owner_scope=owner_id or "", **given)
    tenant.set_name(name)
    return tenant


def import_rows(*, new: Sequence[Tenant] = (), rows: Sequence[RowUpdate[Tenant]] = ()) -> None:
    import_tenants(actor=OPERATOR, new=new, changed=rows)


def imported(name: str, **fields: Any) -> Tenant:
    """Import a tenant, and clear the audit log, feed and invalidations."""
    tenant = unsaved(name, **fields)
    import_rows(new=[tenant])
    for told in (AuditEntry, FeedEntry, Invalidation):
        QuerySet(told).delete()
    return Tenant.objects.get(pk=tenant.pk)


def changed(tenant: Tenant, **wanted: Any) -> RowUpdate[Tenant]:
    """Return a stored tenant with its target, whose secrets are in clear."""
    row = Tenant.objects.select_related("owner").get(pk=tenant.pk)
    same: dict[str, Any] = {
        field: getattr(row, field)
        for field in IMPORTED_FIELDS
        if not field.startswith(("tenant_name", "name_folded", "owner_"))
    }
    if row.tenant_config and "agent_defaults" in row.tenant_config:
        same["tenant_config"] = {**row.tenant_config, "agent_defaults": opened(row.tenant_config["agent_defaults"])}
    name, owner = wanted.pop("name", row.tenant_name), wanted.pop("owner", row.owner)
    return RowUpdate(row, unsaved(name, owner=owner, id=row.id, **{**same, **wanted}))


def opened_config(tenant: Tenant) -> dict[str, Any]:
    config: dict[str, Any] = Tenant.objects.get(pk=tenant.pk).tenant_config
    return {**config, "agent_defaults": opened(config["agent_defaults"])}


def roles(tenant: Tenant) -> dict[str, str]:
    return dict(Membership.objects.filter(tenant=tenant).values_list("user__username", "role"))


def feed() -> list[tuple[str, str, str | None]]:
    return list(FeedEntry.objects.order_by("pk").values_list("kind", "subject", "tenant_id"))


def audited() -> list[tuple[str, str, Any, Any]]:
    rows = AuditEntry.objects.order_by("pk")
    assert all(row.tenant_id == row.object_id and row.object_type == "tenant" for row in rows)
    assert {row.actor_kind for row in rows} <= {"command"}
    return [(row.action, row.object_id, row.before, row.after) for row in rows]


class TestNewTenants:
    def test_new_rows_are_stored_unchanged(self, alice: Person) -> None:
        fields = {
            "description": "Rockets",
            "contact_email": "info@acme.example",
            "tenant_config": {"plan": "gold"},
            "status": "suspended",
            "tenant_type": "personal",
            "updated_at": LONG_AGO + timedelta(days=1),
        }

        import_rows(new=[unsaved("ACME", owner=alice.user, id="t-1", **fields), unsaved("Other")])

        stored = Tenant.objects.get(pk="t-1")
        assert (stored.tenant_name, stored.name_folded) == ("ACME", "acme")
        assert (stored.owner_id, stored.owner_scope) == (alice.user.id, alice.user.id)
        assert {field: getattr(stored, field) for field in fields} == fields
        assert (stored.created_at, stored.defaults_revision) == (LONG_AGO, 0)
        other = Tenant.objects.get(tenant_name="Other")
        assert (other.owner_id, other.owner_scope, other.tenant_config) == (None, "", None)

    def test_owners_of_new_tenants_become_members(self, alice: Person) -> None:
        acme, nobodys = unsaved("Acme", owner=alice.user), unsaved("Nobody's")

        import_rows(new=[acme, nobodys])

        assert (roles(acme), roles(nobodys)) == ({"alice": "owner"}, {})
        assert Membership.objects.get(tenant=acme).created_at == LONG_AGO
        assert alice.client.get(f"/api/v1/tenants/{acme.id}").status_code == 200

    def test_each_new_row_is_audited(self) -> None:
        import_rows(new=[unsaved("Acme", id="t-1"), unsaved("Other", id="t-2", status="inactive")])

        (acme, other) = audited()
        assert acme[:3] == ("tenant.import", "t-1", None)
        assert acme[3] == {
            "tenant_name": "Acme",
            "tenant_type": "enterprise",
            "description": None,
            "contact_email": None,
            "tenant_config": None,
            "config_schema": None,
            "status": "active",
            "owner_id": None,
            "rate_limit": None,
            "quota": None,
            "limits": None,
            "requires_mfa": False,
        }
        assert (other[1], other[3]["status"]) == ("t-2", "inactive")

    def test_secrets_of_new_rows_are_sealed_and_not_audited(self) -> None:
        acme = unsaved("Acme", tenant_config=defaults(plan="gold"))

        import_rows(new=[acme])

        stored = Tenant.objects.get(pk=acme.id)
        assert SECRET not in json.dumps(stored.tenant_config)
        assert opened_config(acme) == defaults(plan="gold")
        assert audited()[0][3]["tenant_config"] == defaults(MASK, plan="gold")

    def test_new_tenant_with_a_taken_name_is_refused(self, alice: Person) -> None:
        imported("Acme", owner=alice.user)

        with pytest.raises(IntegrityError):
            import_rows(new=[unsaved("acme", owner=alice.user)])


class TestChangedTenants:
    def test_changed_rows_are_updated(self, alice: Person) -> None:
        acme = imported("Acme", owner=alice.user, tenant_config={"plan": "gold"}, contact_email="info@acme.example")
        fields: dict[str, Any] = {
            "description": "Rockets",
            "contact_email": None,
            "tenant_config": {"plan": "none"},
            "status": "inactive",
            "tenant_type": "personal",
            "created_at": LONG_AGO - timedelta(days=1),
            "updated_at": LONG_AGO + timedelta(days=1),
        }

        import_rows(rows=[changed(acme, name="ACME Inc.", **fields)])

        stored = Tenant.objects.get(pk=acme.id)
        assert {field: getattr(stored, field) for field in fields} == fields
        assert (stored.tenant_name, stored.name_folded, stored.owner_id) == ("ACME Inc.", "acme inc.", alice.user.id)

    def test_limits_set_here_are_kept(self) -> None:
        acme = imported("Acme")
        quota = {"limit": 100, "period": "day"}
        services.update_tenant(actor=OPERATOR, tenant=acme, changes={"quota": quota})

        import_rows(rows=[changed(acme, description="Rockets")])

        acme.refresh_from_db()
        assert (acme.quota, acme.description) == (quota, "Rockets")

    def test_audit_row_has_only_the_changed_fields(self) -> None:
        acme, other = imported("Acme"), imported("Other", tenant_config={"plan": "gold"})

        import_rows(rows=[changed(acme, status="suspended"), changed(other, name="Another", tenant_config=None)])

        assert audited() == [
            ("tenant.import", acme.id, {"status": "active"}, {"status": "suspended"}),
            (
                "tenant.import",
                other.id,
                {"tenant_name": "Other", "tenant_config": {"plan": "gold"}},
                {"tenant_name": "Another", "tenant_config": None},
            ),
        ]

    def test_changed_rows_may_swap_their_names(self, alice: Person) -> None:
        acme, other = imported("Acme", owner=alice.user), imported("Other", owner=alice.user)

        import_rows(rows=[changed(acme, name="OTHER"), changed(other, name="Acme")])

        names = dict(Tenant.objects.filter(pk__in=[acme.id, other.id]).values_list("id", "name_folded"))
        assert names == {acme.id: "other", other.id: "acme"}

    def test_tenants_of_one_name_may_swap_their_owners(self, alice: Person, charlie: Person) -> None:
        hers, his = imported("Acme", owner=alice.user), imported("ACME", owner=charlie.user)

        import_rows(rows=[changed(hers, owner=charlie.user), changed(his, owner=alice.user)])

        owners = dict(Tenant.objects.filter(pk__in=[hers.id, his.id]).values_list("id", "owner_scope"))
        assert owners == {hers.id: charlie.user.id, his.id: alice.user.id}

    def test_changed_tenants_are_invalidated(self) -> None:
        acme, other = imported("Acme"), imported("Other")

        import_rows(rows=[changed(acme, status="suspended")])

        assert [subject for _epoch, subject in Invalidation.objects.values_list("epoch", "subject")] == [acme.id]
        assert other.id not in [subject for _kind, subject, _tenant in feed()]

    def test_keys_of_a_suspended_tenant_are_refused(self, alice: Person, internal: Any) -> None:
        secret = make_key(make_agent(alice.tenant)).secret

        import_rows(rows=[changed(alice.tenant, status="suspended")])

        answer = internal.send("POST", "/api/v2/auth/validate-api-key", {"api_key": secret}).json()
        assert answer["error_code"] == "AUTH_007"


class TestOwners:
    def test_new_owner_replaces_the_former_owners_membership(self, alice: Person, charlie: Person) -> None:
        acme = imported("Acme", owner=alice.user)

        import_rows(rows=[changed(acme, owner=charlie.user)])

        assert roles(acme) == {"charlie": "owner"}
        acme.refresh_from_db()
        assert (acme.owner_id, acme.owner_scope) == (charlie.user.id, charlie.user.id)
        assert audited() == [
            ("tenant.import", acme.id, {"owner_id": alice.user.id}, {"owner_id": charlie.user.id}),
        ]

    def test_member_who_becomes_the_owner_gets_the_role(self, alice: Person, charlie: Person) -> None:
        acme = imported("Acme", owner=alice.user)
        join(charlie, acme)

        import_rows(rows=[changed(acme, owner=charlie.user)])

        assert roles(acme) == {"charlie": "owner"}

    def test_other_members_stay(self, alice: Person, bob: Person, charlie: Person) -> None:
        acme = imported("Acme", owner=alice.user)
        join(bob, acme)

        import_rows(rows=[changed(acme, owner=charlie.user)])

        assert roles(acme) == {"bob": "member", "charlie": "owner"}

    def test_removed_owner_is_no_member(self, alice: Person) -> None:
        acme = imported("Acme", owner=alice.user)

        import_rows(rows=[changed(acme, owner=None)])

        assert roles(acme) == {}
        acme.refresh_from_db()
        assert (acme.owner_id, acme.owner_scope) == (None, "")

    def test_other_changes_keep_the_memberships(self, alice: Person, bob: Person) -> None:
        acme = imported("Acme", owner=alice.user)
        join(bob, acme, Role.ADMIN)

        import_rows(rows=[changed(acme, name="ACME Inc.")])

        assert roles(acme) == {"alice": "owner", "bob": "admin"}
        assert Membership.objects.filter(tenant=acme).count() == 2


class TestAgentDefaults:
    def test_changed_defaults_are_sealed_numbered_and_published(self) -> None:
        acme = imported("Acme", tenant_config=defaults("sk-old"))

        import_rows(rows=[changed(acme, tenant_config=defaults("sk-new"))])

        acme.refresh_from_db()
        assert opened_config(acme) == defaults("sk-new")
        assert "sk-new" not in json.dumps(acme.tenant_config)
        assert acme.defaults_revision == epoch.current() > 0
        assert feed() == [("tenant", acme.id, acme.id)]
        assert [entry.epoch for entry in FeedEntry.objects.all()] == [acme.defaults_revision]

    def test_changed_defaults_leave_no_secret_in_the_audit_log(self) -> None:
        acme = imported("Acme", tenant_config=defaults("sk-old"))

        import_rows(rows=[changed(acme, tenant_config=defaults("sk-new", plan="gold"))])

        ((_action, _id, before, after),) = audited()
        assert (before, after) == (
            {"tenant_config": defaults(MASK)},
            {"tenant_config": defaults(MASK, plan="gold")},
        )

    def test_unchanged_defaults_keep_their_seal(self) -> None:
        acme = imported("Acme", tenant_config=defaults())
        before = Tenant.objects.get(pk=acme.id)

        import_rows(rows=[changed(acme, description="Rockets", tenant_config=defaults())])

        after = Tenant.objects.get(pk=acme.id)
        assert (after.tenant_config, after.defaults_revision) == (before.tenant_config, before.defaults_revision)
        assert feed() == []
        assert audited() == [("tenant.import", acme.id, {"description": None}, {"description": "Rockets"})]

    def test_removed_defaults_are_published(self) -> None:
        acme = imported("Acme", tenant_config=defaults())

        import_rows(rows=[changed(acme, tenant_config={"plan": "gold"})])

        acme.refresh_from_db()
        assert acme.tenant_config == {"plan": "gold"}
        assert acme.defaults_revision == epoch.current()
        assert feed() == [("tenant", acme.id, acme.id)]

    def test_changed_tenants_store_the_epoch_of_their_change(self) -> None:
        acme, other, third = imported("Acme"), imported("Other"), imported("Third")

        import_rows(
            rows=[
                changed(acme, tenant_config=defaults("sk-1")),
                changed(other, tenant_config=defaults("sk-2")),
                changed(third, status="inactive"),
            ]
        )

        revisions = dict(Tenant.objects.values_list("id", "defaults_revision"))
        assert revisions == {acme.id: epoch.current(), other.id: epoch.current(), third.id: 0}
        assert feed() == [("tenant", tenant.id, tenant.id) for tenant in (acme, other, third)]
        assert opened_config(acme) == defaults("sk-1")
        assert opened_config(other) == defaults("sk-2")
