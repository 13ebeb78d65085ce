"""Users in the operators' admin, and its login."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.db import connection

from accounts import throttle
from accounts.models import TokenSession, User
from core.errors import Unavailable
from core.models import AuditEntry
from core.setting_types import AuthRate
from tests.support.client import SurfaceClient, context_of
from tests.support.operators import Operator, errors_of, sign_in, url
from tests.support.people import PASSWORD, Person
from tests.support.server import MaimServer

pytestmark = pytest.mark.django_db
LOGIN = "/admin/login/?next=/admin/"
NEW_PASSWORD = "correct horse battery"


def log_in(username: str, password: str = PASSWORD) -> Any:
    return SurfaceClient().post(LOGIN, {"username": username, "password": password})


# ---- signing in


@pytest.mark.embedded
def test_visitor_is_redirected_to_the_login_page(public: SurfaceClient) -> None:
    response = public.get("/admin/")

    assert (response.status_code, response["Location"]) == (302, "/admin/login/?next=/admin/")


@pytest.mark.embedded
def test_user_without_is_staff_cannot_log_in(alice: Person) -> None:
    assert "correct username and password for a staff account" in log_in("alice").content.decode()

    client = SurfaceClient()
    client.force_login(alice.user)

    assert client.get(url(User))["Location"].startswith("/admin/login/")


@pytest.mark.embedded
def test_access_token_does_not_authenticate(alice: Person, olivia: Operator) -> None:
    User.objects.filter(pk=alice.user.pk).update(is_staff=True, is_superuser=True)

    assert alice.client.get("/admin/").status_code == 302


@pytest.mark.embedded
def test_wrong_password_is_a_form_error(olivia: Operator) -> None:
    response = log_in("olivia", "wrong password")

    assert response.status_code == 200
    assert "correct username and password" in response.content.decode()


def test_too_many_attempts_are_a_form_error(olivia: Operator, settings: Any) -> None:
    settings.REDIS_URL = None
    settings.AUTH_RATE = AuthRate(2, 60)
    throttle._memory_limiter().storage.reset()

    answers = [log_in("olivia", "wrong password") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200] * 3
    assert ["Too many attempts" in answer.content.decode() for answer in answers] == [False, False, True]


@pytest.mark.embedded
def test_full_hashing_queue_is_a_form_error(olivia: Operator, settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["accounts.tests.test_admin.FullHasher"]

    response = log_in("nobody", "wrong password")

    assert response.status_code == 200
    assert "Too many people are signing in" in response.content.decode()


@pytest.mark.embedded
def test_the_sign_in_page_has_the_name_of_the_site(public: SurfaceClient) -> None:
    assert "maim" in context_of(public.get(LOGIN))["site_header"]


# ---- users


@pytest.mark.embedded
def test_operator_adds_a_user(olivia: Operator) -> None:
    response = olivia.add(User, username="dora", email="dora@example.org", password=PASSWORD, password_again=PASSWORD)

    dora = User.objects.get(username="dora")
    assert response["Location"] == url(User)
    assert (dora.email, dora.is_active, dora.operator_role) == ("dora@example.org", True, None)
    assert dora.check_password(PASSWORD)
    entry = olivia.audit_of("user.create")
    assert entry.object_id == dora.pk
    assert "password" not in str(entry.after)


@pytest.mark.embedded
@pytest.mark.parametrize(
    ("fields", "field", "sentence"),
    [
        ({"username": "ALICE"}, "username", "This username is already taken"),
        ({"username": "a\u3000b"}, "username", "The username may hold printable characters only"),
        ({"username": ""}, "username", "This field is required."),
        ({"email": "no address"}, "email", "Enter a valid email address."),
        ({"password": "short", "password_again": "short"}, "password", "The password must have at least 8 characters"),
        ({"password_again": "another password"}, "password_again", "The two passwords differ"),
    ],
)
def test_invalid_new_user_is_refused(
    olivia: Operator, alice: Person, fields: dict[str, str], field: str, sentence: str
) -> None:
    before = AuditEntry.objects.count()
    good = {"username": "dora", "email": "", "password": PASSWORD, "password_again": PASSWORD}

    response = olivia.add(User, **{**good, **fields})

    assert errors_of(response) == {field: [sentence]}
    assert PASSWORD not in response.content.decode()
    assert (User.objects.count(), AuditEntry.objects.count()) == (2, before)


@pytest.mark.django_db(transaction=True)
def test_password_is_hashed_outside_of_transactions(olivia: Operator, settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["accounts.tests.test_admin.NoticingHasher"]

    olivia.add(User, username="dora", password=PASSWORD, password_again=PASSWORD)
    dora = User.objects.get(username="dora")
    olivia.submit(url(dora, "password"), password=NEW_PASSWORD, password_again=NEW_PASSWORD)

    assert NoticingHasher.in_transaction == [False, False]


@pytest.mark.embedded
def test_operator_changes_a_user(olivia: Operator, alice: Person) -> None:
    olivia.change(alice.user, email="alice@example.org", key_notices=[])

    alice.user.refresh_from_db()
    assert (alice.user.email, alice.user.key_notices, alice.user.is_active) == ("alice@example.org", False, True)
    entry = olivia.audit_of("user.update")
    assert entry.before == {"email": None, "key_notices": True}
    assert entry.after == {"email": "alice@example.org", "key_notices": False}


@pytest.mark.embedded
def test_deactivated_user_is_signed_out(olivia: Operator, alice: Person) -> None:
    olivia.change(alice.user, is_active=[])

    assert olivia.audit_of("user.update").after == {"is_active": False}
    assert alice.client.get("/api/v1/auth/me").status_code == 401


def test_taken_email_is_a_form_error(olivia: Operator, alice: Person, charlie: Person) -> None:
    olivia.change(alice.user, email="one@example.org")

    response = olivia.change(charlie.user, email="ONE@example.org")

    assert errors_of(response) == {"email": ["This e-mail address is already registered"]}
    assert User.objects.get(pk=charlie.user.pk).email is None


@pytest.mark.embedded
def test_unchanged_form_changes_nothing(olivia: Operator, alice: Person) -> None:
    before = AuditEntry.objects.count()

    assert olivia.change(alice.user).status_code == 302
    assert AuditEntry.objects.count() == before


@pytest.mark.embedded
def test_operator_sets_a_password(olivia: Operator, alice: Person) -> None:
    page = url(alice.user, "password")
    assert page in olivia.get(url(alice.user, "change")).content.decode()

    response = olivia.submit(page, password=NEW_PASSWORD, password_again=NEW_PASSWORD)

    assert response["Location"] == url(alice.user, "change")
    assert User.objects.get(pk=alice.user.pk).check_password(NEW_PASSWORD)
    assert not TokenSession.objects.filter(user=alice.user).exists()
    entry = olivia.audit_of("user.password")
    assert (entry.object_id, entry.before, entry.after) == (alice.user.pk, None, None)


@pytest.mark.embedded
def test_weak_password_is_a_form_error(olivia: Operator, alice: Person) -> None:
    page = url(alice.user, "password")

    response = olivia.submit(page, password="short", password_again="short")

    assert "The password must have at least 8 characters" in response.content.decode()
    assert User.objects.get(pk=alice.user.pk).check_password(PASSWORD)


@pytest.mark.embedded
def test_operator_changes_their_own_password_and_stays_signed_in(olivia: Operator) -> None:
    response = olivia.submit(
        "/admin/password_change/", old_password=PASSWORD, new_password1=NEW_PASSWORD, new_password2=NEW_PASSWORD
    )

    assert response["Location"] == "/admin/password_change/done/"
    assert log_in("olivia", NEW_PASSWORD).status_code == 302
    olivia.audit_of("user.password")
    olivia.get("/admin/password_change/done/")


@pytest.mark.embedded
@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("wrong password", NEW_PASSWORD, "The old password is not correct"),
        (PASSWORD, "short", "The password must have at least 8 characters"),
    ],
)
def test_refused_own_password_is_a_form_error(olivia: Operator, old: str, new: str, sentence: str) -> None:
    response = olivia.submit("/admin/password_change/", old_password=old, new_password1=new, new_password2=new)

    assert sentence in response.content.decode()
    assert User.objects.get(pk=olivia.user.pk).check_password(PASSWORD)


def test_wrong_old_passwords_are_throttled(olivia: Operator, settings: Any) -> None:
    settings.REDIS_URL = None
    settings.AUTH_RATE = AuthRate(1, 60)
    throttle._memory_limiter().storage.reset()
    fields = {"old_password": "wrong", "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}

    answers = [olivia.submit("/admin/password_change/", **fields).content.decode() for _ in range(2)]

    assert ["Too many attempts" in answer for answer in answers] == [False, True]


@pytest.mark.embedded
def test_operator_deletes_a_user_without_tenants(olivia: Operator, alice: Person) -> None:
    alice.tenant.delete()

    response = olivia.delete(alice.user)

    assert response["Location"] == url(User)
    assert not User.objects.filter(pk=alice.user.pk).exists()
    assert olivia.audit_of("user.delete").before == {
        "username": "alice",
        "email": None,
        "key_notices": True,
        "is_active": True,
        "operator_role": None,
    }


@pytest.mark.embedded
def test_owner_of_a_tenant_cannot_be_deleted(olivia: Operator, alice: Person) -> None:
    page = olivia.get(url(alice.user, "delete")).content.decode()
    assert "would require deleting the following protected related objects" in page
    assert "alice&#x27;s Personal Tenant" in page

    olivia.client.post(url(alice.user, "delete"), {"post": "yes"})

    assert User.objects.filter(pk=alice.user.pk).exists()


@pytest.mark.django_db(transaction=True)
def test_deletion_is_refused_if_the_user_got_a_tenant_meanwhile(
    olivia: Operator, alice: Person, charlie: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    charlie.tenant.delete()
    # What the confirmation page knew, before Alice got her tenant.
    monkeypatch.setattr("accounts.admin.UserAdmin.get_deleted_objects", lambda *args: ([], {}, set(), []))

    for response in (
        olivia.client.post(url(alice.user, "delete"), {"post": "yes"}, follow=True),
        olivia.client.post(
            url(User),
            {"action": "delete_selected", "_selected_action": [charlie.user.pk, alice.user.pk], "post": "yes"},
            follow=True,
        ),
    ):
        assert "Not deleted: \u2068alice\u2069 still owns tenants, delete those first" in response.content.decode()
    assert User.objects.filter(pk__in=[alice.user.pk, charlie.user.pk]).count() == 2
    assert not AuditEntry.objects.filter(action="user.delete").exists()


@pytest.mark.embedded
def test_operators_delete_users_in_bulk(olivia: Operator, alice: Person, charlie: Person) -> None:
    for person in (alice, charlie):
        person.tenant.delete()
    assert "alice" in olivia.act("delete_selected", alice.user, charlie.user).content.decode()

    rows = [alice.user.pk, charlie.user.pk]
    olivia.client.post(url(User), {"action": "delete_selected", "_selected_action": rows, "post": "yes"})

    assert not User.objects.filter(pk__in=rows).exists()
    deleted = AuditEntry.objects.filter(action="user.delete", actor_kind="operator", actor_id=olivia.user.pk)
    assert sorted(deleted.values_list("object_id", flat=True)) == sorted(rows)


def test_users_are_found_by_name_in_any_case(olivia: Operator, alice: Person, charlie: Person) -> None:
    sign_in("Ödön")

    def found(q: str) -> list[str]:
        return [user.username for user in olivia.get(url(User), q=q).context_data["cl"].result_list]

    assert found("ALIC") == ["alice"]
    assert found("öDÖ") == ["Ödön"]
    assert found(alice.user.pk) == ["alice"]


@pytest.mark.embedded
def test_operator_with_read_access_cannot_set_a_password(alice: Person) -> None:
    oscar = sign_in("oscar", is_superuser=False)
    page = url(alice.user, "password")

    assert oscar.client.get(page).status_code == 403
    assert page not in oscar.get(url(alice.user, "change")).content.decode()
    assert oscar.client.post(page, {"password": NEW_PASSWORD, "password_again": NEW_PASSWORD}).status_code == 403
    assert User.objects.get(pk=alice.user.pk).check_password(PASSWORD)


class NoticingHasher(MD5PasswordHasher):
    """A hasher that records whether a transaction is open."""

    in_transaction: ClassVar[list[bool]] = []

    def encode(self, password: str, salt: str) -> str:
        self.in_transaction.append(connection.in_atomic_block)
        return super().encode(password, salt)


class FullHasher:
    """A hasher with a full queue."""

    algorithm = "full"

    def encode(self, password: str, salt: str) -> str:
        raise Unavailable("Too many people are signing in at this moment, try again shortly")

    def salt(self) -> str:
        return "salt"


@pytest.mark.embedded
def test_login_page_works_on_a_real_server(server: MaimServer) -> None:
    server.manage(
        "createsuperuser",
        "--noinput",
        DJANGO_SUPERUSER_USERNAME="real",
        DJANGO_SUPERUSER_PASSWORD=PASSWORD,
        DJANGO_SUPERUSER_EMAIL="real@example.org",
    )
    with server.client() as client:
        page = client.get(LOGIN)
        fields = {"username": "real", "password": PASSWORD, "csrfmiddlewaretoken": client.cookies["csrftoken"]}

        assert client.get("/static/admin/css/base.css").status_code == 200
        assert page.status_code == 200
        assert client.post(LOGIN, data=fields, headers={"Referer": str(page.url)}).headers["Location"] == "/admin/"
        assert client.get("/admin/").status_code == 200


@pytest.mark.embedded
def test_slash_after_admin_is_optional(public: SurfaceClient, olivia: Operator) -> None:
    assert public.send("GET", "/admin")["Location"].startswith("/admin/login/")
    assert olivia.client.send("GET", "/admin").status_code == 200
