"""Verifications by outcome over time: written once for each period, read by period, kept for a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_address

import pytest
from django.core.management import call_command
from django.db import connection
from time_machine import travel

from agents import services as agents
from apikeys import outcomes, permissions, services, usage
from apikeys.models import ApiKey, DailyRefusals, DailyUse, FiveMinuteCount, HourCount, MinuteCount
from apikeys.outcomes import INSTALLATION, Outcomes, Period, Resolution
from apikeys.periods import HOUR, MINUTE
from apikeys.tests.facts import facts
from apikeys.tests.test_counting import committing_without_an_answer, refusing
from apikeys.tests.worker import Data, Worker
from apikeys.verification import (
    ADDRESS_NOT_ALLOWED,
    DISABLED,
    EXPIRED,
    LIMIT_EXCEEDED,
    MALFORMED,
    NOT_ACTIVE,
    PERMISSION_MISSING,
    UNAVAILABLE,
    UNKNOWN,
    VALID,
    Verdict,
    VerificationRequest,
    counting,
)
from apikeys.verification.counting import UseCounter
from tenants import services as tenants
from tests.support.people import OPERATOR, Person

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
A_MOMENT = timedelta(microseconds=1)
OURS, THEIRS = facts(tenant_id="tenant_ours"), facts(key_id="key_2", agent_id="agent_2", tenant_id="tenant_theirs")


@pytest.fixture
def counter() -> UseCounter:
    return UseCounter()


@pytest.fixture
def _at_noon() -> Iterator[None]:
    with travel(NOON, tick=False):
        yield


def minutes() -> dict[tuple[str, datetime, str], int]:
    return {(row.tenant_id, row.start, row.outcome): row.number for row in MinuteCount.unscoped.all()}


def counted(minute: datetime, tenant_id: str, outcome: str, number: int) -> Outcomes:
    """Return verifications of a tenant's only key, or of keys that nobody has."""
    of_key = ("agent_1", "key_1") if tenant_id else ("", "")
    return Outcomes(minute, tenant_id, *of_key, outcome, number)


def five_minutes() -> dict[tuple[str, datetime, str], int]:
    return {(row.subject, row.start, row.outcome): row.number for row in FiveMinuteCount.objects.all()}


def refused() -> dict[tuple[str, date, str], int]:
    return {(row.subject, row.day, row.outcome): row.number for row in DailyRefusals.objects.all()}


def hours() -> dict[tuple[str, datetime, str], int]:
    return {(row.tenant_id, row.start, row.outcome): row.number for row in HourCount.unscoped.all()}


def total(tenant_id: str, outcome: str) -> int:
    return sum(number for (of, _start, code), number in minutes().items() if (of, code) == (tenant_id, outcome))


def read(tenant_id: str, resolution: Resolution = Resolution.MINUTE) -> dict[datetime, dict[str, int]]:
    """Return the periods in which something was counted, of all time."""
    periods = outcomes.read(tenant_id, datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), resolution)
    return {start: numbers for start, numbers in periods if numbers}


class TestCounting:
    def test_uses_are_the_valid_verifications_of_their_minute(self, counter: UseCounter) -> None:
        for moment in (NOON, NOON + MINUTE - A_MOMENT, NOON + MINUTE, NOON):
            counter.count(OURS, moment)
        counter.count(THEIRS, NOON)
        counter.write()

        assert minutes() == {
            ("tenant_ours", NOON, VALID): 3,
            ("tenant_ours", NOON + MINUTE, VALID): 1,
            ("tenant_theirs", NOON, VALID): 1,
            (INSTALLATION, NOON, VALID): 4,
            (INSTALLATION, NOON + MINUTE, VALID): 1,
        }

    def test_verification_is_added_to_every_period_of_everything_that_it_is_about(self, counter: UseCounter) -> None:
        at = NOON + 17 * MINUTE
        for key, has_permission in ((OURS, True), (OURS, True), (OURS, False), (THEIRS, True)):
            counter.count(key, at, has_permission=has_permission)
        counter.count_refusal(Verdict(EXPIRED, THEIRS), at)
        counter.count_refusal(Verdict(UNKNOWN), at)
        counter.write()

        assert minutes().keys() == {(tenant, at, code) for tenant, _hour, code in hours()}
        assert hours() == {
            ("tenant_ours", NOON, VALID): 2,
            ("tenant_ours", NOON, PERMISSION_MISSING): 1,
            ("tenant_theirs", NOON, VALID): 1,
            ("tenant_theirs", NOON, EXPIRED): 1,
            (INSTALLATION, NOON, VALID): 3,
            (INSTALLATION, NOON, PERMISSION_MISSING): 1,
            (INSTALLATION, NOON, EXPIRED): 1,
            (INSTALLATION, NOON, UNKNOWN): 1,
        }
        quarter = NOON + 15 * MINUTE
        assert five_minutes() == {
            **{(subject, quarter, VALID): 2 for subject in ("key_1", "agent_1")},
            **{(subject, quarter, PERMISSION_MISSING): 1 for subject in ("key_1", "agent_1")},
            **{(subject, quarter, code): 1 for subject in ("key_2", "agent_2") for code in (VALID, EXPIRED)},
        }
        today = NOON.date()
        assert refused() == {
            **{(subject, today, PERMISSION_MISSING): 1 for subject in ("key_1", "agent_1", "tenant_ours", "")},
            **{(subject, today, EXPIRED): 1 for subject in ("key_2", "agent_2", "tenant_theirs", "")},
            (INSTALLATION, today, UNKNOWN): 1,
        }
        assert usage.by_day(INSTALLATION, INSTALLATION, today, today) == [(today, 4)]

    def test_key_that_is_only_refused_is_not_used(self, counter: UseCounter) -> None:
        counter.count_refusal(Verdict(DISABLED, OURS), NOON)
        counter.write()

        assert not DailyUse.unscoped.exists()

    def test_refusals_count_for_the_tenant_and_those_of_unknown_keys_for_none(self, counter: UseCounter) -> None:
        for _ in range(3):
            counter.count_refusal(Verdict(DISABLED, OURS), NOON)
        counter.count_refusal(Verdict(LIMIT_EXCEEDED, OURS), NOON)
        counter.count_refusal(Verdict(UNKNOWN), NOON)
        counter.count_refusal(Verdict(MALFORMED), NOON)
        counter.write()

        assert minutes() == {
            ("tenant_ours", NOON, DISABLED): 3,
            ("tenant_ours", NOON, LIMIT_EXCEEDED): 1,
            (INSTALLATION, NOON, DISABLED): 3,
            (INSTALLATION, NOON, LIMIT_EXCEEDED): 1,
            (INSTALLATION, NOON, UNKNOWN): 1,
            (INSTALLATION, NOON, MALFORMED): 1,
        }

    def test_use_without_the_required_permission_is_not_valid(self, counter: UseCounter) -> None:
        for key, has_permission in ((OURS, True), (OURS, False), (OURS, False), (THEIRS, False)):
            counter.count(key, NOON, has_permission=has_permission)
        counter.write()

        assert minutes() == {
            ("tenant_ours", NOON, VALID): 1,
            ("tenant_ours", NOON, PERMISSION_MISSING): 2,
            ("tenant_theirs", NOON, PERMISSION_MISSING): 1,
            (INSTALLATION, NOON, VALID): 1,
            (INSTALLATION, NOON, PERMISSION_MISSING): 3,
        }

    def test_workers_add_to_the_same_minute(self) -> None:
        for counter in (UseCounter(), UseCounter()):
            counter.count(OURS, NOON)
            counter.count_refusal(Verdict(UNKNOWN), NOON)
            counter.write()

        assert minutes() == {
            ("tenant_ours", NOON, VALID): 2,
            (INSTALLATION, NOON, VALID): 2,
            (INSTALLATION, NOON, UNKNOWN): 2,
        }

    def test_more_outcomes_than_a_batch_holds_are_all_written(
        self, counter: UseCounter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(counting, "MAX_BATCH_SIZE", 2)
        for number in range(5):
            counter.count_refusal(Verdict(DISABLED, facts(tenant_id=f"tenant_{number}")), NOON)
        counter.write()

        assert len(minutes()) == 6
        assert total(INSTALLATION, DISABLED) == 5


@pytest.mark.django_db(transaction=True)
class TestADatabaseThatRefuses:
    def test_outcomes_are_kept_and_written_once(self, counter: UseCounter) -> None:
        with refusing([], when=lambda sql: "apikeys_minutecount" in sql):
            for _ in range(3):
                counter.count(OURS, NOON)
                counter.count_refusal(Verdict(DISABLED, OURS), NOON)
                counter.write()
        assert minutes() == {}
        assert not DailyUse.unscoped.exists(), "uses are not written without their outcomes"

        counter.write()
        counter.write()

        assert (total("tenant_ours", VALID), total("tenant_ours", DISABLED)) == (3, 3)

    def test_commit_without_an_answer_is_not_repeated(
        self, counter: UseCounter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        counter.count(OURS, NOON)
        counter.count_refusal(Verdict(DISABLED, OURS), NOON)
        with committing_without_an_answer(monkeypatch):
            counter.write()

        counter.write()

        assert (total("tenant_ours", VALID), total("tenant_ours", DISABLED)) == (1, 1)

    def test_many_kept_minutes_become_hours(self, counter: UseCounter, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(counting, "MAX_KEPT_OUTCOMES", 10)
        with refusing([], when=lambda sql: True):
            for number in range(90):
                counter.count_refusal(Verdict(DISABLED, OURS), NOON + number * MINUTE)
                counter.write()

        counter.write()

        assert total("tenant_ours", DISABLED) == 90
        assert len(minutes()) <= 2 * 14, "for the tenant and the installation"


# Each refusal, with the change that leads to it.
REFUSALS: dict[str, Callable[[Data], object]] = {
    DISABLED: lambda data: services.disable_key(actor=OPERATOR, key=data.key),
    EXPIRED: lambda data: services.rotate_key(actor=OPERATOR, key=data.key, grace_seconds=0),
    ADDRESS_NOT_ALLOWED: lambda data: data.change(allowed_networks=["10.0.0.0/8"]),
    NOT_ACTIVE: lambda data: agents.update_agent(actor=OPERATOR, agent=data.agent, changes={"status": "inactive"}),
    LIMIT_EXCEEDED: lambda data: data.change(quota={"limit": 0, "period": "day"}),
}


class TestVerification:
    @pytest.mark.parametrize("code", [VALID, *REFUSALS])
    def test_each_outcome_of_a_known_key_counts_for_its_tenant(self, worker: Worker, data: Data, code: str) -> None:
        if code in REFUSALS:
            REFUSALS[code](data)
        worker.renew()
        request = VerificationRequest(data.secret, ip_address("192.0.2.1"), use=True)

        worker.engine.verify_all([request, request])  # from the database
        worker.engine.verify_all([request])  # from the cache
        is_cached = worker.engine.verify_cached(request) is not None  # a use of a limited key takes I/O
        worker.engine._counter.write()

        assert is_cached == (code != LIMIT_EXCEEDED)
        assert total(data.tenant.id, code) == total(INSTALLATION, code) == 3 + is_cached
        assert sum(minutes().values()) == 2 * (3 + is_cached)

    def test_missing_permission_counts_as_a_use_and_as_its_own_outcome(self, worker: Worker, data: Data) -> None:
        worker.renew()
        requests = [
            VerificationRequest(data.secret, use=True, requirement=permissions.parse(expression))
            for expression in ("chat", "nobody.has.this")
        ]

        worker.engine.verify_all(requests)  # from the database
        assert [worker.engine.verify_cached(request) for request in requests * 2].count(None) == 0
        worker.engine._counter.write()

        assert total(data.tenant.id, VALID) == total(data.tenant.id, PERMISSION_MISSING) == 3
        assert ApiKey.unscoped.get().usage_count == 6

    def test_keys_that_nobody_has_count_for_the_installation(self, worker: Worker, data: Data) -> None:
        services.delete_key(actor=OPERATOR, key=data.key)
        worker.renew()

        for secret in ("junk", data.secret, data.secret):
            worker.engine.verify(secret, use=True)
        worker.engine.verify_cached(VerificationRequest("junk", use=True))
        worker.engine._counter.write()

        assert {outcome: number for (_tenant, _start, outcome), number in minutes().items()} == {
            MALFORMED: 2,
            UNKNOWN: 2,
        }

    def test_questions_without_a_use_do_not_count(self, worker: Worker, data: Data) -> None:
        for secret in ("junk", data.secret):
            worker.engine.verify(secret)
            worker.engine.verify_cached(VerificationRequest(secret))
        worker.engine._counter.write()

        assert minutes() == {}

    def test_missing_verdict_is_no_outcome(self, worker: Worker, data: Data) -> None:
        with refusing([], when=lambda sql: "apikeys_keysecret" in sql):
            assert worker.engine.verify(data.secret, use=True).code == UNAVAILABLE
        worker.engine._counter.write()

        assert minutes() == {}

    def test_process_that_does_not_serve_writes_nothing_for_junk(self, worker: Worker) -> None:
        worker.engine._is_started = False
        worker.engine.verify("junk", use=True)
        worker.engine._counter.write()

        assert minutes() == {}


@pytest.mark.usefixtures("_at_noon")
class TestSweep:
    def test_counts_are_deleted_when_their_time_is_over(self) -> None:
        for kept_for in (outcomes.MINUTES_KEPT_FOR, outcomes.FIVE_MINUTES_KEPT_FOR, outcomes.HOURS_KEPT_FOR):
            outcomes.add([counted(NOON - kept_for - ago, "tenant_ours", DISABLED, 1) for ago in (MINUTE, 0 * MINUTE)])

        call_command("sweep")

        assert min(start for _tenant, start, _outcome in minutes()) == NOON - outcomes.MINUTES_KEPT_FOR
        assert min(start for _subject, start, _outcome in five_minutes()) == NOON - outcomes.FIVE_MINUTES_KEPT_FOR
        assert min(start for _tenant, start, _outcome in hours()) == NOON - outcomes.HOURS_KEPT_FOR
        assert min(day for _subject, day, _outcome in refused()) == (NOON - outcomes.DAYS_KEPT_FOR).date()

    def test_many_rows_are_swept_in_slices(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(outcomes, "SLICE", 4)
        old = NOON - timedelta(days=3)
        outcomes.add([counted(old + number * MINUTE, f"tenant_{number % 3}", VALID, 1) for number in range(60)])

        assert outcomes.sweep() == 60 * 2 + 12 * 2, "minutes of tenants and all, and five minutes of key and agent"

        assert minutes() == five_minutes() == {}
        assert sum(hours().values()) == 120


@pytest.mark.usefixtures("_at_noon")
class TestReading:
    def test_minutes_and_hours_of_a_tenant(self) -> None:
        before = NOON - HOUR
        outcomes.add([counted(before + 58 * MINUTE, "tenant_ours", VALID, 1), counted(NOON, "tenant_ours", VALID, 2)])
        outcomes.add([counted(NOON, "tenant_ours", DISABLED, 3), counted(NOON, "tenant_theirs", VALID, 4)])

        assert outcomes.read("tenant_ours", NOON - 2 * MINUTE, NOON, Resolution.MINUTE) == [
            Period(NOON - 2 * MINUTE, {VALID: 1}),
            Period(NOON - MINUTE, {}),
            Period(NOON, {VALID: 2, DISABLED: 3}),
        ]
        assert outcomes.read("tenant_ours", before + MINUTE, NOON + HOUR, Resolution.HOUR) == [
            Period(before, {VALID: 1}),
            Period(NOON, {VALID: 2, DISABLED: 3}),
        ]

    def test_installation_has_all_tenants_and_keys_of_none(self) -> None:
        counts = [counted(NOON, tenant_id, VALID, 2) for tenant_id in ("tenant_ours", "tenant_theirs")]
        outcomes.add([*counts, counted(NOON, INSTALLATION, UNKNOWN, 3)])

        assert read(INSTALLATION) == {NOON: {VALID: 4, UNKNOWN: 3}}

    @pytest.mark.parametrize("resolution", Resolution)
    def test_range_ends_where_nothing_is_kept_any_more(self, resolution: Resolution) -> None:
        first, last = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)

        periods = outcomes.read("tenant_ours", first, last, resolution)

        kept_for = {Resolution.MINUTE: outcomes.MINUTES_KEPT_FOR, Resolution.HOUR: outcomes.HOURS_KEPT_FOR}[resolution]
        assert (periods[0].start, periods[-1].start) == (NOON - kept_for, NOON)
        assert len(periods) == kept_for // resolution.value + 1
        assert outcomes.read("tenant_ours", NOON, NOON - HOUR, resolution) == []


def test_deleted_tenant_takes_its_counts_with_it(alice: Person, charlie: Person) -> None:
    for tenant in (alice.tenant, charlie.tenant):
        outcomes.add([counted(NOON, tenant.id, VALID, 2), counted(NOON + MINUTE, tenant.id, DISABLED, 1)])

    tenants.delete_tenant(actor=OPERATOR, tenant=alice.tenant)

    assert {tenant_id for tenant_id, _start, _outcome in [*minutes(), *hours()]} == {charlie.tenant.id, INSTALLATION}
    assert total(INSTALLATION, VALID) == 4


@pytest.mark.needs_mariadb
@pytest.mark.usefixtures("_at_noon")
class TestRowsRead:
    """Rows of other tenants and times are not read, however many there are."""

    @pytest.fixture(autouse=True)
    def _many_rows(self) -> None:
        starts = [NOON - number * MINUTE for number in range(500)]
        tenant_ids = "tenant_ours", "tenant_theirs"
        outcomes.add([counted(start, tenant_id, VALID, 1) for start in starts for tenant_id in tenant_ids])

    @pytest.mark.parametrize("tenant_id", ["tenant_ours", INSTALLATION])
    def test_reading_reads_its_range(self, tenant_id: str) -> None:
        with rows_read(at_most=20):
            periods = outcomes.read(tenant_id, NOON - 9 * MINUTE, NOON, Resolution.MINUTE)

        assert [sum(period.numbers.values()) for period in periods] == [2 if tenant_id == INSTALLATION else 1] * 10

    def test_sweeping_reads_what_is_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(outcomes, "SLICE", 50)
        old = NOON - timedelta(days=3)
        outcomes.add([counted(old + number * MINUTE, "tenant_ours", VALID, 1) for number in range(200)])

        with rows_read(at_most=480 * 5):
            assert outcomes.sweep() == 480


@contextmanager
def rows_read(*, at_most: int) -> Iterator[None]:
    """Assert that the block reads at most so many rows of tables and indexes."""

    def rows() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
            return sum(int(value) for _name, value in cursor.fetchall())

    idle = -rows() + rows()  # what the query itself reads
    before = rows()
    yield
    assert rows() - before - idle <= at_most
