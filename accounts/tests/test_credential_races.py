"""Sign-ins, refreshes and password changes that run while the password or the account changes.

A test pauses one request just after it has checked a password, makes the change, and resumes the request.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from copy import copy
from functools import partial
from typing import Any

import bcrypt
import pytest
from django.contrib.auth import hashers
from django.core.management import call_command

from accounts import services, tokens
from accounts.bulk_import import former_password, import_users
from accounts.models import TokenSession, User
from accounts.operator_roles import OperatorRole
from accounts.tests.threads import HELD_UP, Pause, at_once, on_own_connection
from core.actor import Actor, ActorKind
from core.db import RowUpdate
from core.errors import NotFound
from core.models import AuditEntry
from tests.support.client import SurfaceClient
from tests.support.instances import WAIT
from tests.support.operators import Operator, url
from tests.support.operators import sign_in as sign_in_operator
from tests.support.people import OPERATOR, PASSWORD, Person, register

pytestmark = pytest.mark.django_db(transaction=True)
NEW_PASSWORD = "another password"
LAST_PASSWORD = "the last password"
PBKDF2 = "django.contrib.auth.hashers.PBKDF2PasswordHasher"
MD5 = "django.contrib.auth.hashers.MD5PasswordHasher"
BCRYPT = "accounts.hashers.FormerPasswordHasher"


@pytest.fixture
def after_check(monkeypatch: pytest.MonkeyPatch) -> Pause:
    """A pause of a request that has just compared a password with its hash."""
    pause = Pause()
    monkeypatch.setattr(hashers, "verify_password", pause.after(hashers.verify_password))
    return pause


@pytest.fixture
def checking_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A barrier at which two requests wait after comparing their passwords. Later comparisons pass."""
    both, verify = threading.Barrier(2), hashers.verify_password
    seen = threading.local()

    def together(*args: Any, **kwargs: Any) -> Any:
        result = verify(*args, **kwargs)
        if threading.current_thread() is not threading.main_thread() and not getattr(seen, "value", False):
            seen.value = True
            both.wait(WAIT)
        return result

    monkeypatch.setattr(hashers, "verify_password", together)


def post(path: str, body: Any, token: str | None = None) -> Any:
    return SurfaceClient(token=token).send("POST", f"/api/v1/auth/{path}", body)


def login(password: str = PASSWORD) -> Any:
    return post("login", {"username": "alice", "password": password})


def is_refused(response: Any) -> bool:
    return bool(
        response.status_code == 400
        and response.json()["code"] == "VALIDATION_ERROR"
        and response.json()["detail"] == "Incorrect username or password"
    )


def is_signed_in(response: Any) -> bool:
    """Return whether the tokens of a login or refresh are valid."""
    if response.status_code != 200:
        return False
    me = SurfaceClient(token=response.json()["access_token"]).get("/api/v1/auth/me")
    assert me.status_code in (200, 401)
    return bool(me.status_code == 200)


# ---- what may happen to an account meanwhile


def set_password(user_id: str, password: str) -> None:
    services.set_password(actor=OPERATOR, user=User.objects.get(pk=user_id), password=password)


def change_own_password(user: User) -> None:
    services.change_password(
        actor=Actor(kind=ActorKind.USER, id=user.pk),
        user=User.objects.get(pk=user.pk),
        old_password=PASSWORD,
        new_password=NEW_PASSWORD,
        keep_session=None,
    )


def set_password_in_admin(user: User) -> None:
    operator = sign_in_operator("oscar")
    fields = {"password": NEW_PASSWORD, "password_again": NEW_PASSWORD}
    assert operator.client.post(f"{url(user, 'change').removesuffix('change/')}password/", fields).status_code == 302


def set_password_by_command(user: User) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("getpass.getpass", lambda prompt: NEW_PASSWORD)
        call_command("changepassword", user.username)


def set_password_in_shell(user: User) -> None:
    stored = User.objects.get(pk=user.pk)
    stored.set_password(NEW_PASSWORD)
    stored.save()


def _import(user: User, **fields: Any) -> None:
    stored = User.objects.get(pk=user.pk)
    wanted = copy(stored)
    for name, value in fields.items():
        setattr(wanted, name, value)
    import_users(actor=OPERATOR, new=[], changed=[RowUpdate(stored, wanted)])


def import_password(user: User) -> None:
    _import(user, password=hashers.make_password(NEW_PASSWORD))


def _set_active(user: User, is_active: bool) -> None:
    services.update_user(actor=OPERATOR, user_id=user.pk, changes={"is_active": is_active})


def deactivate(user: User) -> None:
    _set_active(user, False)


def deactivate_and_activate(user: User) -> None:
    _set_active(user, False)
    _set_active(user, True)


def deactivate_and_activate_by_import(user: User) -> None:
    _import(user, is_active=False)
    _import(user, is_active=True)


PASSWORD_CHANGES = (
    change_own_password,
    set_password_in_admin,
    set_password_by_command,
    set_password_in_shell,
    import_password,
)
DEACTIVATIONS = (deactivate, deactivate_and_activate, deactivate_and_activate_by_import)
Change = Callable[[User], None]


class TestSignIn:
    @pytest.mark.parametrize("change", PASSWORD_CHANGES + DEACTIVATIONS)
    def test_sign_in_under_way_is_refused_after_the_change(
        self, alice: Person, after_check: Pause, change: Change
    ) -> None:
        with after_check.run(login) as under_way:
            change(alice.user)
        response = under_way.result(WAIT)

        assert is_refused(response), response.content
        if change is not set_password_in_shell:  # which ends no sessions, as nothing of ours hears of it
            assert not TokenSession.objects.filter(user=alice.user).exists()

    def test_sign_in_under_way_is_refused_when_the_user_is_deleted(self, db: None, after_check: Pause) -> None:
        user = services.create_user(actor=OPERATOR, username="alice", password=PASSWORD)

        with after_check.run(login) as under_way:
            services.delete_user(actor=OPERATOR, user_id=user.pk)

        assert is_refused(under_way.result(WAIT))

    def test_refused_sign_in_leaves_no_audit_row(self, alice: Person, after_check: Pause) -> None:
        before = AuditEntry.objects.filter(action="session.create").count()

        with after_check.run(login):
            change_own_password(alice.user)

        assert AuditEntry.objects.filter(action="session.create").count() == before

    def test_sign_in_under_way_survives_changes_that_end_no_session(self, alice: Person, after_check: Pause) -> None:
        with after_check.run(login) as under_way:
            services.update_user(actor=OPERATOR, user_id=alice.user.pk, changes={"email": "alice@example.com"})
            assert login().status_code == 200

        assert is_signed_in(under_way.result(WAIT))

    def test_new_password_signs_in_afterwards(self, alice: Person, after_check: Pause) -> None:
        with after_check.run(login):
            change_own_password(alice.user)

        assert is_signed_in(login(NEW_PASSWORD))
        assert is_refused(login())

    def test_no_old_sign_in_survives_a_change_in_many_rounds(self, db: None) -> None:
        old, new = PASSWORD, NEW_PASSWORD
        user = register("alice").user
        for _ in range(12):
            # Alternately before and after: threads start in order, and none waits for another.
            answers = at_once(
                partial(login, old),
                partial(set_password, user.pk, new),
                partial(login, old),
            )
            assert not any(is_signed_in(answer) for answer in (answers[0], answers[2]))
            assert is_signed_in(login(new))
            old, new = new, old


class TestAdminSignIn:
    @pytest.fixture(autouse=True)
    def _another_admin(self, olivia: Operator) -> None:
        """Somebody who stays an admin when Olivia is deactivated, because one has to."""
        services.create_user(actor=OPERATOR, username="stays", password=None, operator_role=OperatorRole.ADMIN)

    @staticmethod
    def is_inside(client: SurfaceClient) -> bool:
        status = client.get("/admin/").status_code
        assert status in (200, 302)
        return bool(status == 200)

    @pytest.mark.parametrize("change", PASSWORD_CHANGES + DEACTIVATIONS)
    def test_sign_in_under_way_opens_no_session(self, olivia: Operator, after_check: Pause, change: Change) -> None:
        other = SurfaceClient()

        with after_check.run(lambda: other.post("/admin/login/", {"username": "olivia", "password": PASSWORD})):
            change(olivia.user)

        assert not self.is_inside(other)
        _set_active(olivia.user, True)
        assert not self.is_inside(other)

    @pytest.mark.parametrize("change", PASSWORD_CHANGES + DEACTIVATIONS)
    def test_session_ends_for_good(self, olivia: Operator, change: Change) -> None:
        assert self.is_inside(olivia.client)

        change(olivia.user)

        assert not self.is_inside(olivia.client)
        _set_active(olivia.user, True)
        assert not self.is_inside(olivia.client)

    def test_session_outlives_other_changes(self, olivia: Operator) -> None:
        services.update_user(actor=OPERATOR, user_id=olivia.user.pk, changes={"email": "olivia@example.com"})

        assert self.is_inside(olivia.client)

    def test_session_ends_for_good_under_a_former_secret_key(self, olivia: Operator, settings: Any) -> None:
        """Django also accepts sessions signed with a key of SECRET_KEY_FALLBACKS."""
        settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
        settings.SECRET_KEY = "a new key, which is as long as they ought to be"
        user = User.objects.get(pk=olivia.user.pk)
        (before,) = user.get_session_auth_fallback_hash()

        deactivate_and_activate(user)

        (after,) = User.objects.get(pk=user.pk).get_session_auth_fallback_hash()
        assert before != after


class TestHashUpgrade:
    @pytest.fixture(params=["bcrypt", "fewer iterations"])
    def alice_before(self, request: pytest.FixtureRequest, alice: Person, settings: Any) -> User:
        """Alice, whose password has a hash with an older algorithm or older parameters."""
        settings.PASSWORD_HASHERS = [MD5, BCRYPT]
        encoded = str(former_password(bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()))
        if request.param == "fewer iterations":
            settings.PASSWORD_HASHERS = [PBKDF2]
            encoded = hashers.PBKDF2PasswordHasher().encode(PASSWORD, "salt of the earlier hash", 10)
        User.objects.filter(pk=alice.user.pk).update(password=encoded)
        return User.objects.get(pk=alice.user.pk)

    @pytest.fixture(autouse=True)
    def _few_iterations(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hashers.PBKDF2PasswordHasher, "iterations", 100)

    @pytest.mark.parametrize("change", [change_own_password, set_password_in_admin, import_password])
    def test_upgrade_under_way_does_not_bring_the_old_password_back(
        self, alice_before: User, after_check: Pause, change: Change
    ) -> None:
        with after_check.run(login) as under_way:
            change(alice_before)

        assert is_refused(under_way.result(WAIT))
        assert is_refused(login())
        assert is_signed_in(login(NEW_PASSWORD))

    def test_upgrade_in_a_refused_password_change_does_not_bring_it_back(
        self, alice_before: User, alice: Person, after_check: Pause
    ) -> None:
        body = {"old_password": PASSWORD, "new_password": LAST_PASSWORD}

        with after_check.run(lambda: post("password", body, alice.token)) as under_way:
            set_password_in_admin(alice_before)

        assert under_way.result(WAIT).status_code == 400
        assert is_signed_in(login(NEW_PASSWORD))

    @pytest.mark.usefixtures("checking_together")
    def test_concurrent_sign_ins_both_succeed(self, alice_before: User) -> None:
        answers = at_once(login, login)

        assert [is_signed_in(answer) for answer in answers] == [True, True], [each.content for each in answers]
        assert User.objects.get(pk=alice_before.pk).password != alice_before.password

    def test_hash_is_upgraded_once(self, alice_before: User) -> None:
        user = User.objects.get(pk=alice_before.pk)
        assert user.check_password(PASSWORD)
        upgraded = user.password
        assert upgraded != alice_before.password
        assert User.objects.get(pk=user.pk).password == upgraded

        assert alice_before.check_password(PASSWORD), "who read the hash before the upgrade"
        assert (alice_before.password, User.objects.get(pk=user.pk).password) == (upgraded, upgraded)
        assert not user.check_password(NEW_PASSWORD)


class TestPasswordChange:
    def change(self, token: str, new_password: str) -> Any:
        return post("password", {"old_password": PASSWORD, "new_password": new_password}, token)

    @pytest.mark.usefixtures("checking_together")
    def test_one_of_two_concurrent_changes_wins(self, alice: Person) -> None:
        other = login().json()["access_token"]
        wanted = (NEW_PASSWORD, LAST_PASSWORD)

        answers = at_once(lambda: self.change(alice.token, wanted[0]), lambda: self.change(other, wanted[1]))

        assert Counter(answer.status_code for answer in answers) == {204: 1, 400: 1}
        won = [answer.status_code for answer in answers].index(204)
        assert list(answers[1 - won].json()["errors"]) == ["old_password"]
        assert is_signed_in(login(wanted[won]))
        assert is_refused(login(wanted[1 - won]))
        assert AuditEntry.objects.filter(action="user.password").count() == 1

    @pytest.mark.parametrize(
        "change", [set_password_in_admin, set_password_by_command, import_password, *DEACTIVATIONS]
    )
    def test_change_under_way_is_refused_after_another(self, alice: Person, after_check: Pause, change: Change) -> None:
        with after_check.run(lambda: self.change(alice.token, LAST_PASSWORD)) as under_way:
            change(alice.user)

        response = under_way.result(WAIT)
        assert (response.status_code, list(response.json()["errors"])) == (400, ["old_password"])
        _set_active(alice.user, True)
        assert is_refused(login(LAST_PASSWORD))

    def test_change_under_way_is_refused_when_the_user_is_deleted(self, db: None, after_check: Pause) -> None:
        user = services.create_user(actor=OPERATOR, username="alice", password=PASSWORD)
        token = services.sign_in(actor=OPERATOR, user=user).access

        with after_check.run(lambda: self.change(token, LAST_PASSWORD)) as under_way:
            services.delete_user(actor=OPERATOR, user_id=user.pk)

        assert under_way.result(WAIT).status_code == 400

    def test_change_in_the_admin_is_refused_after_another(self, olivia: Operator, after_check: Pause) -> None:
        fields = {"old_password": PASSWORD, "new_password1": LAST_PASSWORD, "new_password2": LAST_PASSWORD}

        with after_check.run(lambda: olivia.client.post("/admin/password_change/", fields)) as under_way:
            set_password_by_command(olivia.user)

        assert under_way.result(WAIT).status_code == 200, "the form again, and no redirect"
        assert User.objects.get(pk=olivia.user.pk).check_password(NEW_PASSWORD)
        assert olivia.client.get("/admin/").status_code == 302

    def test_operator_cannot_set_the_password_of_a_deleted_user(self, db: None) -> None:
        user = services.create_user(actor=OPERATOR, username="alice", password=PASSWORD)
        services.delete_user(actor=OPERATOR, user_id=user.pk)

        with pytest.raises(NotFound):
            services.set_password(actor=OPERATOR, user=user, password=NEW_PASSWORD)


class TestRefresh:
    CHANGES = (set_password_in_admin, set_password_by_command, import_password, *DEACTIVATIONS)

    @staticmethod
    def request(pair: tokens.TokenPair) -> Callable[[], Any]:
        return lambda: post("refresh", {"refresh_token": pair.refresh})

    @pytest.fixture
    def pair(self, alice: Person) -> tokens.TokenPair:
        return services.sign_in(actor=OPERATOR, user=alice.user)

    @pytest.mark.parametrize("change", CHANGES)
    def test_refresh_that_has_read_its_token_is_refused_after_the_change(
        self, alice: Person, pair: tokens.TokenPair, change: Change, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pause = Pause()
        monkeypatch.setattr(tokens, "read_refresh_token", pause.after(tokens.read_refresh_token))

        with pause.run(self.request(pair)) as under_way:
            change(alice.user)

        assert under_way.result(WAIT).status_code == 401

    @pytest.mark.parametrize("change", CHANGES)
    def test_tokens_of_a_concurrent_refresh_end_with_the_change(
        self, alice: Person, pair: tokens.TokenPair, change: Change, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pause = Pause()
        monkeypatch.setattr(tokens, "successor_id", pause.after(tokens.successor_id))

        with pause.run(self.request(pair)) as under_way, ThreadPoolExecutor(1) as threads:
            changing = threads.submit(on_own_connection, lambda: change(alice.user))
            wait([changing], HELD_UP)
            pause.resume()
            changing.result(WAIT)
        _set_active(alice.user, True)

        assert not is_signed_in(under_way.result(WAIT))


def test_one_of_two_concurrent_sign_outs_wins(alice: Person) -> None:
    pair = services.sign_in(actor=OPERATOR, user=alice.user)

    answers = at_once(*[lambda: post("logout", {"refresh_token": pair.refresh})] * 4)

    assert Counter(answer.status_code for answer in answers) == {204: 1, 401: 3}
    assert AuditEntry.objects.filter(action="session.delete").count() == 1
