"""Personal access tokens: creating, listing, using and ending them (docs/contract.md section 7)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from time_machine import travel

from accounts import services, token_format
from accounts.mail.sender import send_due
from accounts.models import EmailToken, PersonalToken, TokenSession, User
from accounts.random_tokens import digest_of
from accounts.services.personal_tokens import DEFAULT_LIFETIME, KEPT_AFTER_EXPIRY, MAX_TOKENS, USED_EVERY
from core.actor import Actor, ActorKind
from core.models import AuditEntry
from core.scrubbing import scrubbed
from core.setting_types import AuthRate
from tests.support.client import SurfaceClient
from tests.support.mail import Mailbox, new_token, parts
from tests.support.operators import Operator, url
from tests.support.people import OPERATOR, PASSWORD, Person, give_up_tenants, register
from tests.support.tokens import TOKENS, add_token, newest_token, script

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]
ME = "/api/v1/auth/me"
HERE, ELSEWHERE = "203.0.113.7", "198.51.100.2"


def create(person: Person, **fields: Any) -> Any:
    body = {"name": "script", "scope": "read", "password": PASSWORD, **fields}
    return person.client.send("POST", TOKENS, {name: value for name, value in body.items() if value is not None})


def errors_of(response: Any) -> dict[str, list[str]]:
    assert response.status_code == 400, response.content
    errors: dict[str, list[str]] = response.json()["errors"]
    return errors


def is_good(client: SurfaceClient) -> bool:
    status = client.get(ME).status_code
    assert status in (200, 401)
    return bool(status == 200)


class TestCreation:
    def test_token_is_shown_once_and_works(self, alice: Person) -> None:
        response = create(alice, name="backup", scope="write")

        created = response.json()
        assert (response.status_code, response["Cache-Control"]) == (200, "no-store")
        assert (created["name"], created["scope"], created["tenant_id"]) == ("backup", "write", None)
        assert is_good(SurfaceClient(token=created["token"]))
        listed = alice.client.get(TOKENS)
        assert listed.json()[0]["token"] == f"mat_…{created['token'][-12:-8]}"
        assert created["token"] not in listed.content.decode()
        assert alice.client.get(f"{TOKENS}/{created['id']}").json() == listed.json()[0]

    def test_only_a_digest_is_stored(self, alice: Person) -> None:
        token = create(alice).json()["token"]

        row = PersonalToken.objects.get()
        assert row.digest == digest_of(token)
        stored = f"{PersonalToken.objects.values()} {AuditEntry.objects.values()}"
        assert token not in stored
        assert token[4:-12] not in stored

    def test_it_is_good_for_ninety_days_where_nothing_else_is_said(self, alice: Person) -> None:
        before = timezone.now()
        create(alice)

        assert before + DEFAULT_LIFETIME <= newest_token(alice.user).expires_at <= timezone.now() + DEFAULT_LIFETIME

    def test_it_is_good_for_as_long_as_is_said(self, alice: Person) -> None:
        until = timezone.now().replace(microsecond=0) + timedelta(days=3)

        create(alice, expires_at=until.isoformat())
        assert newest_token(alice.user).expires_at == until
        create(alice, expires_in=3600)
        assert newest_token(alice.user).expires_at < timezone.now() + timedelta(hours=1, seconds=1)

    @override_settings(TOKEN_MAX_LIFETIME=timedelta(days=30))
    def test_default_is_not_longer_than_the_operator_allows(self, alice: Person) -> None:
        assert create(alice).status_code == 200
        assert newest_token(alice.user).expires_at < timezone.now() + timedelta(days=30, seconds=1)

    @pytest.mark.parametrize(
        ("fields", "wrong"),
        [
            ({"name": "\u202eevil"}, "name"),
            ({"name": ""}, "name"),
            ({"name": "x" * 101}, "name"),
            ({"scope": "admin"}, "scope"),
            ({"scope": None}, "scope"),
            ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
            ({"expires_at": "9999-01-01T00:00:00Z"}, "expires_at"),
            ({"expires_in": 0}, "expires_in"),
            ({"expires_in": 366 * 24 * 3600}, "expires_in"),
            ({"expires_in": 10**15}, "expires_in"),
            ({"expires_in": 60, "expires_at": "2050-01-01T00:00:00Z"}, "expires_in"),
            ({"password": None}, "password"),
            ({"password": "a wrong one"}, "password"),
        ],
    )
    def test_bad_input_creates_nothing(self, alice: Person, fields: dict[str, Any], wrong: str) -> None:
        assert list(errors_of(create(alice, **fields))) == [wrong]
        assert not PersonalToken.objects.exists()

    def test_attempts_at_the_password_are_counted(self) -> None:
        dora = register("dora, whose attempts no other test counts")
        with override_settings(AUTH_RATE=AuthRate(3, 100)):
            statuses = [create(dora, password="a wrong one").status_code for _ in range(4)]

        assert statuses == [400, 400, 400, 429]

    def test_number_is_limited(self, alice: Person) -> None:
        for _ in range(MAX_TOKENS):
            add_token(alice.user)

        response = create(alice)

        assert (response.status_code, response.json()["code"]) == (409, "CONFLICT")
        newest_token(alice.user).delete()
        assert create(alice).status_code == 200

    @pytest.mark.parametrize("fields", [{}, {"password": "anything"}])
    def test_somebody_without_a_password_needs_a_fresh_session(self, alice: Person, fields: dict[str, str]) -> None:
        alice.user.set_unusable_password()
        alice.user.save()

        assert create(alice, **fields).status_code == 200
        TokenSession.objects.update(created_at=timezone.now() - timedelta(minutes=11))
        response = create(alice, **fields)

        assert (response.status_code, response.json()["code"]) == (403, "SIGN_IN_AGAIN")

    def test_its_owner_is_told_by_mail(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        token = create(alice_with_email).json()["token"]

        assert send_due() == 1
        assert mailbox.subjects == ["A new personal access token for your account"]
        assert mailbox.recipients == ["alice@example.com"]
        assert not any(token in part for part in parts(mailbox.mails[0]))


class TestList:
    def test_latest_is_first_and_others_are_not_listed(self, alice: Person, charlie: Person) -> None:
        add_token(alice.user, name="first")
        add_token(alice.user, name="second")
        add_token(charlie.user, name="Charlie's")

        assert [row["name"] for row in alice.client.get(TOKENS).json()] == ["second", "first"]

    def test_renamed_token_stays_the_same(self, alice: Person) -> None:
        client = script(alice.user)
        row = newest_token(alice.user)

        response = alice.client.send("PATCH", f"{TOKENS}/{row.id}", {"name": "nightly"})

        assert (response.status_code, response.json()["name"]) == (200, "nightly")
        assert is_good(client)
        assert list(errors_of(alice.client.send("PATCH", f"{TOKENS}/{row.id}", {"name": "\u200b"}))) == ["name"]

    def test_expired_one_is_listed_for_a_month(self, alice: Person) -> None:
        add_token(alice.user)

        with travel(newest_token(alice.user).expires_at + KEPT_AFTER_EXPIRY - timedelta(seconds=1), tick=False):
            assert services.sweep_tokens() == 0
        with travel(newest_token(alice.user).expires_at + KEPT_AFTER_EXPIRY + timedelta(seconds=1), tick=False):
            assert services.sweep_tokens() == 1


class TestUse:
    def test_wrong_tokens_cost_at_most_one_query(self, alice: Person) -> None:
        real = add_token(alice.user)
        mistyped = real[:-1] + ("0" if real[-1] != "0" else "1")
        for token, cost in ((token_format.generate(), 1), (mistyped, 0), ("mat_", 0), (real.upper(), 0)):
            with CaptureQueriesContext(connection) as queries:
                response = SurfaceClient(token=token).get(ME)

            assert (response.status_code, response["WWW-Authenticate"]) == (401, "Bearer")
            assert len(queries) == cost, token

    def test_request_costs_as_many_queries_as_one_of_a_session(self, alice: Person) -> None:
        client = script(alice.user)
        client.get(ME)

        def cost(of: SurfaceClient) -> int:
            with CaptureQueriesContext(connection) as queries:
                assert of.get("/api/v1/agents").status_code == 200
            return len(queries)

        assert cost(client) == cost(alice.client)

    def test_use_is_recorded_once_a_minute(self, alice: Person) -> None:
        client = script(alice.user)
        first = datetime(2030, 1, 1, tzinfo=UTC)
        PersonalToken.objects.update(expires_at=first + timedelta(days=1))

        def used_after(seconds: int, address: str) -> tuple[datetime | None, str]:
            with travel(first + timedelta(seconds=seconds), tick=False):
                client.get(ME, REMOTE_ADDR=address)
            row = newest_token(alice.user)
            return row.last_used_at, row.last_used_address

        assert used_after(0, HERE) == (first, HERE)
        assert used_after(59, ELSEWHERE) == (first, HERE)
        assert used_after(60, ELSEWHERE) == (first + USED_EVERY, ELSEWHERE)

    def test_refused_request_is_not_recorded(self, alice: Person) -> None:
        client = script(alice.user)
        User.objects.filter(pk=alice.user.pk).update(is_active=False)

        assert not is_good(client)
        assert newest_token(alice.user).last_used_at is None

    def test_audit_entry_names_the_token(self, alice: Person) -> None:
        client = script(alice.user)

        assert client.send("POST", "/api/v1/agents", {"name": "made by a script"}).status_code == 200
        assert alice.client.send("POST", "/api/v1/agents", {"name": "made by hand"}).status_code == 200

        by_hand, by_script = AuditEntry.objects.filter(action="agent.create")
        assert (by_script.actor_kind, by_script.actor_id) == ("user", alice.user.id)
        assert (by_script.token_id, by_hand.token_id) == (newest_token(alice.user).id, None)
        log = alice.client.get(f"/api/v1/tenants/{alice.tenant.id}/audit?action=agent.create").json()["data"]["items"]
        assert [(entry["actor_name"], entry["token_id"]) for entry in log] == [
            ("alice", None),
            ("alice", by_script.token_id),
        ]

    def test_response_of_a_session_is_not_repeated_for_a_token(self, alice: Person) -> None:
        """An Idempotency-Key is its sender's: a token may reach less than whoever sent it first."""
        agent = alice.client.send("POST", "/api/v1/agents", {"name": "bot"}).json()["id"]
        statuses = [
            client.send(
                "POST", f"/api/v1/agents/{agent}/api_keys", {"name": name}, HTTP_IDEMPOTENCY_KEY="the same"
            ).status_code
            for client, name in ((alice.client, "one"), (script(alice.user), "one"), (script(alice.user), "two"))
        ]

        assert statuses == [200, 409, 200], "the name is taken; a repeat would have got the secret"


def revoke(person: Person) -> None:
    assert person.client.send("DELETE", f"{TOKENS}/{newest_token(person.user).id}").status_code == 204


def reset(person: Person) -> None:
    token = new_token(person.user, EmailToken.Purpose.RESET)
    services.reset_password(actor=Actor(kind=ActorKind.ANONYMOUS), token=token, new_password="a password by a link")


def set_password(person: Person) -> None:
    services.set_password(actor=OPERATOR, user=person.user, password="another password")


def set_password_by_command(person: Person) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("getpass.getpass", lambda prompt: "another password")
        call_command("changepassword", person.user.username)


def deactivate_and_activate(person: Person) -> None:
    for is_active in (False, True):
        services.update_user(actor=OPERATOR, user_id=person.user.pk, changes={"is_active": is_active})


class TestEnd:
    @pytest.mark.parametrize(
        "end", [revoke, reset, set_password, set_password_by_command, deactivate_and_activate], ids=lambda f: f.__name__
    )
    def test_token_ends_at_once_and_for_good(self, alice: Person, end: Callable[[Person], None]) -> None:
        client = script(alice.user)
        token_id = newest_token(alice.user).id
        assert is_good(client)

        end(alice)

        assert not is_good(client)
        entry = AuditEntry.objects.get(action="token.delete")
        assert (entry.object_id, entry.before) == (token_id, {**(entry.before or {}), "user": alice.user.id})

    def test_expired_one_is_over(self, alice: Person) -> None:
        client = script(alice.user)
        until = newest_token(alice.user).expires_at

        with travel(until - timedelta(seconds=1), tick=False):
            assert is_good(client)
        with travel(until, tick=False):
            assert not is_good(client)

    def test_own_password_change_and_sign_out_leave_it(self, alice: Person) -> None:
        """Whoever means to end it can revoke it. A program does not know the password, so it may go on."""
        client = script(alice.user)

        body = {"old_password": PASSWORD, "new_password": "another password"}
        assert alice.client.send("POST", "/api/v1/auth/password", body).status_code == 204
        assert alice.client.send("DELETE", "/api/v1/auth/sessions").status_code == 204

        assert is_good(client)

    def test_closed_account_has_none(self, charlie: Person) -> None:
        client = script(give_up_tenants(charlie).user)

        response = charlie.client.send("POST", "/api/v1/auth/me/close", {"password": PASSWORD})

        assert response.status_code == 204
        assert not is_good(client)
        assert not PersonalToken.objects.exists()

    def test_token_of_another_person_is_404_and_stays_valid(self, alice: Person, charlie: Person) -> None:
        client = script(alice.user)
        path = f"{TOKENS}/{newest_token(alice.user).id}"

        for method, body in (("GET", None), ("PATCH", {"name": "mine"}), ("DELETE", None)):
            assert charlie.client.send(method, path, body).status_code == 404
        assert is_good(client)

    def test_operator_sees_and_revokes_it(self, olivia: Operator, alice: Person) -> None:
        token = add_token(alice.user, name="backup")
        row = newest_token(alice.user)

        pages = olivia.get(url(PersonalToken)).content + olivia.get(url(row, "change")).content
        olivia.delete(row)

        assert b"backup" in pages
        assert token_format.masked(row.hint).encode() in pages
        assert token.encode() not in pages
        assert not is_good(SurfaceClient(token=token))
        assert olivia.audit_of("token.delete").object_id == row.id


class TestFormat:
    def test_tokens_differ_and_are_well_formed(self) -> None:
        tokens = {token_format.generate() for _ in range(1000)}

        assert len(tokens) == 1000
        assert all(token_format.is_well_formed(token) for token in tokens)

    def test_every_changed_character_is_noticed(self) -> None:
        token = token_format.generate()
        for place in range(len(token)):
            for char in "0a9fF_-\n":
                changed = token[:place] + char + token[place + 1 :]
                assert token_format.is_well_formed(changed) == (changed == token)

    @pytest.mark.parametrize("around", ["Bearer {}", "?token={}&x=1", "TOKEN_{}", '{{"token": "{}\\n"}}'])
    def test_token_is_masked_in_texts(self, around: str) -> None:
        token = token_format.generate()
        for spelling in (token, token.upper(), token[:30] + "\r\n" + token[30:], token.replace("_", "%5F"), token[:60]):
            assert scrubbed(around.format(spelling)) == around.format("mat_…")

    @pytest.mark.parametrize(
        "text", ["mat_", "mat_…00ff", "format_version", "a mat_ of 0123456789abcdef", "mat_" + "g" * 72]
    )
    def test_other_texts_stay(self, text: str) -> None:
        assert scrubbed(text) == text
