"""The roles of operators: who gives them, who is told, and what ends with them."""

from __future__ import annotations

import json
import re

import pytest

from accounts import services
from accounts.mail.sender import send_due
from accounts.models import TokenSession, User
from accounts.operator_roles import OperatorRole
from accounts.tests.threads import at_once
from core.actor import Actor, ActorKind
from core.errors import Conflict, Forbidden
from core.models import AuditEntry
from tests.support.commands import run
from tests.support.mail import Mailbox, parts
from tests.support.operators import Operator, sign_in, url
from tests.support.people import OPERATOR, Person

pytestmark = pytest.mark.django_db


def role_of(user: User) -> OperatorRole | None:
    return User.objects.get(pk=user.pk).operator_role


def is_signed_in(operator: Operator) -> bool:
    return bool(operator.client.get("/admin/").status_code == 200)


def act(operator: Operator, action: str, *people: Person | Operator) -> str:
    """Run an action of the list of users, and return the page that follows."""
    fields = {"action": action, "_selected_action": [person.user.pk for person in people]}
    return operator.client.post(url(User), fields, follow=True).content.decode()


class TestPage:
    def test_admin_gives_each_role_and_takes_it_away(self, olivia: Operator, alice: Person) -> None:
        for role in [*OperatorRole, OperatorRole.SUPPORT, None]:
            assert olivia.submit(url(alice.user, "role"), role=role or "")["Location"] == url(alice.user, "change")
            assert role_of(alice.user) == role

        entries = AuditEntry.objects.filter(action="user.update", actor_id=olivia.user.pk).order_by("id")
        assert [entry.after for entry in entries] == [
            {"operator_role": role} for role in ("viewer", "support", "admin", "support", None)
        ]

    def test_same_role_changes_nothing(self, olivia: Operator) -> None:
        audited = AuditEntry.objects.count()

        olivia.submit(url(olivia.user, "role"))

        assert AuditEntry.objects.count() == audited
        assert is_signed_in(olivia)

    def test_unknown_role_is_a_form_error(self, olivia: Operator, alice: Person) -> None:
        assert olivia.submit(url(alice.user, "role"), role="emperor").status_code == 200
        assert role_of(alice.user) is None

    def test_last_admin_stays(self, olivia: Operator) -> None:
        sign_in("sam", role=OperatorRole.SUPPORT)
        User.objects.filter(pk=sign_in("former").user.pk).update(is_active=False)

        for page, fields in (
            (url(olivia.user, "role"), {"role": "support"}),
            (url(olivia.user, "change"), {"is_active": []}),
        ):
            assert "This is the last active admin" in olivia.submit(page, **fields).content.decode()

        assert role_of(olivia.user) == OperatorRole.ADMIN
        assert is_signed_in(olivia)

    def test_column_names_the_roles(self, olivia: Operator) -> None:
        sign_in("sam", role=OperatorRole.SUPPORT)

        page = olivia.get(url(User)).content.decode()

        assert re.findall(r"field-operator_role[^>]*>\s*(\w+)", page) == ["support", "admin"]


class TestService:
    def test_operator_who_is_no_admin_any_more_is_refused(self, alice: Person) -> None:
        for role in (OperatorRole.VIEWER, OperatorRole.SUPPORT):
            operator = services.create_user(actor=OPERATOR, username=role, password=None, operator_role=role)
            actor = Actor(kind=ActorKind.OPERATOR, id=operator.id)
            with pytest.raises(Forbidden):
                services.set_operator_role(actor=actor, user_id=alice.user.pk, role=OperatorRole.VIEWER)

        assert role_of(alice.user) is None

    def test_change_of_a_role_ends_the_sessions_in_the_admin_and_no_others(self, olivia: Operator) -> None:
        sam = sign_in("sam", role=OperatorRole.SUPPORT)
        services.sign_in(actor=OPERATOR, user=sam.user)

        services.set_operator_role(actor=OPERATOR, user_id=sam.user.pk, role=None)
        services.set_operator_role(actor=OPERATOR, user_id=sam.user.pk, role=OperatorRole.SUPPORT)

        assert not is_signed_in(sam)
        assert TokenSession.objects.filter(user=sam.user).exists()

    def test_change_is_told_by_mail(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        for role in (OperatorRole.SUPPORT, None):
            services.set_operator_role(actor=OPERATOR, user_id=alice_with_email.user.pk, role=role)

        assert send_due() == 2
        assert mailbox.subjects == ["Your role in the admin was changed"] * 2
        given, taken = (parts(mail)[0] for mail in mailbox.mails)
        assert "from now on: support" in given
        assert "You are no operator any more" in taken

    @pytest.mark.django_db(transaction=True)
    def test_of_two_admins_who_demote_each_other_one_stays(self) -> None:
        admins = [
            services.create_user(actor=OPERATOR, username=name, password=None, operator_role=OperatorRole.ADMIN)
            for name in ("olivia", "oscar")
        ]

        def demote(other: User, by: User) -> str:
            actor = Actor(kind=ActorKind.OPERATOR, id=by.id)
            try:
                services.set_operator_role(actor=actor, user_id=other.pk, role=None)
            except (Forbidden, Conflict):
                return "refused"
            return "done"

        outcomes = at_once(lambda: demote(admins[0], admins[1]), lambda: demote(admins[1], admins[0]))

        assert sorted(outcomes) == ["done", "refused"]
        assert [role_of(admin) for admin in admins].count(OperatorRole.ADMIN) == 1


class TestSupport:
    @pytest.fixture
    def sam(self, db: None) -> Operator:
        return sign_in("sam", role=OperatorRole.SUPPORT)

    def test_deactivates_people(self, sam: Operator, alice: Person) -> None:
        act(sam, "deactivate", alice)

        assert not User.objects.get(pk=alice.user.pk).is_active
        assert sam.audit_of("user.update").after == {"is_active": False}

    def test_deactivates_no_operator_and_then_nobody(self, sam: Operator, olivia: Operator, alice: Person) -> None:
        assert "an admin has to take the role away first" in act(sam, "deactivate", alice, olivia)

        assert not User.objects.filter(is_active=False).exists()

    def test_ends_all_sessions(self, sam: Operator, olivia: Operator, alice: Person) -> None:
        act(sam, "end_sessions", alice, olivia)

        assert alice.client.get("/api/v1/auth/me").status_code == 401
        assert not is_signed_in(olivia)
        ended = AuditEntry.objects.filter(action="user.end_sessions", actor_id=sam.user.pk)
        assert set(ended.values_list("object_id", flat=True)) == {alice.user.pk, olivia.user.pk}


class TestCommand:
    def test_role_is_set_and_listed(self, alice: Person) -> None:
        assert run("operators", "set-role", "ALICE", "support").out == "The role is support now\n"
        assert role_of(alice.user) == OperatorRole.SUPPORT
        listed = json.loads(run("operators", "list", "--json").out)
        assert listed == {"items": [{"id": alice.user.pk, "username": "alice", "role": "support", "is_active": True}]}
        assert "support" in run("operators", "list").out

        assert run("operators", "set-role", "alice", "none").out == "No operator any more\n"
        assert role_of(alice.user) is None
        assert AuditEntry.objects.filter(actor_label="manage.py operators set-role").count() == 2

    def test_last_admin_stays(self, olivia: Operator) -> None:
        outcome = run("operators", "set-role", "olivia", "viewer")

        assert (outcome.status, "last active admin" in outcome.err) == (1, True)

    def test_unknown_user_is_3(self) -> None:
        assert run("operators", "set-role", "nobody", "viewer").status == 3
