"""Signing in with a passkey: as a second factor, and alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from fido2.utils import websafe_encode

from accounts import services
from accounts.models import Passkey, TokenSession, UsedChallenge, User
from accounts.tests.threads import at_once
from core.models import AuditEntry
from tests.support.client import SurfaceClient
from tests.support.factors import answer, enrol
from tests.support.passkeys import (
    add_passkey,
    answer_with,
    ask,
    ask_alone,
    begin,
    is_refused,
    sign_in_alone,
)
from tests.support.people import OPERATOR, Person, register
from tests.support.security_keys import SecurityKey


@pytest.mark.embedded
class TestSecondStep:
    def test_passkey_completes_the_sign_in(self, key: SecurityKey) -> None:
        asked = ask()
        assert asked["methods"] == ["passkey", "recovery_code"]
        assert asked["passkey"]["rpId"] == "localhost"
        assert [allowed["transports"] for allowed in asked["passkey"]["allowCredentials"]] == [["hybrid", "internal"]]

        response = answer_with(key, asked)

        assert response.status_code == 200, response.content
        assert SurfaceClient(token=response.json()["access_token"]).get("/api/v1/auth/me").status_code == 200
        assert Passkey.objects.get().last_used_at is not None

    def test_key_without_a_user_handle_is_accepted(self, key: SecurityKey) -> None:
        """An authenticator may leave it out if the passkey was named (section 7.2, step 6)."""
        assert answer_with(key, ask(), userHandle=None).status_code == 200

    def test_challenge_counts_once(self, key: SecurityKey) -> None:
        asked = ask()
        answer_with(key, asked)

        assert answer_with(key, asked).status_code == 401

    def test_refused_passkey_leaves_the_challenge(self, key: SecurityKey) -> None:
        asked = ask()
        assert is_refused(answer_with(replace(key, is_verified=False), asked))

        assert answer_with(key, asked).status_code == 200

    def test_answer_to_another_challenge_is_refused(self, key: SecurityKey) -> None:
        former = ask()

        assert is_refused(answer_with(key, {**ask(), "passkey": former["passkey"]}))
        assert is_refused(answer_with(key, {**ask(), "passkey": ask_alone()["options"]}))

    def test_passkey_of_somebody_else_is_refused(self, key: SecurityKey) -> None:
        of_bob = add_passkey(register("bob").user)

        assert is_refused(answer_with(of_bob, ask()))

    def test_method_needs_its_own_proof(self, key: SecurityKey) -> None:
        challenge = ask()["challenge"]

        assert is_refused(answer(challenge, "123456", "passkey"))
        body = {"challenge": challenge, "method": "totp", "credential": {}}
        assert is_refused(SurfaceClient().send("POST", "/api/v1/auth/mfa", body), "code")

    def test_app_is_another_way(self, alice: Person, key: SecurityKey) -> None:
        app = enrol(alice.user)
        asked = ask()
        assert asked["methods"] == ["totp", "passkey", "recovery_code"]

        assert answer(asked["challenge"], app.code()).status_code == 200


@pytest.mark.embedded
class TestAlone:
    def test_passkey_opens_a_session(self, alice: Person, key: SecurityKey) -> None:
        response = sign_in_alone(key)

        assert response.status_code == 200, response.content
        assert response.headers["Cache-Control"] == "no-store"
        me = SurfaceClient(token=response.json()["access_token"]).get("/api/v1/auth/me").json()
        assert me["username"] == "alice"
        assert AuditEntry.objects.first().action == "session.create"  # type: ignore[union-attr]

    def test_options_name_nobody_and_store_nothing(self, key: SecurityKey) -> None:
        response = SurfaceClient().send("POST", "/api/v1/auth/passkey/options")

        assert response.headers["Cache-Control"] == "no-store"
        assert response.json()["options"]["allowCredentials"] == []
        assert response.json()["options"]["userVerification"] == "required"
        assert not UsedChallenge.objects.exists()

    def test_challenge_counts_once(self, key: SecurityKey) -> None:
        asked = ask_alone()
        sign_in_alone(key, asked)

        assert is_refused(sign_in_alone(key, asked), "challenge")

    def test_refused_passkey_leaves_the_challenge(self, key: SecurityKey) -> None:
        asked = ask_alone()
        assert is_refused(sign_in_alone(replace(key, is_verified=False), asked))

        assert sign_in_alone(key, asked).status_code == 200

    def test_challenge_of_a_second_step_signs_nobody_in(self, key: SecurityKey) -> None:
        asked = ask()
        alone = {"challenge": asked["challenge"], "options": asked["passkey"]}

        assert is_refused(sign_in_alone(key, alone), "challenge")

    def test_challenge_of_adding_signs_nobody_in(self, alice: Person, key: SecurityKey) -> None:
        begun = begin(alice)
        options = {**ask_alone()["options"], "challenge": begun["options"]["challenge"]}

        assert is_refused(sign_in_alone(key, {**begun, "options": options}), "challenge")

    @pytest.mark.parametrize(
        "wrong",
        [
            {"origin": "https://localhost.example.com"},
            {"rp_id": "example.com"},
            {"is_verified": False},
            {"is_framed": True},
            {"credential_id": b"another"},
            {"private_key": SecurityKey().private_key},
            {"user_handle": websafe_encode(b"user_of_somebody")},
        ],
        ids=lambda wrong: next(iter(wrong)),
    )
    def test_key_that_does_it_wrong_is_refused(self, key: SecurityKey, wrong: Any) -> None:
        sessions = TokenSession.objects.count()

        assert is_refused(sign_in_alone(replace(key, **wrong)))
        assert TokenSession.objects.count() == sessions

    def test_passkey_of_somebody_else_opens_their_session_only(self, key: SecurityKey) -> None:
        of_bob = add_passkey(register("bob").user)

        assert is_refused(sign_in_alone(replace(of_bob, credential_id=key.credential_id)))

    def test_credential_that_was_made_signs_nobody_in(self, alice: Person, key: SecurityKey) -> None:
        asked = ask_alone()
        made = key.create({**begin(alice)["options"], "challenge": asked["options"]["challenge"]})

        body = {"challenge": asked["challenge"], "credential": made}
        assert is_refused(SurfaceClient().send("POST", "/api/v1/auth/passkey", body))

    def test_inactive_person_is_refused(self, alice: Person, key: SecurityKey) -> None:
        User.objects.update(is_active=False)

        assert is_refused(sign_in_alone(key))

    def test_new_password_keeps_the_passkey(self, alice: Person, key: SecurityKey) -> None:
        services.set_password(actor=OPERATOR, user=alice.user, password="another password")

        assert sign_in_alone(key).status_code == 200


@pytest.mark.embedded
class TestCopies:
    """A key that counts its uses is told from its copy (section 6.1.1)."""

    @pytest.mark.parametrize("sign_in", [sign_in_alone, lambda key: answer_with(key, ask())], ids=["alone", "second"])
    def test_count_that_does_not_grow_is_refused(self, alice: Person, sign_in: Any) -> None:
        key = add_passkey(alice.user, SecurityKey(counter=5))
        copy = replace(key)
        assert [sign_in(key).status_code for _ in range(2)] == [200, 200]

        assert is_refused(sign_in(copy))
        assert is_refused(sign_in(replace(key, counter=0)))
        assert Passkey.objects.get().sign_count == 7
        assert sign_in(key).status_code == 200

    def test_keys_that_count_nothing_are_accepted(self, key: SecurityKey) -> None:
        assert [sign_in_alone(key).status_code for _ in range(2)] == [200, 200]


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_one_assertion_opens_one_session_alone(self) -> None:
        key = add_passkey(register("alice").user)
        asked = ask_alone()
        body = {"challenge": asked["challenge"], "credential": key.get(asked["options"])}

        responses = at_once(*[partial(SurfaceClient().send, "POST", "/api/v1/auth/passkey", body)] * 4)

        assert Counter(response.status_code for response in responses) == {200: 1, 400: 3}

    def test_one_assertion_opens_one_session_as_second_factor(self) -> None:
        key = add_passkey(register("alice").user)
        asked = ask()
        body = {"challenge": asked["challenge"], "method": "passkey", "credential": key.get(asked["passkey"])}

        responses = at_once(*[partial(SurfaceClient().send, "POST", "/api/v1/auth/mfa", body)] * 4)

        assert Counter(response.status_code for response in responses) == {200: 1, 401: 3}

    def test_one_count_is_used_once(self) -> None:
        """One of a key and its copies gets in, if they sign in at once."""
        key = add_passkey(register("alice").user, SecurityKey(counter=5))
        copies = [(replace(key), ask_alone()) for _ in range(4)]

        responses = at_once(*(partial(sign_in_alone, copy, asked) for copy, asked in copies))

        assert Counter(response.status_code for response in responses) == {200: 1, 400: 3}
