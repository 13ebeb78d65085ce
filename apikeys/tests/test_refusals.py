"""Refusals of keys: noted by workers with the request's id, and read by the people who manage a tenant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlencode

import pytest
from django.utils import timezone
from time_machine import travel

from apikeys import keyformat, refusals, services, usage
from apikeys.models import ApiKey, Refusal
from apikeys.tests.facts import facts
from apikeys.tests.worker import Data, Worker
from apikeys.verification import DISABLED, EXPIRED, Verdict
from apikeys.verification.counting import UseCounter
from apikeys.verification.refusals import MAX_OF_KEY, MAX_OF_TENANT, MAX_WAITING, RefusalLog
from core.http.surfaces import INTERNAL
from tests.support.client import SurfaceClient
from tests.support.people import OPERATOR, Person, join
from tests.support.refusals import refuse

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
VALIDATE, CHECK, MANY = (
    f"/api/v2/auth/{name}" for name in ("validate-api-key", "check-permission", "validate-api-keys")
)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, db: None) -> Worker:
    worker = Worker(monkeypatch)
    worker.take_over(monkeypatch)
    worker.renew()
    return worker


@pytest.fixture
def data(alice: Person) -> Data:
    return Data(alice)


def ask(path: str, request_id: str, **body: Any) -> None:
    response = SurfaceClient(INTERNAL).send("POST", path, body, HTTP_X_REQUEST_ID=request_id)
    assert response.status_code == 200, response.content


def written(worker: Worker) -> list[tuple[str, str, str | None]]:
    """Return request id, code and reason of each refusal that was written, in order."""
    worker.engine._counter.write()
    return list(Refusal.unscoped.order_by("id").values_list("request_id", "code", "reason"))


def listed(person: Person, **query: Any) -> list[dict[str, Any]]:
    response = person.client.get(f"/api/v1/tenants/{person.tenant.id}/refusals?{urlencode(query)}")
    assert response.status_code == 200, response.content
    items: list[dict[str, Any]] = response.json()["data"]["items"]
    return items


class TestNoting:
    def test_each_kind_of_refusal_is_noted_with_its_reason(self, worker: Worker, data: Data) -> None:
        rotated = services.rotate_key(actor=OPERATOR, key=data.key)
        limited = data.another(rate_limit={"limit": 1, "window_seconds": 3600})
        spent = data.another(quota={"limit": 1, "period": "day"})
        worker.renew()
        ask(VALIDATE, "rotated", api_key=data.secret)
        ask(VALIDATE, "disabled", api_key=data.another_disabled())
        ask(VALIDATE, "elsewhere", api_key=data.another(allowed_networks=["192.0.2.0/24"]), client_ip="2001:db8::7")
        for request_id in ("first", "limited"):
            ask(VALIDATE, request_id, api_key=limited)
            ask(VALIDATE, f"{request_id} quota".replace(" ", "-"), api_key=spent)
        ask(VALIDATE, "without", api_key=rotated.secret, required_permission="admin")
        ask(CHECK, "checked", api_key=rotated.secret, permission="admin")
        ask(VALIDATE, "good", api_key=rotated.secret, required_permission="chat")

        assert written(worker) == [
            ("rotated", "AUTH_002", "rotated"),
            ("disabled", "AUTH_004", None),
            ("elsewhere", "AUTH_008", None),
            ("limited", "AUTH_006", "rate_limit"),
            ("limited-quota", "AUTH_006", "quota"),
            ("without", "AUTH_003", None),
            ("checked", "AUTH_003", None),
        ]
        assert Refusal.unscoped.get(request_id="elsewhere").client_ip == "2001:db8::7"

    def test_several_keys_in_one_request_share_its_id(self, worker: Worker, data: Data) -> None:
        disabled = data.another_disabled()
        ask(MANY, "many", items=[{"api_key": disabled}, {"api_key": data.secret}, {"api_key": disabled}])

        assert [request_id for request_id, _code, _reason in written(worker)] == ["many", "many"]

    def test_unknown_and_malformed_keys_belong_to_nobody(self, worker: Worker, data: Data) -> None:
        unknown = keyformat.generate(data.tenant.id, data.agent.id)
        for secret in (unknown, "no key"):
            ask(VALIDATE, "unknown", api_key=secret)

        assert written(worker) == []

    def test_noisy_key_hides_no_other_ones_refusal(self) -> None:
        log = RefusalLog()
        noisy, quiet = facts(key_id="key_noisy"), facts(key_id="key_quiet")
        for number in range(MAX_OF_KEY + 5):
            log.note(Verdict(EXPIRED, noisy), EXPIRED, moment=NOON, address=None, request_id=f"noisy {number}")
        log.note(Verdict(DISABLED, quiet), DISABLED, moment=NOON, address=None, request_id="quiet")
        later = NOON + timedelta(minutes=1)
        log.note(Verdict(EXPIRED, noisy), EXPIRED, moment=later, address=ip_address("192.0.2.1"), request_id="later")

        noted = [refused.request_id for refused in log.take()]
        assert noted == [*(f"noisy {number}" for number in range(MAX_OF_KEY)), "quiet", "later"]
        assert log.take() == []

    def test_noisy_tenant_hides_no_other_ones_refusal(self) -> None:
        log = RefusalLog()
        for number in range(MAX_OF_TENANT + 5):
            of_many = Verdict(EXPIRED, facts(key_id=f"key_{number}", tenant_id="tenant_noisy"))
            log.note(of_many, EXPIRED, moment=NOON, address=None, request_id="noisy")
        log.note(Verdict(EXPIRED, facts()), EXPIRED, moment=NOON, address=None, request_id="quiet")

        assert [refused.request_id for refused in log.take()] == ["noisy"] * MAX_OF_TENANT + ["quiet"]


class TestWriting:
    def test_refusals_wait_until_they_can_be_written_and_are_written_once(
        self, worker: Worker, data: Data, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ask(VALIDATE, "refused", api_key=data.another_disabled())
        with monkeypatch.context() as patch:
            patch.setattr(usage, "add", _failing)
            with pytest.raises(ZeroDivisionError):
                worker.engine._counter.write()
        ask(VALIDATE, "next", api_key=data.another_disabled())

        assert [request_id for request_id, _code, _reason in written(worker)] == ["refused", "next"]
        assert len(written(worker)) == 2

    def test_what_waits_is_bounded(self) -> None:
        counter = UseCounter()
        (refused,) = _noted(counter)

        counter.refusal_log.put_back([refused] * (MAX_WAITING + 5))

        assert len(counter.refusal_log.take()) == MAX_WAITING


def _failing(*_arguments: Any) -> None:
    raise ZeroDivisionError


def _noted(counter: UseCounter) -> list[refusals.Refused]:
    verdict = Verdict(EXPIRED, facts())
    counter.refusal_log.note(verdict, EXPIRED, moment=NOON, address=None, request_id="one")
    return counter.refusal_log.take()


class TestReading:
    def test_refusal_is_found_by_its_request(self, worker: Worker, alice: Person, data: Data) -> None:
        services.disable_key(actor=OPERATOR, key=data.key)
        worker.renew()
        with travel(NOON, tick=False):
            ask(VALIDATE, "req_1", api_key=data.secret, client_ip="192.0.2.7")
        ask(VALIDATE, "req_2", api_key=data.secret)
        written(worker)

        (found,) = listed(alice, request_id="req_1")

        assert found.pop("id")
        assert found == {
            "at": "2026-01-31T12:00:00Z",
            "request_id": "req_1",
            "api_key_id": data.key.id,
            "agent_id": data.agent.id,
            "code": "AUTH_004",
            "reason": None,
            "error": "API 密钥已被禁用",
            "client_ip": "192.0.2.7",
        }

    def test_filters(self, alice: Person, charlie: Person) -> None:
        refuse(alice.tenant, "a", NOON, code="AUTH_002", key_id="key_1")
        refuse(alice.tenant, "b", NOON + timedelta(hours=1), code="AUTH_004", key_id="key_1")
        refuse(alice.tenant, "c", NOON + timedelta(hours=2), code="AUTH_004", key_id="key_2")
        refuse(charlie.tenant, "d", NOON)

        def found(**query: Any) -> str:
            return "".join(each["request_id"] for each in listed(alice, **query))

        assert (found(), found(code="AUTH_004"), found(api_key_id="key_1")) == ("cba", "cb", "ba")
        assert (found(request_id="d"), found(code="AUTH_004", api_key_id="key_1")) == ("", "b")
        assert (found(**{"from": "2026-01-31T13:00:00Z"}), found(to="2026-01-31T13:00:00Z")) == ("cb", "a")

    def test_who_does_not_read_the_audit_log_is_refused(self, alice: Person, bob: Person, charlie: Person) -> None:
        join(bob, alice.tenant)
        path = f"/api/v1/tenants/{alice.tenant.id}/refusals"

        assert (bob.client.get(path).status_code, charlie.client.get(path).status_code) == (403, 404)

    def test_refusals_outlive_their_key(self, alice: Person, data: Data) -> None:
        refuse(alice.tenant, "a", key_id=data.key.id)
        ApiKey.objects.in_tenants([alice.tenant.id]).filter(pk=data.key.id).delete()

        assert [each["api_key_id"] for each in listed(alice)] == [data.key.id]


class TestSweep:
    def test_old_ones_are_deleted(self, alice: Person) -> None:
        now = timezone.now()
        refuse(alice.tenant, "old", now - timedelta(days=7, seconds=1))
        refuse(alice.tenant, "new", now - timedelta(days=7) + timedelta(minutes=1))

        assert refusals.sweep() == 1
        assert [each["request_id"] for each in listed(alice)] == ["new"]

    def test_newest_of_too_many_stay(self, alice: Person, charlie: Person, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(refusals, "KEPT_OF_TENANT", 3)
        monkeypatch.setattr(refusals, "SLICE", 2)
        refuse(charlie.tenant, "theirs")
        for number in range(8):
            refuse(alice.tenant, f"{number}")

        assert refusals.sweep() == 5
        assert [each["request_id"] for each in listed(alice)] == ["7", "6", "5"]
        assert len(listed(charlie)) == 1

        monkeypatch.setattr(refusals, "KEPT_OF_ALL", 2)
        assert refusals.sweep() == 2
        assert [each["request_id"] for each in listed(alice)] == ["7", "6"]
