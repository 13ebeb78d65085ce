"""Bulk import of users from another system."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError
from django.db.models import QuerySet

from accounts import services
from accounts.bulk_import import former_password, import_users
from accounts.models import TokenSession, User
from accounts.operator_roles import OperatorRole
from core.db import RowUpdate
from core.models import AuditEntry
from tests.support.client import SurfaceClient
from tests.support.people import OPERATOR, Person

pytestmark = pytest.mark.django_db
LONG_AGO = datetime(2024, 2, 29, 8, 30, tzinfo=UTC)
HASH = former_password(f"$2b$12${'u' * 53}")
ANOTHER_HASH = former_password(f"$2b$12${'e' * 53}")


def unsaved(name: str, *, email: str | None = None, **fields: Any) -> User:
    """Return an unsaved user as imported."""
    user = User(**{"password": HASH, "created_at": LONG_AGO, **fields})
    user.set_username(name)
    user.set_email(email)
    return user


def imported(name: str, **fields: Any) -> User:
    """Store a user who was imported before."""
    user = unsaved(name, **fields)
    import_rows(new=[user])
    QuerySet(AuditEntry).delete()
    return User.objects.get(pk=user.pk)


def changed(stored: User, **wanted: Any) -> RowUpdate[User]:
    """Return an update of a stored user."""
    row = User.objects.get(pk=stored.pk)
    same = {"email": row.email, "password": row.password, "is_active": row.is_active, "created_at": row.created_at}
    return RowUpdate(row, unsaved(wanted.pop("name", row.username), id=row.id, **{**same, **wanted}))


def import_rows(*, new: Sequence[User] = (), rows: Sequence[RowUpdate[User]] = ()) -> None:
    import_users(actor=OPERATOR, new=new, changed=rows)


def signed_in(user: User) -> str:
    """Sign a user in, and return the access token."""
    return services.sign_in(actor=OPERATOR, user=user).access


def is_signed_in(token: str) -> bool:
    status: int = SurfaceClient(token=token).get("/api/v1/auth/me").status_code
    assert status in (200, 401)
    return status == 200


def audited() -> list[tuple[str, str, Any, Any]]:
    rows = AuditEntry.objects.order_by("pk")
    assert {(row.object_type, row.tenant_id, row.actor_kind) for row in rows} <= {("user", None, "command")}
    return [(row.action, row.object_id, row.before, row.after) for row in rows]


class TestNewUsers:
    def test_user_is_stored_as_given(self) -> None:
        alice = unsaved("Alice", email="Alice@Example.org", is_active=False, id="u-1")
        bob = unsaved("bob")

        import_rows(new=[alice, bob])

        stored = User.objects.get(pk="u-1")
        assert (stored.username, stored.username_folded) == ("Alice", "alice")
        assert (stored.email, stored.email_folded) == ("Alice@Example.org", "alice@example.org")
        assert (stored.password, stored.is_active, stored.created_at) == (HASH, False, LONG_AGO)
        assert (stored.is_staff, stored.is_superuser) == (False, False)
        assert User.objects.get(username="bob").email is None

    def test_each_user_has_an_audit_entry_without_the_password(self) -> None:
        import_rows(new=[unsaved("alice", id="u-1"), unsaved("bob", id="u-2", email="bob@example.org")])

        kept = {"email": None, "is_active": True, "operator_role": None, "key_notices": True}
        assert audited() == [
            ("user.import", "u-1", None, {**kept, "username": "alice"}),
            ("user.import", "u-2", None, {**kept, "username": "bob", "email": "bob@example.org"}),
        ]

    def test_taken_name_refuses_the_whole_import(self, alice: Person) -> None:
        with pytest.raises(IntegrityError):
            import_rows(new=[unsaved("bob"), unsaved("ALICE")])


class TestChangedUsers:
    def test_user_gets_the_values_of_the_target(self) -> None:
        alice = imported("alice", email="alice@example.org")

        earlier = LONG_AGO - timedelta(days=1)
        import_rows(
            rows=[changed(alice, name="Alicia", email=None, password=ANOTHER_HASH, is_active=False, created_at=earlier)]
        )

        alice.refresh_from_db()
        assert (alice.username, alice.username_folded, alice.email, alice.email_folded) == (
            "Alicia",
            "alicia",
            None,
            None,
        )
        assert (alice.password, alice.is_active, alice.created_at) == (ANOTHER_HASH, False, earlier)

    def test_user_keeps_fields_that_are_not_imported(self) -> None:
        alice = imported("alice")
        services.set_operator_role(actor=OPERATOR, user_id=alice.id, role=OperatorRole.ADMIN)
        seen_at = LONG_AGO + timedelta(days=1)
        User.objects.update(last_login=seen_at)

        import_rows(rows=[changed(alice, name="Alicia")])

        alice.refresh_from_db()
        assert (alice.is_staff, alice.is_superuser, alice.last_login) == (True, True, seen_at)

    def test_audit_entry_has_only_the_changed_fields(self) -> None:
        alice, bob = imported("alice", email="alice@example.org"), imported("bob")

        import_rows(rows=[changed(alice, email="alicia@example.org"), changed(bob, name="Bob", is_active=False)])

        assert audited() == [
            ("user.import", alice.id, {"email": "alice@example.org"}, {"email": "alicia@example.org"}),
            ("user.import", bob.id, {"username": "bob", "is_active": True}, {"username": "Bob", "is_active": False}),
        ]

    def test_audit_log_has_no_password(self) -> None:
        alice = imported("alice")

        import_rows(new=[unsaved("bob")], rows=[changed(alice, password=ANOTHER_HASH)])

        assert [action for action, *_rest in audited()] == ["user.import", "user.import", "user.password"]
        assert "$2b$" not in json.dumps(audited())

    def test_users_may_swap_names_and_addresses(self) -> None:
        alice, bob = imported("alice", email="alice@example.org"), imported("bob", email="bob@example.org")

        import_rows(
            rows=[
                changed(alice, name="Bob", email="bob@example.org"),
                changed(bob, name="alice", email="alice@example.org"),
            ]
        )

        found = User.objects.values_list("id", "username", "username_folded", "email_folded")
        assert set(found) == {
            (alice.id, "Bob", "bob", "bob@example.org"),
            (bob.id, "alice", "alice", "alice@example.org"),
        }

    def test_password_changed_meanwhile_is_kept(self) -> None:
        alice = imported("alice")
        row = changed(alice, email="new@example.org")
        services.set_password(actor=OPERATOR, user=alice, password="chosen meanwhile")

        import_rows(rows=[row])

        stored = User.objects.get(pk=alice.pk)
        assert stored.email == "new@example.org"
        assert stored.check_password("chosen meanwhile")

    def test_user_deleted_meanwhile_is_left_out(self) -> None:
        alice, bob = imported("alice"), imported("bob")
        rows = [changed(alice, name="Alicia"), changed(bob, name="Robert")]
        services.delete_user(actor=OPERATOR, user_id=alice.pk)

        import_rows(rows=rows)

        assert [user.username for user in User.objects.all()] == ["Robert"]

    def test_address_may_pass_to_another_user(self) -> None:
        alice, bob = imported("alice", email="a@example.org"), imported("bob")

        import_rows(rows=[changed(bob, email="a@example.org"), changed(alice, email=None)])

        assert dict(User.objects.values_list("id", "email_folded")) == {alice.id: None, bob.id: "a@example.org"}


class TestSessions:
    @pytest.mark.parametrize("what", [{"password": ANOTHER_HASH}, {"is_active": False}])
    def test_sessions_end_with_a_new_password_and_with_a_deactivation(self, what: dict[str, Any]) -> None:
        alice, bob = imported("alice"), imported("bob")
        tokens = [signed_in(alice), signed_in(alice)]
        bobs = signed_in(bob)

        import_rows(rows=[changed(alice, **what), changed(bob, name="Robert")])

        assert [is_signed_in(token) for token in tokens] == [False, False]
        assert is_signed_in(bobs)
        assert list(TokenSession.objects.values_list("user", flat=True)) == [bob.id]

    @pytest.mark.parametrize("what", [{"name": "Alicia"}, {"email": "new@example.org"}, {"created_at": LONG_AGO}, {}])
    def test_sessions_survive_other_changes(self, what: dict[str, Any]) -> None:
        alice = imported("alice")
        token = signed_in(alice)

        import_rows(rows=[changed(alice, **what)])

        assert is_signed_in(token)

    def test_sessions_stay_ended_after_reactivation(self) -> None:
        alice = imported("alice", is_active=False)

        import_rows(rows=[changed(alice, is_active=True)])

        assert User.objects.get(pk=alice.pk).is_active
        assert not TokenSession.objects.exists()
