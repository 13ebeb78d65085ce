"""Providers of OpenID Connect that are away, slow or wrong, and ID tokens that prove nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import pytest
from django.test import override_settings
from joserfc.jwk import ECKey

from accounts import oidc_client
from accounts.models import User
from accounts.tests.oidc import finish, post, sign_in, start, try_to_start
from accounts.tests.threads import at_once
from core.setting_types import DISCOVERY_PATH
from tests.support.instances import WAIT, free_port, wait_until
from tests.support.oidc import CLIENT_ID, CLIENT_SECRET, KEY, REDIRECT_URI, Handler, Provider, provider_at_work

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]


def is_refused(response: Any) -> bool:
    """Return whether the provider's word is not believed, which changes nothing."""
    return response.status_code == 400 and list(response.json()["errors"]) == ["code"] and not User.objects.exists()


def is_unavailable(response: Any) -> bool:
    body = response.json()
    return (response.status_code, body["code"]) == (503, "SYS_002") and body["detail"].startswith("ACME ")


class TestIdToken:
    def test_good_one_signs_in(self, provider: Provider) -> None:
        assert sign_in(provider).status_code == 200

    NOW = int(time.time())

    @pytest.mark.parametrize(
        "claims",
        [
            {"nonce": "another"},
            {"nonce": None},
            {"aud": "another-client"},
            {"aud": []},
            {"aud": None},
            {"aud": [CLIENT_ID, "another"], "azp": "another"},
            {"aud": [CLIENT_ID, "another"]},
            {"azp": "another"},
            {"iss": "https://evil.example"},
            {"iss": None},
            {"exp": NOW - 3600},
            {"exp": None},
            {"iat": NOW + 3600},
            {"nbf": NOW + 3600},
            {"sub": None},
            {"sub": ""},
            {"sub": "x" * 256},
            {"sub": "é"},
            {"at_hash": "of another token"},
        ],
        ids=str,
    )
    def test_wrong_claim_is_refused(self, claims: dict[str, Any], provider: Provider) -> None:
        provider.claims = claims

        assert is_refused(sign_in(provider))

    @pytest.mark.parametrize("name", ["iss", "sub", "aud", "exp", "iat", "nbf", "nonce", "azp", "at_hash", "amr"])
    @pytest.mark.parametrize("value", [7, 1.5, True, [7], {"a": 1}, "é"], ids=str)
    def test_claim_of_another_type_is_no_fault(self, name: str, value: Any, provider: Provider) -> None:
        provider.claims = {name: value}

        assert sign_in(provider).status_code in (200, 400)

    def test_another_audience_with_us_as_the_party_is_good(self, provider: Provider) -> None:
        provider.claims = {"aud": [CLIENT_ID, "another"], "azp": CLIENT_ID}

        assert sign_in(provider).status_code == 200

    @pytest.mark.parametrize("secret", [CLIENT_SECRET, CLIENT_ID, "first"])
    def test_symmetric_signature_is_refused(self, secret: str, provider: Provider) -> None:
        provider.header = {"alg": "HS256", "kid": "first"}
        provider.signs_with = secret.encode()

        assert is_refused(sign_in(provider))

    def test_signature_with_the_public_key_as_a_secret_is_refused(self, provider: Provider) -> None:
        provider.header = {"alg": "HS256", "kid": "first"}
        provider.signs_with = KEY.as_pem(private=False)

        assert is_refused(sign_in(provider))

    def test_missing_signature_is_refused(self, provider: Provider) -> None:
        provider.header, provider.signs_with = {"alg": "none"}, b""

        assert is_refused(sign_in(provider))

    def test_signature_of_another_key_is_refused(self, provider: Provider) -> None:
        provider.signs_with = ECKey.generate_key("P-256", parameters={"kid": "first"})

        assert is_refused(sign_in(provider))

    @pytest.mark.parametrize("member", ["jwk", "jku", "x5u"])
    def test_key_that_the_token_brings_along_is_not_used(self, member: str, provider: Provider) -> None:
        own = ECKey.generate_key("P-256", parameters={"kid": "first"})
        provider.signs_with = own
        brought = own.as_dict(private=False) if member == "jwk" else f"{provider.issuer}/evil"
        provider.header = {"alg": "ES256", "kid": "first", member: brought}

        assert is_refused(sign_in(provider))
        assert "/evil" not in provider.requests

    def test_new_key_is_fetched(self, provider: Provider) -> None:
        assert sign_in(provider).status_code == 200
        second = ECKey.generate_key("P-256", parameters={"kid": "second"})
        provider.keys, provider.signs_with = [KEY, second], second
        provider.header = {"alg": "ES256", "kid": "second"}

        assert sign_in(provider).status_code == 200

    def test_unknown_keys_are_asked_for_now_and_then_only(self, provider: Provider) -> None:
        provider.header = {"alg": "ES256", "kid": "unknown"}

        assert all(is_refused(sign_in(provider)) for _ in range(4))
        assert provider.requests.count("/keys") == 2

    def test_only_key_needs_no_name(self, provider: Provider) -> None:
        provider.header = {"alg": "ES256"}

        assert sign_in(provider).status_code == 200


class TestResponse:
    def test_code_is_good_once(self, provider: Provider) -> None:
        first, second = start(), start()
        back = provider.sign_in(first["authorization_url"])
        assert finish(first["flow"], back).status_code == 200

        state = provider.sign_in(second["authorization_url"])["state"]
        refused = finish(second["flow"], {"code": back["code"], "state": state})

        assert (refused.status_code, list(refused.json()["errors"])) == (400, ["code"])

    def test_issuer_of_the_response_is_compared(self, provider: Provider) -> None:
        """Otherwise a provider could have the code of another one (RFC 9207)."""
        for issuer in ("https://evil.example", ""):
            started = start()
            back = provider.sign_in(started["authorization_url"])
            assert finish(started["flow"], {**back, "iss": issuer or " "}).status_code == 400
        started = start()
        back = provider.sign_in(started["authorization_url"])
        assert finish(started["flow"], {**back, "iss": provider.issuer}).status_code == 200

    def test_issuer_is_needed_where_the_provider_names_it(self, provider: Provider) -> None:
        provider.metadata["authorization_response_iss_parameter_supported"] = True

        assert is_refused(sign_in(provider))

    def test_secret_is_posted_where_the_provider_wants_it(self, provider: Provider) -> None:
        provider.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_post"]

        assert sign_in(provider).status_code == 200

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html>",
            b"[]",
            b"null",
            {"access_token": "at"},
            {"access_token": "at", "id_token": 7},
            {"id_token": "é"},
        ],
        ids=str,
    )
    def test_odd_answer_to_a_code_is_no_fault(self, body: Any, provider: Provider) -> None:
        provider.answers["/token"] = partial(Handler.reply, body=body)

        assert is_unavailable(sign_in(provider))

    @pytest.mark.parametrize("body", [{"error": "invalid_client"}, {"error": ["x"]}, {"error": {"a": 1}}], ids=str)
    def test_refused_code_is_told(self, body: Any, provider: Provider) -> None:
        provider.answers["/token"] = partial(Handler.reply, body=body)

        assert is_refused(sign_in(provider))

    @pytest.mark.parametrize("text", ["a.b.c", "..", "a.b.c.d.e", "x", ""])
    def test_malformed_token_is_refused(self, text: str, provider: Provider) -> None:
        provider.answers["/token"] = partial(Handler.reply, body={"access_token": "at", "id_token": text})

        assert is_refused(sign_in(provider))

    @pytest.mark.parametrize("status", [302, 307, 500, 503])
    def test_redirect_or_fault_of_the_token_endpoint_is_no_answer(self, status: int, provider: Provider) -> None:
        answer = partial(Handler.reply, body={}, status=status, Location=f"{provider.issuer}/evil")
        provider.answers["/token"] = answer

        assert is_unavailable(sign_in(provider))
        assert "/evil" not in provider.requests

    @pytest.mark.parametrize("keys", [b"x", {}, {"keys": {}}, {"keys": [7]}, {"keys": [{"kty": "EC"}]}, {"keys": []}])
    def test_odd_keys_are_no_fault(self, keys: Any, provider: Provider) -> None:
        provider.answers["/keys"] = partial(Handler.reply, body=keys)

        assert sign_in(provider).status_code in (400, 503)


def endless(handler: Handler) -> None:
    """Send more than anybody wants to read."""
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b" " * 100_000)
    except OSError:
        pass


def in_drops(is_over: threading.Event, handler: Handler) -> None:
    """Send headers one by one without an end, each in time."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while not is_over.wait(0.02):
        handler.wfile.write(b"X: y\r\n")


def in_silence(is_over: threading.Event, handler: Handler) -> None:
    is_over.wait()


class TestDiscovery:
    @pytest.mark.parametrize(
        "changes",
        [
            {"issuer": "https://evil.example"},
            {"issuer": None},
            {"authorization_endpoint": None},
            {"token_endpoint": 7},
            {"jwks_uri": "file:///etc/passwd"},
        ],
        ids=str,
    )
    def test_document_that_is_not_the_providers_is_refused(self, changes: dict[str, Any], provider: Provider) -> None:
        provider.metadata |= changes

        assert is_unavailable(try_to_start())

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"\xff", b"null"])
    def test_document_that_is_no_json_object_is_refused(self, body: bytes, provider: Provider) -> None:
        provider.answers[DISCOVERY_PATH] = partial(Handler.reply, body=body)

        assert is_unavailable(try_to_start())

    def test_redirect_is_not_followed(self, provider: Provider) -> None:
        answer = partial(Handler.reply, body=b"", status=302, Location=f"{provider.issuer}/evil")
        provider.answers[DISCOVERY_PATH] = answer

        assert is_unavailable(try_to_start())
        assert "/evil" not in provider.requests

    def test_endless_document_is_read_to_a_limit(self, provider: Provider, caplog: pytest.LogCaptureFixture) -> None:
        provider.answers[DISCOVERY_PATH] = endless

        assert is_unavailable(try_to_start())
        assert "a response is no JSON" in caplog.text

    def test_provider_that_is_down_is_unavailable(self) -> None:
        away = Provider(free_port()).setting()
        with override_settings(OIDC_PROVIDERS={"acme": away}):
            response = try_to_start()

        assert is_unavailable(response)
        assert response["Retry-After"] == "5"

    def test_document_is_read_once(self, provider: Provider) -> None:
        start()
        start()

        assert provider.requests == [DISCOVERY_PATH]

    def test_document_is_read_again_after_a_failure(self, provider: Provider) -> None:
        provider.answers[DISCOVERY_PATH] = partial(Handler.reply, body=b"")
        assert is_unavailable(try_to_start())
        del provider.answers[DISCOVERY_PATH]

        assert try_to_start().status_code == 200

    def test_answer_in_drops_is_not_waited_for(self, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(oidc_client, "DEADLINE_SECONDS", 0.2)
        is_over = threading.Event()
        provider.answers[DISCOVERY_PATH] = partial(in_drops, is_over)

        assert is_unavailable(try_to_start())
        is_over.set()
        free = oidc_client._threads_of("acme", oidc_client.AT_ONCE).free
        wait_until(lambda: free._value == oidc_client.AT_ONCE, "the thread is free")

    def test_silent_provider_is_not_waited_for(self, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(oidc_client, "_TIMEOUT_SECONDS", 0.1)
        is_over = threading.Event()
        provider.answers[DISCOVERY_PATH] = partial(in_silence, is_over)

        assert is_unavailable(try_to_start())
        is_over.set()


@pytest.mark.django_db(transaction=True)
class TestSlowProvider:
    """One that answers when it may, while others do at once."""

    @pytest.fixture
    def may_answer(self) -> Iterator[threading.Event]:
        event = threading.Event()
        yield event
        event.set()

    @pytest.fixture
    def slow(self, may_answer: threading.Event) -> Iterator[Provider]:
        with provider_at_work() as provider:

            def wait_and_reply(handler: Handler) -> None:
                may_answer.wait()
                handler.reply(provider.metadata)

            provider.answers[DISCOVERY_PATH] = wait_and_reply
            yield provider

    def test_holds_up_few_threads(
        self,
        slow: Provider,
        may_answer: threading.Event,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Beyond those that ask and those that wait, the others are answered at once."""
        monkeypatch.setattr(oidc_client, "WAIT_SECONDS", WAIT)
        most = oidc_client.AT_ONCE + oidc_client.WAITING

        def try_and_release() -> int:
            status: int = try_to_start().status_code
            if status == 503:
                may_answer.set()
            return status

        statuses = at_once(*[try_and_release] * (most + 1))

        assert sorted(statuses) == [200] * most + [503]
        assert "does not answer as it should" not in caplog.text, "nobody waited in vain"

    def test_wait_for_it_ends(self, slow: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(oidc_client, "WAIT_SECONDS", 0.05)
        with busy_with("acme", oidc_client.AT_ONCE):
            assert is_unavailable(try_to_start())

        assert oidc_client._waiting._value == oidc_client.WAITING, "who gave up waits no more"

    def test_keeps_nobody_from_another(self, slow: Provider, may_answer: threading.Event) -> None:
        """Not while all of its threads are taken, and as many wait for it as may."""
        with provider_at_work() as quick:
            both = {"acme": slow.setting(), "quick": quick.setting(id="quick")}
            with (
                override_settings(OIDC_PROVIDERS=both),
                busy_with("acme", oidc_client.AT_ONCE // 2),
                taken(oidc_client._waiting, oidc_client.WAITING),
            ):
                assert is_unavailable(try_to_start())
                assert post("oidc/quick/start", {"redirect_uri": REDIRECT_URI}).status_code == 200

    def test_sign_in_begins_if_it_is_known(self, slow: Provider, may_answer: threading.Event) -> None:
        may_answer.set()
        start()

        with busy_with("acme", oidc_client.AT_ONCE), taken(oidc_client._waiting, oidc_client.WAITING):
            assert try_to_start().status_code == 200
            oidc_client._metadata_cache.clear()
            assert is_unavailable(try_to_start())


def busy_with(provider_id: str, number: int) -> AbstractContextManager[None]:
    """Take all threads of a provider."""
    return taken(oidc_client._threads_of(provider_id, number).free, number)


@contextmanager
def taken(semaphore: threading.Semaphore, number: int) -> Iterator[None]:
    for _ in range(number):
        assert semaphore.acquire(blocking=False)
    try:
        yield
    finally:
        semaphore.release(number)
