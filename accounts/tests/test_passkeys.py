"""Passkeys: added, renamed and removed, as a second factor, and alone."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.test import override_settings
from django.utils import timezone
from fido2 import cbor
from fido2.utils import websafe_decode, websafe_encode
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts import passkey_challenges, passkeys, services
from accounts.mail.sender import send_due
from accounts.models import Passkey, TokenSession, UsedChallenge, User
from accounts.services.own_passkeys import MAX_PASSKEYS
from accounts.tests.threads import at_once
from core.models import AuditEntry
from tests.support.client import SurfaceClient
from tests.support.factors import answer, enrol, login
from tests.support.mail import Mailbox
from tests.support.passkeys import PASSKEYS, add_passkey, answer_with, ask_alone, sign_in_alone
from tests.support.people import OPERATOR, PASSWORD, Person, register
from tests.support.security_keys import SecurityKey

CONFIRMED = {"password": PASSWORD}


@pytest.fixture
def key(alice: Person) -> SecurityKey:
    """Alice's key, on which she has a passkey."""
    return add_passkey(alice.user)


def begin(person: Person) -> Any:
    response = person.client.send("POST", PASSKEYS, CONFIRMED)
    assert response.status_code == 200, response.content
    return response.json()


def confirm(person: Person, begun: Any, credential: Any, name: str = "laptop") -> Any:
    body = {"challenge": begun["challenge"], "credential": credential, "name": name}
    return person.client.send("POST", f"{PASSKEYS}/confirm", body)


def listed(person: Person) -> Any:
    return person.client.get("/api/v1/auth/factors").json()["factors"]


def ask() -> Any:
    """Sign Alice in by her password, and return the response that asks for a second factor."""
    response = login()
    assert response.status_code == 403, response.content
    return response.json()


def is_refused(response: Any, field: str = "credential") -> bool:
    return response.status_code == 400 and list(response.json()["errors"]) == [field]


class TestAdding:
    def test_options_ask_for_a_verified_discoverable_passkey(self, alice: Person) -> None:
        response = alice.client.send("POST", PASSKEYS, CONFIRMED)

        options = response.json()["options"]
        assert response.headers["Cache-Control"] == "no-store"
        assert options["rp"] == {"id": "localhost", "name": "maim"}
        assert options["user"]["name"] == "alice"
        assert websafe_decode(options["user"]["id"]) == alice.user.id.encode()
        assert options["authenticatorSelection"]["residentKey"] == "required"
        assert options["authenticatorSelection"]["userVerification"] == "required"
        assert [parameter["alg"] for parameter in options["pubKeyCredParams"]] == [-7, -8, -257]

    def test_first_passkey_comes_with_recovery_codes(self, alice: Person) -> None:
        begun = begin(alice)

        response = confirm(alice, begun, SecurityKey().create(begun["options"]))

        assert response.status_code == 200
        assert response.headers["Cache-Control"] == "no-store"
        assert len(set(response.json()["recovery_codes"])) == 10
        (factor,) = listed(alice)
        assert (factor["method"], factor["name"], factor["id"]) == ("passkey", "laptop", response.json()["id"])
        assert (factor["last_used_at"], factor["is_backed_up"]) == (None, True)
        entry = AuditEntry.objects.get(action="user.factor_add")
        assert entry.after == {"method": "passkey", "passkey": factor["id"], "name": "laptop"}

    def test_further_passkey_keeps_the_recovery_codes(self, alice: Person, key: SecurityKey) -> None:
        begun = begin(alice)

        response = confirm(alice, begun, SecurityKey().create(begun["options"]))

        assert response.json()["recovery_codes"] == []
        assert len(begun["options"]["excludeCredentials"]) == 1
        assert len(listed(alice)) == 2

    def test_password_is_needed(self, alice: Person) -> None:
        for body in ({}, {"password": "a wrong one"}):
            assert is_refused(alice.client.send("POST", PASSKEYS, body), "password")

    def test_challenge_counts_once(self, alice: Person) -> None:
        begun = begin(alice)
        confirm(alice, begun, SecurityKey().create(begun["options"]))

        assert is_refused(confirm(alice, begun, SecurityKey().create(begun["options"])), "challenge")
        assert Passkey.objects.count() == 1

    def test_challenge_is_of_one_person(self, alice: Person, bob: Person) -> None:
        begun = begin(bob)

        assert is_refused(confirm(alice, begun, SecurityKey().create(begun["options"])), "challenge")

    def test_challenge_of_a_sign_in_adds_nothing(self, alice: Person) -> None:
        begun, asked = begin(alice), ask_alone()
        options = {**begun["options"], "challenge": asked["options"]["challenge"]}

        assert is_refused(confirm(alice, asked, SecurityKey().create(options)), "challenge")

    @pytest.mark.parametrize("challenge", ["", "nonsense", "a:b:c", "é:1:x"])
    def test_invented_challenge_is_refused(self, alice: Person, challenge: str) -> None:
        credential = SecurityKey().create(begin(alice)["options"])

        assert confirm(alice, {"challenge": challenge}, credential).status_code == 400

    def test_challenge_expires(self, alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
        begun = begin(alice)
        monkeypatch.setattr(passkey_challenges, "LIFETIME", timedelta(seconds=-1))

        assert is_refused(confirm(alice, begun, SecurityKey().create(begun["options"])), "challenge")

    def test_new_password_ends_the_challenge(self, alice: Person) -> None:
        begun = services.begin_passkey(actor=alice.actor, user=alice.user, password=PASSWORD)
        services.set_password(actor=OPERATOR, user=alice.user, password="another password")

        with pytest.raises(passkey_challenges.BadPasskeyChallenge):
            services.add_passkey(
                actor=alice.actor,
                user=alice.user,
                challenge=begun.challenge,
                credential=SecurityKey().create(begun.options),
                name="key",
            )

    @pytest.mark.parametrize(
        "key",
        [
            SecurityKey(origin="https://localhost.example.com"),
            SecurityKey(origin="http://localhost:8880"),
            SecurityKey(rp_id="example.com"),
            SecurityKey(is_verified=False),
            SecurityKey(is_framed=True),
        ],
        ids=["origin", "port", "domain", "verification", "frame"],
    )
    def test_key_that_does_it_wrong_is_refused(self, alice: Person, key: SecurityKey) -> None:
        begun = begin(alice)

        assert is_refused(confirm(alice, begun, key.create(begun["options"])))
        assert listed(alice) == []

    def test_key_of_another_algorithm_is_refused(self, alice: Person) -> None:
        begun = begin(alice)
        credential = SecurityKey().create(begun["options"])
        made = cbor.decode(websafe_decode(credential["response"]["attestationObject"]))
        made["authData"] = made["authData"].replace(b"\x03\x26", b"\x03\x38\x22")  # ES384
        credential["response"]["attestationObject"] = websafe_encode(cbor.encode(made))

        assert is_refused(confirm(alice, begun, credential))

    def test_passkey_of_somebody_else_is_refused(self, alice: Person, bob: Person, key: SecurityKey) -> None:
        begun = begin(bob)

        assert is_refused(confirm(bob, begun, replace(key).create(begun["options"])))
        assert Passkey.objects.get().user_id == alice.user.id

    def test_number_is_limited(self, alice: Person, key: SecurityKey) -> None:
        row, begun = Passkey.objects.get(), begin(alice)
        others = [f"{number:064}" for number in range(MAX_PASSKEYS - 1)]
        for digest in others:
            row.pk, row.credential_digest = f"passkey_{digest[-4:]}", digest
            row.save(force_insert=True)

        assert alice.client.send("POST", PASSKEYS, CONFIRMED).status_code == 409
        assert confirm(alice, begun, SecurityKey().create(begun["options"])).status_code == 409

    def test_unknown_transports_are_left_out(self, alice: Person) -> None:
        begun = begin(alice)
        credential = SecurityKey().create(begun["options"])
        credential["response"]["transports"] = ["usb", "<b>"]

        confirm(alice, begun, credential)

        assert Passkey.objects.get().transports == ["usb"]

    @pytest.mark.parametrize("name", ["", " ", "\u202e", "x" * 101])
    def test_bad_name_is_refused(self, alice: Person, name: str) -> None:
        begun = begin(alice)

        assert is_refused(confirm(alice, begun, SecurityKey().create(begun["options"]), name), "name")


class TestChanging:
    def test_passkey_is_renamed(self, alice: Person, key: SecurityKey) -> None:
        passkey = Passkey.objects.get()

        response = alice.client.send("PATCH", f"{PASSKEYS}/{passkey.id}", {"name": "手机 📱"})

        assert (response.status_code, response.json()["name"]) == (200, "手机 📱")
        entry = AuditEntry.objects.get(action="user.factor_rename")
        assert entry.before == {"passkey": passkey.id, "name": "key"}
        assert entry.after == {"passkey": passkey.id, "name": "手机 📱"}

    def test_last_passkey_takes_the_recovery_codes_along(self, alice: Person, key: SecurityKey) -> None:
        passkey = Passkey.objects.get()

        assert alice.client.send("POST", f"{PASSKEYS}/{passkey.id}/remove", CONFIRMED).status_code == 204

        assert alice.client.get("/api/v1/auth/factors").json() == {"factors": [], "recovery_codes": 0}
        assert login().status_code == 200
        assert is_refused(sign_in_alone(key))

    def test_passkeys_of_others_are_not_found(self, bob: Person, key: SecurityKey) -> None:
        path = f"{PASSKEYS}/{Passkey.objects.get().id}"

        assert bob.client.send("PATCH", path, {"name": "mine"}).status_code == 404
        assert bob.client.send("POST", f"{path}/remove", CONFIRMED).status_code == 404

    def test_password_is_needed_to_remove(self, alice: Person, key: SecurityKey) -> None:
        path = f"{PASSKEYS}/{Passkey.objects.get().id}/remove"

        assert is_refused(alice.client.send("POST", path, {}), "password")

    def test_operator_removes_passkeys_with_the_other_factors(self, alice: Person, key: SecurityKey) -> None:
        services.remove_factors(actor=OPERATOR, user=alice.user)

        assert login().status_code == 200


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
        assert UsedChallenge.objects.count() == 1, "that of the passkey that was added"

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


class TestPlace:
    """Passkeys belong to the host of MAIM_PUBLIC_URL, or to MAIM_PASSKEY_DOMAIN."""

    @pytest.mark.parametrize("url", [None, "https://192.0.2.1", "https://[2001:db8::1]", "http://maim.example.com"])
    def test_without_a_host_name_and_tls_there_are_none(self, alice: Person, key: SecurityKey, url: str | None) -> None:
        asked = ask()
        with override_settings(PUBLIC_URL=url):
            begun = alice.client.send("POST", PASSKEYS, CONFIRMED)
            alone = SurfaceClient().send("POST", "/api/v1/auth/passkey/options")
            second = answer_with(key, asked)
            still_asked = ask()

        assert {response.status_code for response in (begun, alone, second)} == {409}
        assert "MAIM_PUBLIC_URL" in alone.json()["detail"]
        assert still_asked["methods"] == ["passkey", "recovery_code"], "the password alone does not do"
        assert "passkey" not in still_asked

    @override_settings(
        PUBLIC_URL="https://maim.example.com",
        PASSKEY_DOMAIN="example.com",
        CORS_ALLOWED_ORIGINS=["https://console.example.com", "https://other.example.org"],
    )
    @pytest.mark.parametrize(
        ("origin", "status"),
        [
            ("https://maim.example.com", 200),
            ("https://console.example.com", 200),
            ("https://other.example.org", 400),
            ("https://third.example.com", 400),
            ("http://console.example.com", 400),
        ],
    )
    def test_consoles_in_the_domain_may_use_them(self, alice: Person, origin: str, status: int) -> None:
        begun = begin(alice)
        assert begun["options"]["rp"]["id"] == "example.com"

        assert confirm(alice, begun, SecurityKey(origin=origin).create(begun["options"])).status_code == status

    @override_settings(PUBLIC_URL="https://maim.example.com", CORS_ALLOWED_ORIGINS=["https://console.example.com"])
    def test_console_beside_needs_the_domain(self, alice: Person) -> None:
        begun = begin(alice)
        key = SecurityKey(origin="https://console.example.com")

        assert begun["options"]["rp"]["id"] == "maim.example.com"
        assert is_refused(confirm(alice, begun, key.create(begun["options"])))


def test_changes_are_told_by_mail(alice_with_email: Person, mailbox: Mailbox) -> None:
    add_passkey(alice_with_email.user)
    alice_with_email.client.send("POST", f"{PASSKEYS}/{Passkey.objects.get().id}/remove", CONFIRMED)

    assert send_due() == 2
    assert mailbox.subjects == ["Your second factors were changed"] * 2


def test_used_challenges_are_swept(key: SecurityKey) -> None:
    sign_in_alone(key)
    assert passkey_challenges.sweep() == 0
    UsedChallenge.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    assert passkey_challenges.sweep() == 2, "one of the passkey that was added"


# ---- what no browser sends

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.binary(max_size=80).map(websafe_encode),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
cbor_values = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=8) | st.binary(max_size=80),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers(-5, 5) | st.text(max_size=3), inner),
    max_leaves=5,
)


@st.composite
def broken(draw: st.DrawFn, credential: dict[str, Any]) -> Any:
    """Draw a credential of which one part is other JSON, or has a byte changed, or CBOR of another form."""
    place = draw(st.sampled_from(["", *credential, *(f"response.{name}" for name in credential["response"])]))
    outer, _dot, inner = place.rpartition(".")
    if not place:
        return draw(st.dictionaries(st.text(max_size=8), json_values, max_size=3))
    former = (credential[outer] if outer else credential)[inner]
    value = draw(json_values | _changed_bytes(former) | _changed_cbor(former))
    return {**credential, outer: {**credential[outer], inner: value}} if outer else {**credential, inner: value}


def _changed_bytes(former: Any) -> st.SearchStrategy[str]:
    data = websafe_decode(former) if isinstance(former, str) else b"text"
    place, byte = st.integers(0, len(data) - 1), st.binary(max_size=2)
    return st.builds(lambda place, byte: websafe_encode(data[:place] + byte + data[place + 1 :]), place, byte)


def _changed_cbor(former: Any) -> st.SearchStrategy[str]:
    """Return encodings of other values, and of an attestation object with other authenticator data."""
    data = SecurityKey().authenticator_data("localhost", 0x40) + bytes(16) + b"\x00\x20" + bytes(32)
    keys = cbor_values.map(cbor.encode).map(lambda key: {"fmt": "none", "attStmt": {}, "authData": data + key})
    return (cbor_values | keys).map(cbor.encode).map(websafe_encode)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_malformed_credentials_are_refused(data: st.DataObject) -> None:
    """Nothing but WrongPasskey is raised, and what is accepted can be asked for again."""
    key, alice = SecurityKey(), User(username="alice")
    made = key.create(passkeys.creation_options(alice, "challenge", []))
    genuine = Passkey(user=alice, **asdict(passkeys.register("challenge", made)))
    got = key.get(passkeys.request_options("challenge", [genuine]))
    passkeys.verify("challenge", got, genuine)

    with suppress(passkeys.WrongPasskey):
        accepted = passkeys.register("challenge", data.draw(broken(made)))
        passkey = Passkey(user=alice, **asdict(accepted))
        passkeys.request_options("challenge", [passkey])
        passkeys.verify("challenge", got, passkey)
    with suppress(passkeys.WrongPasskey):
        passkeys.credential_digest(data.draw(broken(got)))
        passkeys.verify("challenge", data.draw(broken(got)), genuine)


@pytest.mark.parametrize(
    "credential",
    [
        {},
        {"id": 5},
        {"id": "é"},
        {"id": "AAAA", "rawId": "AAAA", "response": None},
        {"id": "A" * 20_000},
        {"id": "AAAA", "rawId": "AAAA", "response": {"clientDataJSON": "AAAA", "attestationObject": "gYGB" * 3000}},
    ],
    ids=repr,
)
def test_malformed_credential_is_a_bad_request(alice: Person, key: SecurityKey, credential: Any) -> None:
    second = {"challenge": ask()["challenge"], "method": "passkey", "credential": credential}
    alone = {"challenge": ask_alone()["challenge"], "credential": credential}

    assert is_refused(SurfaceClient().send("POST", "/api/v1/auth/mfa", second))
    assert is_refused(SurfaceClient().send("POST", "/api/v1/auth/passkey", alone))
    assert is_refused(confirm(alice, begin(alice), credential))


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_one_challenge_adds_one_passkey(self) -> None:
        alice = register("alice")
        begun = begin(alice)
        credentials = [SecurityKey().create(begun["options"]) for _ in range(3)]

        responses = at_once(*(partial(confirm, alice, begun, credential) for credential in credentials))

        assert Counter(response.status_code for response in responses) == {200: 1, 400: 2}
        assert Passkey.objects.count() == 1

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
        """Of a key and its copy that sign in at once, one gets in."""
        key = add_passkey(register("alice").user, SecurityKey(counter=5))
        copies = [(replace(key), ask_alone()) for _ in range(4)]

        responses = at_once(*(partial(sign_in_alone, copy, asked) for copy, asked in copies))

        assert Counter(response.status_code for response in responses) == {200: 1, 400: 3}
