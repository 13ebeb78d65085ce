"""Below Django, when something fails: a question that nobody answers in time, and one whose row cannot be read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from time_machine import travel

from apikeys import keyformat
from apikeys.tests.worker import Scene, Worker, queries
from core.epoch import LEASE_SECONDS
from core.http.surfaces import INTERNAL
from internal_api.fastpath import keys as shortcut
from internal_api.fastpath.responses import Reply
from tests.support.envelope import ENVELOPE
from tests.support.people import Person

pytestmark = pytest.mark.django_db
NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)
VALIDATE, CHECK = "/api/v2/auth/validate-api-key", "/api/v2/auth/check-permission"
UNKNOWN = keyformat.generate("tenant_000000000000", "agent_000000000000")
A_MINUTE = {"limit": 2, "window_seconds": 60}


@pytest.fixture(autouse=True)
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    """A worker with a good lease, whom everybody asks."""
    worker = Worker(monkeypatch)
    worker.renew()
    worker.take_over(monkeypatch)
    return worker


@pytest.fixture
def scene(alice: Person) -> Scene:
    return Scene(alice)


def question(secret: str, path: str = VALIDATE, **body: Any) -> shortcut.Request:
    """A question that has come in."""
    content = json.dumps({"api_key": secret, **body}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(content)), "host": "localhost"}
    asked = shortcut.request("POST", path, str(INTERNAL.bind.port), headers.get, lambda: content)
    assert asked is not None
    return asked


def told(reply: Reply) -> dict[str, Any]:
    """The envelope of an answer, whose data is the verdict."""
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


class TestUnanswered:
    """Nobody has answered in time."""

    @pytest.mark.parametrize(
        ("path", "body"), [(VALIDATE, {"required_permission": "chat"}), (CHECK, {"permission": "chat"})]
    )
    def test_the_last_verdict_is_told_as_long_as_that_is_granted(
        self, worker: Worker, scene: Scene, settings: Any, path: str, body: dict[str, Any]
    ) -> None:
        settings.SERVE_STALE_SECONDS = 60
        asked = question(scene.secret, path, **body)
        fresh = told(shortcut.answered([asked])[0])

        worker.lose(59.9)
        stale = told(asked.unanswered())
        assert stale["data"] == {**fresh["data"], "stale": True}
        assert (stale["success"], stale["tenant_id"]) == (True, scene.tenant.id)
        assert "stale" not in fresh["data"]

        worker.clock.now += 0.1
        assert_unavailable(asked.unanswered())

    @pytest.mark.parametrize("path", [VALIDATE, CHECK])
    def test_where_nothing_is_granted_there_is_no_answer(self, worker: Worker, scene: Scene, path: str) -> None:
        asked = question(scene.secret, path, permission="chat")
        told(shortcut.answered([asked])[0])
        worker.clock.now += LEASE_SECONDS

        assert_unavailable(asked.unanswered())

    def test_who_was_never_seen_has_no_last_verdict(self, worker: Worker, scene: Scene, settings: Any) -> None:
        settings.SERVE_STALE_SECONDS = 60
        shortcut.answered([question(UNKNOWN)])
        worker.clock.now += LEASE_SECONDS

        assert_unavailable(question(scene.secret).unanswered())
        assert_unavailable(question(UNKNOWN).unanswered())

    def test_the_last_verdict_is_judged_as_of_now(self, worker: Worker, scene: Scene, settings: Any) -> None:
        settings.SERVE_STALE_SECONDS = 60
        scene.change(expires_at=NOON)
        worker.renew()
        shortcut.answered([question(scene.secret)])
        worker.lose()

        with travel(NOON - timedelta(seconds=1), tick=False):
            assert told(question(scene.secret).unanswered())["data"]["valid"] is True
        with travel(NOON, tick=False):
            assert told(question(scene.secret).unanswered())["data"] == {
                "valid": False,
                "code": "AUTH_002",
                "stale": True,
            }

    def test_a_key_with_limits_is_answered_as_limits_may_fail(self, scene: Scene, settings: Any) -> None:
        """What does not answer is Redis then: the lease is good, and the verdict not stale."""
        limited = scene.another(rate_limit=A_MINUTE)
        shortcut.answered([question(limited)])

        assert_unavailable(question(limited).unanswered())
        settings.LIMITS_FAIL_OPEN = True
        data = told(question(limited).unanswered())["data"]
        assert (data["code"], data["rate_limit"], "stale" in data) == ("VALID", None, False)

    def test_who_uses_none_of_its_limits_is_told_without_them(self, scene: Scene) -> None:
        limited = scene.another(rate_limit=A_MINUTE)
        shortcut.answered([question(limited)])

        assert told(question(limited, check_rate_limit=False).unanswered())["data"]["rate_limit"] is None
        assert told(question(limited, CHECK, permission="chat").unanswered())["data"]["has_permission"] is False

    def test_nobody_is_asked_and_nothing_is_counted(self, worker: Worker, scene: Scene, settings: Any) -> None:
        settings.LIMITS_FAIL_OPEN, settings.SERVE_STALE_SECONDS = True, 60
        limited = scene.another(rate_limit=A_MINUTE)
        shortcut.answered([question(scene.secret), question(limited)])

        with queries(0):
            for _ in range(3):
                told(question(scene.secret).unanswered())
                told(question(limited).unanswered())

        assert worker.uses() == 2
        (reply,) = shortcut.answered([question(limited)])
        assert told(reply)["data"]["rate_limit"]["remaining"] == 0


class TestARowThatCannotBeRead:
    """It is a fault of its own question, and of no other."""

    @pytest.fixture(
        params=[("permissions", "["), ("allowed_networks", '["nowhere"]')],
        ids=["no JSON", "no network"],
    )
    def unreadable(self, scene: Scene, request: pytest.FixtureRequest) -> str:
        """The secret of a key whose row somebody has spoilt."""
        column, junk = request.param
        secret = scene.another(name="spoilt")
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE apikeys_apikey SET {column} = %s WHERE name = 'spoilt'", [junk])
            assert cursor.rowcount == 1
        return secret

    def test_the_others_of_its_batch_are_answered(self, worker: Worker, scene: Scene, unreadable: str) -> None:
        asked = [scene.secret, unreadable, UNKNOWN, scene.another_disabled(), unreadable, scene.another()]
        worker.renew()

        replies = shortcut.answered([question(secret) for secret in asked])

        assert [reply.status for reply in replies] == [200, 500, 200, 200, 500, 200]
        codes = [json.loads(reply.body)["error_code"] for reply in replies]
        assert codes == [None, "SYS_001", "AUTH_005", "AUTH_004", "SYS_001", None]
        assert worker.uses() == 2, "each good key is used once"

    def test_alone_it_is_a_fault_too(self, unreadable: str) -> None:
        (reply,) = shortcut.answered([question(unreadable)])

        assert reply.status == 500
        assert list(json.loads(reply.body)) == ENVELOPE
        assert b"nowhere" not in reply.body

    def test_it_is_answered_again_when_it_is_mended(self, scene: Scene, unreadable: str) -> None:
        shortcut.answered([question(unreadable)])
        with connection.cursor() as cursor:
            cursor.execute("UPDATE apikeys_apikey SET permissions = '[]', allowed_networks = '[]'")

        (reply,) = shortcut.answered([question(unreadable)])

        assert told(reply)["data"]["valid"] is True
