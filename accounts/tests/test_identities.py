"""The identities by which people sign in: linking and removing them, and the roles that their claims give."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.test import override_settings
from django.utils import timezone

from accounts import oidc_client, services
from accounts.mail.sender import send_due
from accounts.models import Identity, LinkChallenge, OidcFlow, TokenSession, User
from accounts.operator_roles import OperatorRole
from accounts.services import identities
from accounts.tests.oidc import finish, me, post, sign_in, start, try_to_start
from accounts.tests.threads import at_once
from core.models import AuditEntry
from core.setting_types import AuthRate
from tests.support.client import SurfaceClient
from tests.support.mail import Mailbox, parts
from tests.support.oidc import Provider, provider_at_work
from tests.support.passkeys import add_passkey
from tests.support.people import OPERATOR, PASSWORD, Person, give_up_tenants, register

EMAIL: dict[str, Any] = {"email": "alice@example.com", "email_verified": True}


def close(person: Person) -> None:
    """Delete somebody's account."""
    give_up_tenants(person)
    User.objects.filter(pk=person.user.pk).delete()


@pytest.mark.embedded
class TestLinkByPassword:
    def challenge(self, provider: Provider) -> str:
        response = sign_in(provider, **EMAIL)
        assert (response.status_code, response.json()["code"]) == (403, "LINK_REQUIRED")
        return str(response.json()["challenge"])

    def link(self, challenge: str, password: str = PASSWORD) -> Any:
        return post("oidc/link", {"challenge": challenge, "password": password})

    def test_account_without_a_password_links_when_signed_in(
        self, alice_with_email: Person, provider: Provider
    ) -> None:
        alice_with_email.user.set_password(None)
        alice_with_email.user.verified_email = alice_with_email.user.email
        alice_with_email.user.save()

        refused = sign_in(provider, **EMAIL)

        assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN")
        assert not LinkChallenge.objects.exists()

    def test_verified_address_of_an_account_signs_nobody_in(self, alice_with_email: Person, provider: Provider) -> None:
        before = TokenSession.objects.count()

        self.challenge(provider)

        assert TokenSession.objects.count() == before
        assert not Identity.objects.exists()

    def test_password_links_and_signs_in(self, alice_with_email: Person, provider: Provider) -> None:
        assert me(self.link(self.challenge(provider)))["id"] == alice_with_email.user.id
        assert me(sign_in(provider, **EMAIL))["id"] == alice_with_email.user.id

    def test_wrong_password_leaves_the_challenge_good(self, alice_with_email: Person, provider: Provider) -> None:
        challenge = self.challenge(provider)

        wrong = self.link(challenge, "a wrong password")

        assert (wrong.status_code, list(wrong.json()["errors"])) == (400, ["password"])
        assert self.link(challenge).status_code == 200

    def test_challenge_is_used_once(self, alice_with_email: Person, provider: Provider) -> None:
        challenge = self.challenge(provider)
        self.link(challenge)

        assert list(self.link(challenge).json()["errors"]) == ["challenge"]

    def test_challenge_expires(self, alice_with_email: Person, provider: Provider) -> None:
        challenge = self.challenge(provider)
        LinkChallenge.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

        assert list(self.link(challenge).json()["errors"]) == ["challenge"]
        assert services.sweep_link_challenges() == 1

    def test_challenge_ends_with_the_account(self, alice_with_email: Person, provider: Provider) -> None:
        challenge = self.challenge(provider)
        close(alice_with_email)

        assert list(self.link(challenge).json()["errors"]) == ["challenge"]
        assert not Identity.objects.exists()

    def test_account_closed_during_the_sign_in_leaves_its_address_free(
        self, alice_with_email: Person, provider: Provider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        open_challenge = identities.open_challenge

        def close_and_open(**options: Any) -> str:
            close(alice_with_email)
            return open_challenge(**options)

        monkeypatch.setattr(identities, "open_challenge", close_and_open)

        profile = me(sign_in(provider, **EMAIL))

        assert profile["id"] != alice_with_email.user.id
        assert profile["email"] == EMAIL["email"]

    def test_account_closed_after_the_password_is_not_linked(
        self, alice_with_email: Person, provider: Provider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        challenge = self.challenge(provider)
        check = User.check_password

        def check_and_close(user: User, password: str) -> bool:
            is_right = check(user, password)
            close(alice_with_email)
            return is_right

        monkeypatch.setattr(User, "check_password", check_and_close)

        assert self.link(challenge).status_code == 400
        assert not Identity.objects.exists()

    def test_deactivated_account_is_refused(self, alice_with_email: Person, provider: Provider) -> None:
        User.objects.update(is_active=False)

        response = sign_in(provider, **EMAIL)

        assert (response.status_code, response.json()["code"]) == (403, "FORBIDDEN")

    def test_guesses_are_counted_as_those_of_a_login(self, alice_with_email: Person, provider: Provider) -> None:
        challenge = self.challenge(provider)
        with override_settings(AUTH_RATE=AuthRate(2, 60)):
            post("login", {"username": "alice", "password": "a wrong one"})
            assert self.link(challenge, "a wrong one").status_code == 400
            assert self.link(challenge).status_code == 429

    def test_owner_is_told(self, alice_with_email: Person, provider: Provider, mailbox: Mailbox) -> None:
        self.link(self.challenge(provider))
        send_due()

        told = mailbox.mails[mailbox.subjects.index("A new way to sign in to your account")]
        assert "You can sign in to your account with ACME from now on" in parts(told)[0]


@pytest.mark.embedded
class TestLinkWhenSignedIn:
    def link(self, provider: Provider, person: Person, **claims: Any) -> Any:
        started = start(person.token, password=PASSWORD)
        return finish(started["flow"], provider.sign_in(started["authorization_url"], **claims), person.token)

    def test_identity_is_linked(self, alice: Person, provider: Provider) -> None:
        linked = self.link(provider, alice)

        assert linked.status_code == 200
        assert me(sign_in(provider))["id"] == alice.user.id
        (listed,) = alice.client.get("/api/v1/auth/identities").json()
        assert {**linked.json(), "last_used_at": None} == {**listed, "last_used_at": None}

    def test_linking_again_changes_nothing(self, alice: Person, provider: Provider) -> None:
        assert self.link(provider, alice).json()["id"] == self.link(provider, alice).json()["id"]

    def test_stolen_token_is_not_enough(self, alice: Person, provider: Provider) -> None:
        for fields in ({}, {"password": "a wrong password"}):
            response = try_to_start(alice.token, **fields)

            assert (response.status_code, list(response.json()["errors"])) == (400, ["password"])
        assert not OidcFlow.objects.exists()

    def test_account_closed_while_the_provider_is_asked_begins_nothing(
        self, alice: Person, provider: Provider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ask = oidc_client.authorization_url

        def ask_and_close(*args: Any) -> str:
            close(alice)
            return ask(*args)

        monkeypatch.setattr(oidc_client, "authorization_url", ask_and_close)

        assert try_to_start(alice.token, password=PASSWORD).status_code == 401
        assert not OidcFlow.objects.exists()

    def test_identity_of_another_user_is_refused(self, alice: Person, charlie: Person, provider: Provider) -> None:
        self.link(provider, alice)

        assert self.link(provider, charlie).status_code == 409
        assert me(sign_in(provider))["id"] == alice.user.id

    def test_changed_password_ends_the_flow(self, alice: Person, provider: Provider) -> None:
        started = start(alice.token, password=PASSWORD)
        back = provider.sign_in(started["authorization_url"])
        alice.client.send(
            "POST", "/api/v1/auth/password", {"old_password": PASSWORD, "new_password": "another password"}
        )

        assert list(finish(started["flow"], back, alice.token).json()["errors"]) == ["flow"]

    def test_last_way_to_sign_in_stays(self, alice: Person, provider: Provider) -> None:
        person = SurfaceClient(token=sign_in(provider).json()["access_token"])
        (identity,) = person.get("/api/v1/auth/identities").json()

        response = person.send("DELETE", f"/api/v1/auth/identities/{identity['id']}")

        assert (response.status_code, response.json()["code"]) == (409, "CONFLICT")
        assert Identity.objects.exists()

    def test_passkey_is_another_way_until_it_is_the_last(self, db: None, provider: Provider) -> None:
        person = SurfaceClient(token=sign_in(provider).json()["access_token"])
        (identity,) = Identity.objects.all()
        add_passkey(identity.user)
        passkey = identity.user.passkeys.get().pk

        assert person.send("DELETE", f"/api/v1/auth/identities/{identity.pk}").status_code == 204
        removed = person.send("POST", f"/api/v1/auth/factors/passkeys/{passkey}/remove", {})
        assert (removed.status_code, removed.json()["code"]) == (409, "CONFLICT")
        assert identity.user.passkeys.exists()

    def test_identity_of_a_provider_that_is_gone_is_no_way_to_sign_in(self, db: None, provider: Provider) -> None:
        person = SurfaceClient(token=sign_in(provider).json()["access_token"])
        (identity,) = Identity.objects.all()
        Identity.objects.create(user=identity.user, provider="gone", issuer="gone", subject="gone", digest="gone")

        assert person.send("DELETE", f"/api/v1/auth/identities/{identity.pk}").status_code == 409

    def test_removed_identity_signs_in_no_more(
        self, alice_with_email: Person, provider: Provider, mailbox: Mailbox
    ) -> None:
        alice = alice_with_email
        identity = self.link(provider, alice).json()

        response = alice.client.send("DELETE", f"/api/v1/auth/identities/{identity['id']}")

        assert response.status_code == 204
        assert me(sign_in(provider))["id"] != alice.user.id
        send_due()
        told = mailbox.mails[mailbox.subjects.index("A way to sign in to your account was removed")]
        assert "You cannot sign in to your account with ACME any more" in parts(told)[0]

    def test_last_identity_stays_where_passwords_are_off(self, alice: Person, provider: Provider) -> None:
        identity = self.link(provider, alice).json()

        with override_settings(PASSWORD_LOGIN=False):
            response = alice.client.send("DELETE", f"/api/v1/auth/identities/{identity['id']}")

        assert response.status_code == 409


@pytest.mark.embedded
class TestRoles:
    GROUPS = {"role_claim": "groups", "operator_values": frozenset({"ops"}), "superuser_values": frozenset({"root"})}

    @pytest.mark.parametrize(
        ("groups", "flags"),
        [
            (["ops", "other"], (True, False)),
            (["root"], (True, True)),
            ("ops", (True, False)),
            (["other"], (False, False)),
            (None, (False, False)),
            ({"ops": 1}, (False, False)),
            ([["ops"]], (False, False)),
        ],
    )
    def test_claims_decide_at_the_first_and_at_each_later_sign_in(
        self, groups: Any, flags: tuple[bool, bool], db: None
    ) -> None:
        with provider_at_work(**self.GROUPS) as provider:
            me(sign_in(provider, groups=groups))
            me(sign_in(provider, sub="bob-at-acme", groups=["root"]))
            me(sign_in(provider, sub="bob-at-acme", groups=groups))

        assert list(User.objects.values_list("is_staff", "is_superuser")) == [flags, flags]

    @pytest.mark.parametrize(
        ("values", "groups", "role"),
        [
            ({"support_values": frozenset({"desk"})}, ["desk"], "support"),
            ({"support_values": frozenset({"desk"})}, ["ops"], "viewer"),
            ({"support_values": frozenset({"desk"})}, ["desk", "root"], "admin"),
            ({}, ["ops"], "support"),
            ({}, ["other"], None),
        ],
        ids=["gives it", "takes it", "more", "does not decide it", "no operator"],
    )
    def test_provider_decides_the_role_of_support_where_a_value_gives_it(
        self, db: None, values: dict[str, frozenset[str]], groups: list[str], role: str | None
    ) -> None:
        with provider_at_work(**self.GROUPS, **values) as provider:
            user_id = me(sign_in(provider, groups=["ops"]))["id"]
            services.set_operator_role(actor=OPERATOR, user_id=user_id, role=OperatorRole.SUPPORT)
            me(sign_in(provider, groups=groups))

        assert User.objects.get(pk=user_id).operator_role == role

    def test_withdrawn_role_is_in_the_audit_log(self, db: None) -> None:
        with provider_at_work(**self.GROUPS) as provider:
            me(sign_in(provider, groups=["root"]))
            me(sign_in(provider, groups=[]))

        entry = AuditEntry.objects.get(action="user.update")
        assert entry.after == {"operator_role": None}
        assert entry.actor_label == "OpenID Connect: acme"

    def test_roles_stay_where_no_claim_is_named(self, db: None, provider: Provider) -> None:
        me(sign_in(provider))
        User.objects.update(is_staff=True, is_superuser=True)

        me(sign_in(provider, groups=[]))

        assert User.objects.filter(is_staff=True, is_superuser=True).exists()

    def test_superuser_stays_where_no_value_makes_one(self, db: None) -> None:
        with provider_at_work(role_claim="groups", operator_values=frozenset({"ops"})) as provider:
            me(sign_in(provider, groups=["ops"]))
            User.objects.update(is_superuser=True)
            me(sign_in(provider, groups=["ops"]))

        assert User.objects.filter(is_staff=True, is_superuser=True).exists()

    def test_role_follows_a_link_by_password(self, alice_with_email: Person) -> None:
        with provider_at_work(**self.GROUPS) as provider:
            challenge = sign_in(provider, groups=["ops"], **EMAIL).json()["challenge"]
            assert post("oidc/link", {"challenge": challenge, "password": PASSWORD}).status_code == 200

        assert User.objects.get(pk=alice_with_email.user.pk).is_staff


@pytest.mark.django_db(transaction=True)
class TestRaces:
    def test_flow_that_is_finished_twice_at_once_signs_in_once(self, provider: Provider) -> None:
        started = start()
        back = provider.sign_in(started["authorization_url"])

        responses = at_once(*[partial(finish, started["flow"], back)] * 4)

        assert sorted(response.status_code for response in responses) == [200, 400, 400, 400]
        assert TokenSession.objects.count() == 1

    def test_new_identity_that_comes_twice_at_once_gets_one_user(self, provider: Provider) -> None:
        flows = [start() for _ in range(3)]
        backs = [provider.sign_in(each["authorization_url"], preferred_username="alice", **EMAIL) for each in flows]

        responses = at_once(*[partial(finish, each["flow"], back) for each, back in zip(flows, backs, strict=True)])

        assert [response.status_code for response in responses] == [200] * 3
        assert User.objects.count() == Identity.objects.count() == 1

    def test_identity_that_was_registered_meanwhile_signs_in(
        self, provider: Provider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its address is then that of a user without a password, which refuses any other identity."""
        claims: dict[str, Any] = {"preferred_username": "alice", **EMAIL}
        check_email, others = identities._check_email_is_free, []

        def after_another_sign_in(proven: identities.ProvenIdentity) -> None:
            monkeypatch.setattr(identities, "_check_email_is_free", check_email)
            others.append(sign_in(provider, **claims).status_code)
            check_email(proven)

        monkeypatch.setattr(identities, "_check_email_is_free", after_another_sign_in)

        assert [sign_in(provider, **claims).status_code, *others] == [200, 200]
        assert User.objects.count() == Identity.objects.count() == 1

    def test_challenge_that_is_used_twice_at_once_links_once(self, provider: Provider) -> None:
        user = register("alice").user
        User.objects.update(email=EMAIL["email"], email_folded=EMAIL["email"])
        body = {"challenge": sign_in(provider, **EMAIL).json()["challenge"], "password": PASSWORD}

        responses = at_once(*[partial(post, "oidc/link", body)] * 3)

        assert sorted(response.status_code for response in responses) == [200, 400, 400]
        assert Identity.objects.get().user == user

    def test_last_two_identities_removed_at_once_leave_one(self, provider: Provider) -> None:
        token = sign_in(provider).json()["access_token"]
        user = User.objects.get()
        Identity.objects.create(user=user, provider="acme", issuer="x", subject="x", digest="x")
        paths = [f"/api/v1/auth/identities/{pk}" for pk in Identity.objects.values_list("pk", flat=True)]

        responses = at_once(*[partial(SurfaceClient(token=token).send, "DELETE", path) for path in paths])

        assert sorted(response.status_code for response in responses) == [204, 409]


class TestConfirmation:
    """A person without a password confirms by a session that has begun lately."""

    def change(self, token: str) -> Any:
        with override_settings(MAIL_IS_SET_UP=True):
            return SurfaceClient(token=token).send("PATCH", "/api/v1/auth/me", {"email": None})

    def test_new_session_confirms(self, db: None, provider: Provider) -> None:
        assert self.change(sign_in(provider, **EMAIL).json()["access_token"]).status_code == 200

    def test_old_session_does_not(self, db: None, provider: Provider) -> None:
        token = sign_in(provider, **EMAIL).json()["access_token"]
        TokenSession.objects.update(created_at=timezone.now() - timedelta(minutes=11))
        me(sign_in(provider, **EMAIL))  # a new session elsewhere confirms nothing here

        response = self.change(token)

        assert (response.status_code, response.json()["code"]) == (403, "SIGN_IN_AGAIN")
        assert User.objects.get().email

    def test_another_provider_is_linked_by_a_new_session(self, db: None, provider: Provider) -> None:
        token = sign_in(provider).json()["access_token"]

        assert start(token)
