"""Passkeys: added, renamed and removed, and the place that they belong to."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.hashers import make_password
from django.test import override_settings
from django.utils import timezone
from fido2 import cbor
from fido2.utils import websafe_decode, websafe_encode

from accounts import passkey_challenges, services
from accounts.mail.sender import send_due
from accounts.models import Passkey, UsedChallenge, User
from accounts.services.own_passkeys import MAX_PASSKEYS
from accounts.tests.threads import at_once
from core.errors import Conflict
from core.models import AuditEntry
from tests.support.client import SurfaceClient
from tests.support.factors import login
from tests.support.mail import Mailbox, parts
from tests.support.oidc import Provider, add_identity
from tests.support.passkeys import (
    PASSKEYS,
    add_passkey,
    answer_with,
    ask,
    ask_alone,
    begin,
    confirm,
    is_refused,
    sign_in_alone,
)
from tests.support.people import OPERATOR, PASSWORD, Person, register
from tests.support.security_keys import SecurityKey

CONFIRMED = {"password": PASSWORD}


def listed(person: Person) -> Any:
    return person.client.get("/api/v1/auth/factors").json()["factors"]


@pytest.mark.embedded
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
        made: Any = cbor.decode(websafe_decode(credential["response"]["attestationObject"]))
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


@pytest.mark.embedded
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

    def test_operator_does_not_remove_the_last_way_to_sign_in(self, alice: Person, key: SecurityKey) -> None:
        User.objects.update(password=make_password(None))

        with pytest.raises(Conflict, match="set a password for them first"):
            services.remove_factors(actor=OPERATOR, user=alice.user)
        with override_settings(PASSWORD_LOGIN=False), pytest.raises(Conflict, match="they can link the provider"):
            services.remove_factors(actor=OPERATOR, user=alice.user)

        assert sign_in_alone(key).status_code == 200

    @pytest.mark.parametrize("way", ["link", "identity"])
    def test_operator_removes_passkeys_of_whoever_has_another_way(
        self, alice_with_email: Person, provider: Provider, mailbox: Mailbox, way: str
    ) -> None:
        add_passkey(alice_with_email.user)
        User.objects.update(password=make_password(None), **({} if way == "link" else {"email": None}))
        if way == "identity":
            add_identity(alice_with_email.user, "alice")

        services.remove_factors(actor=OPERATOR, user=alice_with_email.user)

        assert not Passkey.objects.exists()

    @override_settings(PASSWORD_LOGIN=False)
    def test_password_and_address_are_a_way_where_passwords_are_off(
        self, alice_with_email: Person, provider: Provider
    ) -> None:
        """They link the identity with the same address."""
        add_passkey(alice_with_email.user)

        services.remove_factors(actor=OPERATOR, user=alice_with_email.user)

        assert not Passkey.objects.exists()


@pytest.mark.embedded
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
    begun = begin(alice_with_email)
    confirm(alice_with_email, begun, SecurityKey().create(begun["options"]))
    alice_with_email.client.send("POST", f"{PASSKEYS}/{Passkey.objects.get().id}/remove", CONFIRMED)

    assert send_due() == 2
    assert mailbox.subjects == ["Your second factors were changed"] * 2
    texts = [parts(mail)[0] for mail in mailbox.mails]
    assert "A passkey was added to your account" in texts[0]
    assert "A passkey of your account was removed" in texts[1]


def test_used_challenges_are_swept(key: SecurityKey) -> None:
    sign_in_alone(key)
    assert passkey_challenges.sweep() == 0
    UsedChallenge.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    assert passkey_challenges.sweep() == 1


@pytest.mark.django_db(transaction=True)
def test_one_challenge_adds_one_passkey_at_once() -> None:
    alice = register("alice")
    begun = begin(alice)
    credentials = [SecurityKey().create(begun["options"]) for _ in range(3)]

    responses = at_once(*(partial(confirm, alice, begun, credential) for credential in credentials))

    assert Counter(response.status_code for response in responses) == {200: 1, 400: 2}
    assert Passkey.objects.count() == 1
