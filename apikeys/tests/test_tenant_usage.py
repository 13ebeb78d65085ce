"""GET /tenants/{tenant_id}/usage?by=: verifications by outcome and time, and the busiest keys, in one response."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from time_machine import travel

from agents.models import Agent
from apikeys import outcomes, usage
from apikeys.models import ApiKey
from apikeys.outcomes import Outcomes
from apikeys.usage import Uses
from core.http.surfaces import INTERNAL
from tests.support.client import SurfaceClient
from tests.support.people import Person, make_agent, make_key

pytestmark = pytest.mark.django_db
NOW = datetime(2040, 1, 10, 12, 30, tzinfo=UTC)
TODAY = NOW.date()


@pytest.fixture(autouse=True)
def _now() -> Iterator[None]:
    with travel(NOW, tick=False):
        yield


def read(person: Person, **query: Any) -> dict[str, Any]:
    response = person.client.get(f"/api/v1/tenants/{person.tenant.id}/usage?{urlencode(query)}")
    assert response.status_code == 200, response.content
    data: dict[str, Any] = response.json()["data"]
    return data


def count(person: Person, ago: timedelta, outcome: str, number: int) -> None:
    outcomes.add([Outcomes(NOW - ago, person.tenant.id, "agent_1", "key_1", outcome, number)])


def use(key: ApiKey, number: int, day: date = TODAY) -> None:
    usage.add([Uses(key.id, day, key.agent_id, key.tenant_id, None, number, NOW)])


def test_hours_have_every_outcome_and_no_gaps(alice: Person, charlie: Person) -> None:
    count(alice, timedelta(hours=30), "VALID", 5)
    count(alice, timedelta(hours=1), "AUTH_002", 2)
    count(charlie, timedelta(hours=1), "AUTH_004", 9)

    data = read(alice, by="hour")

    periods = {period["start"]: period["outcomes"] for period in data["periods"]}
    assert (data["from"], data["to"]) == ("2040-01-09", "2040-01-10")
    assert list(periods) == [f"2040-01-{9 + hour // 24:02}T{hour % 24:02}:00:00Z" for hour in range(37)]
    assert periods.pop("2040-01-09T06:00:00Z") == {"VALID": 5, "AUTH_002": 0}
    assert periods.pop("2040-01-10T11:00:00Z") == {"VALID": 0, "AUTH_002": 2}
    assert all(numbers == {"VALID": 0, "AUTH_002": 0} for numbers in periods.values())


def test_minutes_are_those_that_are_kept(alice: Person) -> None:
    count(alice, timedelta(minutes=1), "VALID", 3)

    periods = read(alice, by="minute", **{"from": "2040-01-08"})["periods"]

    assert (len(periods), periods[0]["start"]) == (48 * 60 + 1, "2040-01-08T12:30:00Z")
    assert periods[-2] == {"start": "2040-01-10T12:29:00Z", "outcomes": {"VALID": 3}}


def test_busiest_keys_come_first(alice: Person, agent: Agent, charlie: Person) -> None:
    quiet, busy, gone = (make_key(agent, name).key for name in ("quiet", "busy", "gone"))
    use(quiet, 1)
    use(busy, 2)
    use(busy, 3, TODAY - timedelta(days=1))
    use(busy, 100, TODAY - timedelta(days=9))
    use(gone, 50)
    ApiKey.objects.in_tenants([alice.tenant.id]).filter(pk=gone.pk).delete()
    use(make_key(make_agent(charlie.tenant)).key, 70)

    data = read(alice, by="hour")

    assert data["busiest_keys"] == [
        {"api_key_id": busy.id, "name": "busy", "uses": 5},
        {"api_key_id": quiet.id, "name": "quiet", "uses": 1},
    ]
    assert data["total"] == 56, "with the uses of the key that is gone"


def test_without_by_the_response_is_that_of_days(alice: Person) -> None:
    assert list(read(alice)) == ["from", "to", "total", "days"]


def test_internal_surface_returns_the_same_usage(alice: Person) -> None:
    count(alice, timedelta(hours=1), "VALID", 1)

    response = SurfaceClient(INTERNAL).get(f"/api/v2/tenants/{alice.tenant.id}/usage?by=hour")

    assert response.json()["data"] == read(alice, by="hour")


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ({"by": "day"}, "by"),
        ({"by": "hour", "from": "2039-12-01", "to": "2040-01-01"}, "from"),
        ({"by": "minute", "from": "2040-01-01", "to": "2040-01-04"}, "from"),
    ],
)
def test_unknown_lengths_and_too_many_days_are_rejected(alice: Person, query: dict[str, str], wrong: str) -> None:
    response = alice.client.get(f"/api/v1/tenants/{alice.tenant.id}/usage?{urlencode(query)}")

    assert (response.status_code, list(response.json()["data"]["errors"])) == (400, [wrong])


@pytest.mark.parametrize("day", ["1970-01-01", "9999-12-31"])
def test_days_without_anything_kept_have_no_periods(alice: Person, day: str) -> None:
    assert read(alice, by="hour", **{"from": day, "to": day})["periods"] == []
