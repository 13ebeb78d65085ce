"""Verifications over time, of everything, a tenant, an agent and a key: the same numbers wherever they are read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from time_machine import travel

from apikeys import statistics
from apikeys.periods import DAY, FIVE_MINUTES, HOUR, MINUTE
from apikeys.statistics import EVERYTHING, Series, Span, Subject, verifications
from apikeys.tests.facts import facts
from apikeys.tests.test_outcomes import rows_read
from apikeys.verification import DISABLED, PERMISSION_MISSING, UNKNOWN, VALID, KeyFacts, Verdict
from apikeys.verification.counting import UseCounter

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 31, 12, 2, 30, tzinfo=UTC)
OURS = facts(key_id="key_1", agent_id="agent_1", tenant_id="tenant_ours")
SIBLING = facts(key_id="key_2", agent_id="agent_1", tenant_id="tenant_ours")
THEIRS = facts(key_id="key_3", agent_id="agent_3", tenant_id="tenant_theirs")
KEY, AGENT = Subject("key_1", "tenant_ours"), Subject("agent_1", "tenant_ours")
SUBJECTS = {"key": KEY, "agent": AGENT, "tenant": Subject.tenant("tenant_ours"), "everything": EVERYTHING}


@pytest.fixture(autouse=True)
def _at_noon() -> Iterator[None]:
    with travel(NOON, tick=False):
        yield


@pytest.fixture
def counter() -> UseCounter:
    return UseCounter()


def use(counter: UseCounter, key: KeyFacts, ago: timedelta, times: int = 1) -> None:
    for _ in range(times):
        counter.count(key, NOON - ago)


def shown(series: Series) -> dict[datetime, dict[str, int]]:
    """Return the periods in which there was something."""
    return {start: numbers for start, numbers in series.periods if numbers}


@pytest.mark.parametrize("span", Span)
@pytest.mark.parametrize("name", SUBJECTS)
def test_series_has_what_was_counted_in_its_span(counter: UseCounter, name: str, span: Span) -> None:
    """Given uses of a key now and in the span before last, its sibling's, another tenant's, and refusals."""
    use(counter, OURS, 0 * DAY, 5)
    use(counter, OURS, {Span.HOUR: 2 * HOUR, Span.DAY: 2 * DAY, Span.MONTH: 31 * DAY}[span])
    use(counter, SIBLING, 0 * DAY, 10)
    use(counter, THEIRS, 0 * DAY, 100)
    counter.count(OURS, NOON, has_permission=False)
    counter.count_refusal(Verdict(DISABLED, OURS), NOON)
    counter.count_refusal(Verdict(UNKNOWN), NOON)
    counter.write()

    series = verifications(SUBJECTS[name], span)

    valid = {"key": 5, "agent": 15, "tenant": 15, "everything": 115}[name]
    unknown = {UNKNOWN: 1} if name == "everything" else {}
    assert series.totals == {VALID: valid, PERMISSION_MISSING: 1, DISABLED: 1, **unknown}
    assert list(shown(series)) == [series.periods[-1].start]


@pytest.mark.parametrize(
    ("subject", "span", "length", "number"),
    [
        (EVERYTHING, Span.HOUR, MINUTE, 60),
        (KEY, Span.HOUR, FIVE_MINUTES, 12),
        (EVERYTHING, Span.DAY, HOUR, 24),
        (KEY, Span.DAY, HOUR, 24),
        (EVERYTHING, Span.MONTH, DAY, 30),
        (KEY, Span.MONTH, DAY, 30),
    ],
)
def test_series_has_every_period_of_its_span(subject: Subject, span: Span, length: timedelta, number: int) -> None:
    series = verifications(subject, span)

    starts = [start for start, _numbers in series.periods]
    assert (series.length, len(starts)) == (length, number)
    assert starts == [starts[0] + index * length for index in range(number)]
    assert starts[-1] <= NOON < starts[-1] + length


def test_refusals_are_told_apart_from_uses_by_day(counter: UseCounter) -> None:
    """A use without the required permission is a use in the counts by day, and no valid verification."""
    use(counter, OURS, 1 * DAY, 3)
    counter.count(OURS, NOON, has_permission=False)
    counter.write()

    assert [numbers for _start, numbers in verifications(KEY, Span.MONTH).periods[-2:]] == [
        {VALID: 3},
        {PERMISSION_MISSING: 1},
    ]


@pytest.mark.needs_mariadb
@pytest.mark.parametrize("span", Span)
@pytest.mark.parametrize("name", SUBJECTS)
def test_series_reads_few_rows_for_what_it_shows(counter: UseCounter, name: str, span: Span) -> None:
    """Given two outcomes in every five minutes of two days, and on thirty days, of this and of other keys."""
    for key in (OURS, SIBLING, THEIRS):
        for number in range(2 * 24 * 12):
            use(counter, key, number * FIVE_MINUTES)
            counter.count_refusal(Verdict(DISABLED, key), NOON - number * FIVE_MINUTES)
        for number in range(30):
            use(counter, key, number * DAY)
    counter.write()

    with rows_read(at_most=20 * 2 * {Span.HOUR: 12, Span.DAY: 24, Span.MONTH: statistics.DAYS_SHOWN}[span]):
        verifications(SUBJECTS[name], span)
