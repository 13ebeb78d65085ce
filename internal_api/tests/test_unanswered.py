"""Faults on the fast path: a request that times out, and a key whose row cannot be read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from time_machine import travel

from apikeys import keyformat
from apikeys.tests.worker import Data, Worker, queries
from core.epoch import LEASE_SECONDS
from internal_api.fastpath import Reply
from internal_api.fastpath.keys import KeyAuthHandler
from tests.support.envelope import ENVELOPE
from tests.support.fastpath import match
from tests.support.people import Person

pytestmark = pytest.mark.django_db
NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)
VALIDATE, CHECK = "/api/v2/auth/validate-api-key", "/api/v2/auth/check-permission"
UNKNOWN = keyformat.generate("tenant_000000000000", "agent_000000000000")
A_MINUTE = {"limit": 2, "window_seconds": 60}


@pytest.fixture(autouse=True)
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    """A worker with a valid lease, in place of the process' own."""
    worker = Worker(monkeypatch)
    worker.renew()
    worker.take_over(monkeypatch)
    return worker


@pytest.fixture
def data(alice: Person) -> Data:
    return Data(alice)


def handler(secret: str, path: str = VALIDATE, **body: Any) -> KeyAuthHandler:
    """Return the handler of a request about a key."""
    found = match("POST", path, json.dumps({"api_key": secret, **body}).encode())
    assert isinstance(found, KeyAuthHandler)
    return found


def envelope_of(reply: Reply) -> dict[str, Any]:
    """Return the envelope of a reply that has a verdict."""
    envelope: dict[str, Any] = json.loads(reply.body)
    assert reply.status == 200, envelope
    assert list(envelope) == ENVELOPE
    return envelope


def assert_unavailable(reply: Reply) -> None:
    envelope = json.loads(reply.body)
    assert reply.status == 503, envelope
    assert list(envelope) == ENVELOPE
    assert (envelope["success"], envelope["error_code"], envelope["data"]) == (False, "SYS_002", None)
    assert int(dict(reply.headers)["Retry-After"]) > 0


class TestTimeout:
    """The request has timed out."""

    @pytest.mark.parametrize(
        ("path", "body"), [(VALIDATE, {"required_permission": "chat"}), (CHECK, {"permission": "chat"})]
    )
    def test_last_verdict_is_served_within_the_setting(
        self, worker: Worker, data: Data, settings: Any, path: str, body: dict[str, Any]
    ) -> None:
        settings.SERVE_STALE_SECONDS = 60
        asked = handler(data.secret, path, **body)
        fresh = envelope_of(KeyAuthHandler.reply_all([asked])[0])

        worker.lose(59.9)
        stale = envelope_of(asked.timeout_reply())
        assert stale["data"] == {**fresh["data"], "stale": True}
        assert (stale["success"], stale["tenant_id"]) == (True, data.tenant.id)
        assert "stale" not in fresh["data"]

        worker.clock.now += 0.1
        assert_unavailable(asked.timeout_reply())

    @pytest.mark.parametrize("path", [VALIDATE, CHECK])
    def test_timeout_is_503_where_the_setting_is_zero(self, worker: Worker, data: Data, path: str) -> None:
        asked = handler(data.secret, path, permission="chat")
        envelope_of(KeyAuthHandler.reply_all([asked])[0])
        worker.clock.now += LEASE_SECONDS

        assert_unavailable(asked.timeout_reply())

    def test_key_that_was_never_cached_has_no_stale_verdict(self, worker: Worker, data: Data, settings: Any) -> None:
        settings.SERVE_STALE_SECONDS = 60
        KeyAuthHandler.reply_all([handler(UNKNOWN)])
        worker.clock.now += LEASE_SECONDS

        assert_unavailable(handler(data.secret).timeout_reply())
        assert_unavailable(handler(UNKNOWN).timeout_reply())

    def test_last_verdict_checks_expiry_as_of_now(self, worker: Worker, data: Data, settings: Any) -> None:
        settings.SERVE_STALE_SECONDS = 60
        data.change(expires_at=NOON)
        worker.renew()
        KeyAuthHandler.reply_all([handler(data.secret)])
        worker.lose()

        with travel(NOON - timedelta(seconds=1), tick=False):
            assert envelope_of(handler(data.secret).timeout_reply())["data"]["valid"] is True
        with travel(NOON, tick=False):
            assert envelope_of(handler(data.secret).timeout_reply())["data"] == {
                "valid": False,
                "code": "AUTH_002",
                "stale": True,
            }

    def test_key_with_limits_follows_limits_fail(self, data: Data, settings: Any) -> None:
        """Redis does not answer then, so the lease is valid and the verdict not stale."""
        limited = data.another(rate_limit=A_MINUTE)
        KeyAuthHandler.reply_all([handler(limited)])

        assert_unavailable(handler(limited).timeout_reply())
        settings.LIMITS_FAIL_OPEN = True
        found = envelope_of(handler(limited).timeout_reply())["data"]
        assert (found["code"], found["rate_limit"], "stale" in found) == ("VALID", None, False)

    def test_request_without_a_use_is_answered_without_limits(self, data: Data) -> None:
        limited = data.another(rate_limit=A_MINUTE)
        KeyAuthHandler.reply_all([handler(limited)])

        assert envelope_of(handler(limited, check_rate_limit=False).timeout_reply())["data"]["rate_limit"] is None
        assert (
            envelope_of(handler(limited, CHECK, permission="chat").timeout_reply())["data"]["has_permission"] is False
        )

    def test_timeout_takes_no_query_and_counts_nothing(self, worker: Worker, data: Data, settings: Any) -> None:
        settings.LIMITS_FAIL_OPEN, settings.SERVE_STALE_SECONDS = True, 60
        limited = data.another(rate_limit=A_MINUTE)
        KeyAuthHandler.reply_all([handler(data.secret), handler(limited)])

        with queries(0):
            for _ in range(3):
                envelope_of(handler(data.secret).timeout_reply())
                envelope_of(handler(limited).timeout_reply())

        assert worker.uses() == 2
        (reply,) = KeyAuthHandler.reply_all([handler(limited)])
        assert envelope_of(reply)["data"]["rate_limit"]["remaining"] == 0


class TestUnreadableRow:
    """Only the request about that key fails."""

    @pytest.fixture(
        params=[("permissions", "["), ("allowed_networks", '["nowhere"]')],
        ids=["no JSON", "no network"],
    )
    def unreadable(self, data: Data, request: pytest.FixtureRequest) -> str:
        """The secret of a key whose row is corrupt."""
        column, junk = request.param
        secret = data.another(name="spoilt")
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE apikeys_apikey SET {column} = %s WHERE name = 'spoilt'", [junk])
            assert cursor.rowcount == 1
        return secret

    def test_other_requests_of_the_batch_are_answered(self, worker: Worker, data: Data, unreadable: str) -> None:
        asked = [data.secret, unreadable, UNKNOWN, data.another_disabled(), unreadable, data.another()]
        worker.renew()

        replies = KeyAuthHandler.reply_all([handler(secret) for secret in asked])

        assert [reply.status for reply in replies] == [200, 500, 200, 200, 500, 200]
        codes = [json.loads(reply.body)["error_code"] for reply in replies]
        assert codes == [None, "SYS_001", "AUTH_005", "AUTH_004", "SYS_001", None]
        assert worker.uses() == 2, "each good key is used once"

    def test_request_alone_in_its_batch_fails(self, unreadable: str) -> None:
        (reply,) = KeyAuthHandler.reply_all([handler(unreadable)])

        assert reply.status == 500
        assert list(json.loads(reply.body)) == ENVELOPE
        assert b"nowhere" not in reply.body

    def test_request_is_answered_after_the_row_is_repaired(self, data: Data, unreadable: str) -> None:
        KeyAuthHandler.reply_all([handler(unreadable)])
        with connection.cursor() as cursor:
            cursor.execute("UPDATE apikeys_apikey SET permissions = '[]', allowed_networks = '[]'")

        (reply,) = KeyAuthHandler.reply_all([handler(unreadable)])

        assert envelope_of(reply)["data"]["valid"] is True
