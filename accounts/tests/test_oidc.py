"""Sign-in by OpenID Connect."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.conf import settings
from django.test import override_settings
from django.utils import timezone

from accounts import services
from accounts.models import Identity, OidcFlow, TokenSession, User
from accounts.services import oidc
from accounts.tests.oidc import finish, me, post, sign_in, start
from core.models import AuditEntry
from core.setting_types import AuthRate
from tests.support.client import SurfaceClient
from tests.support.factors import answer, enrol
from tests.support.oidc import REDIRECT_URI, Provider, provider_at_work
from tests.support.people import OPERATOR, PASSWORD, Person

pytestmark = pytest.mark.embedded

EMAIL: dict[str, Any] = {"email": "alice@example.com", "email_verified": True}


class TestRegistration:
    def test_new_identity_gets_a_user_with_a_personal_tenant(self, db: None, provider: Provider) -> None:
        profile = me(sign_in(provider, preferred_username="alice", **EMAIL))

        assert (profile["username"], profile["email"], profile["email_verified"]) == (
            "alice",
            "alice@example.com",
            True,
        )
        assert [each["role"] for each in profile["memberships"]] == ["owner"]

    def test_known_identity_signs_in_to_the_same_user(self, db: None, provider: Provider) -> None:
        first = me(sign_in(provider, preferred_username="alice"))

        # Neither name nor address identify a person.
        again = me(sign_in(provider, preferred_username="bob", email="bob@example.com"))

        assert again["id"] == first["id"]
        assert again["username"] == "alice"

    def test_same_subject_elsewhere_is_somebody_else(self, db: None, provider: Provider) -> None:
        first = me(sign_in(provider))
        with provider_at_work() as other:
            assert me(sign_in(other))["id"] != first["id"]

    def test_taken_username_gets_an_ending(self, alice: Person, provider: Provider) -> None:
        profile = me(sign_in(provider, preferred_username="alice"))

        assert re.fullmatch(r"alice-[0-9a-f]{6}", profile["username"])

    @pytest.mark.parametrize(
        ("claims", "username"),
        [
            ({"preferred_username": "  ada   lovelace "}, "ada lovelace"),
            ({"email": "ada@example.com", "name": "Ada"}, "ada"),
            ({"preferred_username": "\u202eevil", "name": "Ada"}, "Ada"),
            ({"preferred_username": ["a"], "name": 7}, "user"),
            ({}, "user"),
        ],
    )
    def test_username_is_the_first_usable_claim(
        self, claims: dict[str, Any], username: str, db: None, provider: Provider
    ) -> None:
        assert me(sign_in(provider, **claims))["username"] == username

    @pytest.mark.parametrize("verified", [False, None, "true", 1])
    def test_address_is_verified_only_if_the_claim_says_so(self, verified: Any, db: None, provider: Provider) -> None:
        profile = me(sign_in(provider, email="ada@example.com", email_verified=verified))

        assert (profile["email"], profile["email_verified"]) == ("ada@example.com", False)

    def test_unverified_address_of_an_account_is_left_out(self, alice_with_email: Person, provider: Provider) -> None:
        profile = me(sign_in(provider, email="alice@example.com"))

        assert profile["id"] != alice_with_email.user.id
        assert profile["email"] is None

    def test_closed_registration_refuses_a_new_identity(self, db: None, provider: Provider) -> None:
        with override_settings(REGISTRATION="closed"):
            response = sign_in(provider)

        assert (response.status_code, response.json()["code"]) == (403, "FORBIDDEN")
        assert not User.objects.exists()

    def test_closed_registration_lets_a_known_identity_in(self, db: None, provider: Provider) -> None:
        me(sign_in(provider))

        with override_settings(REGISTRATION="closed"):
            assert sign_in(provider).status_code == 200

    def test_deactivated_user_is_refused(self, db: None, provider: Provider) -> None:
        user = User.objects.get(pk=me(sign_in(provider))["id"])
        services.update_user(actor=OPERATOR, user_id=user.pk, changes={"is_active": False})

        response = sign_in(provider)

        assert (response.status_code, response.json()["code"]) == (403, "FORBIDDEN")
        assert not TokenSession.objects.exists()

    def test_audit_log_has_user_identity_tenant_and_session(self, db: None, provider: Provider) -> None:
        me(sign_in(provider, preferred_username="alice"))

        entries = AuditEntry.objects.order_by("id")
        assert [entry.action for entry in entries] == [
            "user.create",
            "identity.create",
            "tenant.create",
            "session.create",
        ]
        assert entries[0].actor_label == "OpenID Connect: acme"
        assert entries[1].after == {
            "user": entries[0].object_id,
            "provider": "acme",
            "issuer": provider.issuer,
            "subject": "alice-at-acme",
        }

    def test_password_of_such_a_user_is_none(self, db: None, provider: Provider) -> None:
        me(sign_in(provider, preferred_username="alice"))

        assert post("login", {"username": "alice", "password": ""}).status_code == 400
        assert not User.objects.get().has_usable_password()


class TestSecondFactor:
    def test_password_links_no_identity_without_it(self, alice_with_email: Person, provider: Provider) -> None:
        enrol(alice_with_email.user)
        User.objects.update(verified_email="alice@example.com")
        asked = sign_in(provider, email="alice@example.com", email_verified=True).json()

        refused = post("oidc/link", {"challenge": asked["challenge"], "password": PASSWORD})

        assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN")
        assert not Identity.objects.exists()

    def test_provider_does_not_replace_it(self, db: None, provider: Provider) -> None:
        sign_in(provider)
        app = enrol(Identity.objects.get().user)

        asked = sign_in(provider)

        assert (asked.status_code, asked.json()["code"]) == (403, "MFA_REQUIRED")
        assert answer(asked.json()["challenge"], app.code()).status_code == 200


class TestFlow:
    def refused(self, response: Any, field: str) -> bool:
        return response.status_code == 400 and list(response.json()["errors"]) == [field]

    def test_flow_is_used_once(self, db: None, provider: Provider) -> None:
        started = start()
        back = provider.sign_in(started["authorization_url"])
        assert finish(started["flow"], back).status_code == 200

        assert self.refused(finish(started["flow"], back), "flow")

    def test_flow_of_another_browser_is_refused(self, db: None, provider: Provider) -> None:
        """Somebody who gets a victim to open their own redirect does not have the victim's flow (login CSRF)."""
        mine, theirs = start(), start()

        assert self.refused(finish(mine["flow"], provider.sign_in(theirs["authorization_url"])), "flow")

    def test_code_of_another_flow_is_refused(self, db: None, provider: Provider) -> None:
        """PKCE binds the code to the browser that asked for it, whatever the state says."""
        mine, theirs = start(), start()
        stolen = provider.sign_in(theirs["authorization_url"])
        own = provider.sign_in(mine["authorization_url"])

        assert self.refused(finish(mine["flow"], {**own, "code": stolen["code"]}), "code")

    def test_flow_expires(self, db: None, provider: Provider) -> None:
        started = start()
        OidcFlow.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

        assert self.refused(finish(started["flow"], provider.sign_in(started["authorization_url"])), "flow")

    def test_expired_flow_is_swept(self, db: None, provider: Provider) -> None:
        start()
        OidcFlow.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

        assert services.sweep_flows() == 1

    def test_flood_ends_the_oldest_flows_of_people_who_are_not_signed_in(
        self, alice: Person, provider: Provider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = start(alice.token, password=PASSWORD)
        oldest, newer = start(), start()
        monkeypatch.setattr(oidc, "MAX_FLOWS", 2)

        newest = start()

        assert self.refused(finish(oldest["flow"], provider.sign_in(oldest["authorization_url"])), "flow")
        for each in (newer, newest):
            assert finish(each["flow"], provider.sign_in(each["authorization_url"])).status_code == 200
        back = provider.sign_in(own["authorization_url"], "another-at-acme")
        assert finish(own["flow"], back, alice.token).status_code == 200

    def test_flow_of_a_signed_in_person_is_theirs(self, alice: Person, charlie: Person, provider: Provider) -> None:
        """So nobody links their own identity to somebody else's account, or signs them in to it."""
        # Imported people may share a hash, and so the hash of their sessions.
        User.objects.update(password=alice.user.password)
        for began, ends in ((alice.token, charlie.token), (alice.token, None), (None, alice.token)):
            started = start(began, **({"password": PASSWORD} if began else {}))
            back = provider.sign_in(started["authorization_url"])

            assert self.refused(finish(started["flow"], back, ends), "flow")
        assert not Identity.objects.exists()

    def test_flow_of_another_provider_is_refused(self, db: None, provider: Provider) -> None:
        started = start()
        back = provider.sign_in(started["authorization_url"])
        both = {**settings.OIDC_PROVIDERS, "other": provider.setting(id="other")}

        with override_settings(OIDC_PROVIDERS=both):
            response = post("oidc/other/finish", {"flow": started["flow"], **back})

        assert self.refused(response, "flow")

    def test_flow_that_cannot_be_unsealed_is_refused(self, db: None, provider: Provider) -> None:
        started = start()
        OidcFlow.objects.update(content="sealed under a lost key")

        assert self.refused(finish(started["flow"], provider.sign_in(started["authorization_url"])), "flow")

    def test_stored_flow_holds_no_secret(self, db: None, provider: Provider) -> None:
        started = start()

        row = " ".join(map(str, OidcFlow.objects.values_list().get()))
        asked = dict(parse_qsl(urlsplit(started["authorization_url"]).query))
        assert not [text for text in (started["flow"], asked["state"], asked["nonce"]) if text in row]

    @pytest.mark.parametrize(
        "uri",
        [
            *("https://evil.example/", "http://localhost:8880.evil.example/", "http://localhost:8880@evil.example/"),
            *("http://localhost:8880/#x", "//localhost:8880/", "javascript:alert(1)", "http://[", "http://localhost/"),
        ],
    )
    def test_redirect_uri_of_another_origin_is_refused(self, uri: str, db: None, provider: Provider) -> None:
        assert self.refused(post("oidc/acme/start", {"redirect_uri": uri}), "redirect_uri")

    def test_redirect_uri_of_a_console_is_allowed(self, db: None, provider: Provider) -> None:
        with override_settings(CORS_ALLOWED_ORIGINS=["https://console.example.com"]):
            assert start(redirect_uri="https://console.example.com/signed-in")

    def test_unknown_provider_is_404(self, db: None) -> None:
        assert post("oidc/nobody/start", {"redirect_uri": REDIRECT_URI}).status_code == 404
        assert post("oidc/nobody/finish", {"flow": "f", "code": "c", "state": "s"}).status_code == 404

    def test_providers_are_listed_without_their_secrets(self, db: None, provider: Provider) -> None:
        assert SurfaceClient().get("/api/v1/auth/oidc").json() == {
            "password_login": True,
            "providers": [{"id": "acme", "name": "ACME"}],
        }

    def test_attempts_are_counted_by_address(self, db: None, provider: Provider) -> None:
        with override_settings(AUTH_RATE=AuthRate(10, 2)):
            start()
            start()
            assert post("oidc/acme/start", {"redirect_uri": REDIRECT_URI}).status_code == 429
            assert post("oidc/acme/finish", {"flow": "f", "code": "c", "state": "s"}).status_code == 429

    def test_responses_are_not_cached(self, db: None, provider: Provider) -> None:
        assert post("oidc/acme/start", {"redirect_uri": REDIRECT_URI})["Cache-Control"] == "no-store"
        assert sign_in(provider)["Cache-Control"] == "no-store"
