"""Uses of keys: counted by day for a key, its agent and its tenant, and shown on both surfaces."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from time_machine import travel

from agents import services as agents
from apikeys import services, usage
from apikeys.models import DailyUse
from apikeys.outcomes import INSTALLATION
from apikeys.services import IssuedKey
from tenants import services as tenants
from tests.support.client import SurfaceClient
from tests.support.envelope import ENVELOPE
from tests.support.people import OPERATOR, Person, make_agent, make_key

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
TODAY = NOON.date()
FIELDS = ["from", "to", "total", "days"]


@dataclass(frozen=True)
class Place:
    """A path that tells uses, and of what."""

    of: str
    path: str

    @property
    def is_internal(self) -> bool:
        return self.path.startswith("/api/v2/")

    @property
    def is_bare(self) -> bool:
        return self.path.startswith("/api/v1/agents/")

    def __str__(self) -> str:
        return self.path


PLACES = [
    Place("agent", "/api/v1/agents/{agent}/usage"),
    Place("key", "/api/v1/agents/{agent}/api_keys/{key}/usage"),
    Place("key", "/api/v1/api-keys/{key}/usage"),
    Place("tenant", "/api/v1/tenants/{tenant}/usage"),
    Place("agent", "/api/v2/agents/{agent}/usage"),
    Place("key", "/api/v2/api-keys/{key}/usage"),
    Place("tenant", "/api/v2/tenants/{tenant}/usage"),
]
everywhere = pytest.mark.parametrize("place", PLACES, ids=str)
ONE_EACH = {place.of: place for place in PLACES}


class Data:
    """Alice's tenant with two agents, the first of which has two keys, the second one."""

    def __init__(self, alice: Person, internal: SurfaceClient) -> None:
        self.alice, self.internal = alice, internal
        self.agent, self.other_agent = make_agent(alice.tenant), make_agent(alice.tenant)
        self.key, self.sibling = make_key(self.agent), make_key(self.agent)
        self.other_key = make_key(self.other_agent)

    def validate(self, *keys: IssuedKey, question: str = "validate-api-key", **body: Any) -> list[dict[str, Any]]:
        """Ask about each key in turn, and return the answers."""
        path = f"/api/v2/auth/{question}"
        return [self.internal.send("POST", path, {"api_key": key.secret, **body}).json() for key in keys]

    def url(self, place: Place, query: str = "") -> str:
        ids = {"tenant": self.agent.tenant_id, "agent": self.agent.id, "key": self.key.key.id}
        return f"{place.path.format(**ids)}?{query}"

    def ask(self, place: Place, query: str = "", *, person: Person | None = None) -> Any:
        client = self.internal if place.is_internal else (person or self.alice).client
        return client.get(self.url(place, query))

    def read(self, place: Place, query: str = "", *, person: Person | None = None) -> dict[str, Any]:
        """Return the data of a successful response."""
        response = self.ask(place, query, person=person)
        assert response.status_code == 200, response.content
        body: dict[str, Any] = response.json()
        if place.is_bare:
            return body
        assert list(body) == ENVELOPE
        assert body["tenant_id"] == self.agent.tenant_id
        data: dict[str, Any] = body["data"]
        return data

    def total(self, of: str) -> int:
        """All uses of the first key, of the first agent, or of the tenant, in the last thirty days."""
        total: int = self.read(ONE_EACH[of])["total"]
        return total

    def totals(self) -> dict[str, int]:
        return {of: self.total(of) for of in ("key", "agent", "tenant")}


@pytest.fixture
def data(alice: Person, internal: SurfaceClient) -> Data:
    return Data(alice, internal)


def problem(place: Place, response: Any, status: int) -> tuple[str, list[str]]:
    """Return the code of an error, and the names of its fields."""
    assert response.status_code == status, response.content
    body = response.json()
    if place.is_bare:
        return body["code"], list(body.get("errors") or {})
    return body["error_code"], list((body["data"] or {}).get("errors", {}))


class TestCounting:
    @everywhere
    def test_uses_are_told_with_every_day_of_the_last_thirty(self, data: Data, place: Place) -> None:
        with travel(NOON, tick=False):
            data.validate(data.key, data.key)
            found = data.read(place)

        assert list(found) == FIELDS
        assert (found["from"], found["to"], found["total"]) == ("2026-01-02", "2026-01-31", 2)
        days = [(TODAY - timedelta(days=ago)).isoformat() for ago in reversed(range(30))]
        assert found["days"] == [{"date": day, "uses": 2 if day == "2026-01-31" else 0} for day in days]

    def test_what_has_many_keys_has_the_uses_of_all(self, data: Data) -> None:
        data.validate(data.key, data.sibling, data.sibling, data.other_key, data.other_key)

        assert data.totals() == {"key": 1, "agent": 3, "tenant": 5}

    @everywhere
    def test_each_day_has_its_own_uses(self, data: Data, place: Place) -> None:
        before_midnight = datetime(2026, 1, 30, 23, 59, 59, 999_999, tzinfo=UTC)
        for moment, times in ((before_midnight, 1), (before_midnight + timedelta(microseconds=1), 2), (NOON, 1)):
            with travel(moment, tick=False):
                data.validate(*[data.key] * times)

        found = data.read(place, "from=2026-01-29&to=2026-02-01")

        assert [day["uses"] for day in found["days"]] == [0, 1, 3, 0]
        assert found["total"] == 4

    def test_what_is_no_use_is_not_counted(self, data: Data) -> None:
        data.validate(data.key, check_rate_limit=False)
        data.validate(data.key, question="check-permission", permission="chat")
        data.validate(data.key, question="parse-api-key")
        services.disable_key(actor=OPERATOR, key=data.key.key)
        data.validate(data.key)

        assert data.totals() == {"key": 0, "agent": 0, "tenant": 0}
        assert not DailyUse.unscoped.exists()

    def test_a_use_past_a_limit_is_not_counted(self, data: Data) -> None:
        limit = {"limit": 2, "window_seconds": 3600}
        agents.update_agent(actor=OPERATOR, agent=data.agent, changes={"rate_limit": limit})

        answers = data.validate(*[data.key] * 4)

        assert [answer["error_code"] for answer in answers] == [None, None, "AUTH_006", "AUTH_006"]
        assert data.totals() == {"key": 2, "agent": 2, "tenant": 2}

    def test_the_key_itself_says_the_same(self, data: Data) -> None:
        for hours in range(3):
            with travel(NOON - timedelta(days=1) + timedelta(hours=8 * hours), tick=False):
                data.validate(data.key)

        with travel(NOON, tick=False):
            found = data.read(ONE_EACH["key"])
        key = data.internal.get(f"/api/v2/api-keys/{data.key.key.id}").json()["data"]
        assert (key["usage_count"], key["last_used_at"]) == (3, "2026-01-31T04:00:00Z")
        assert found["total"] == 3
        assert [day["date"] for day in found["days"] if day["uses"]] == ["2026-01-30", "2026-01-31"]


class TestWhatIsGone:
    def test_the_uses_of_a_deleted_key_stay_with_its_agent_and_tenant(self, data: Data) -> None:
        data.validate(data.key, data.sibling)
        services.delete_key(actor=OPERATOR, key=data.key.key)

        assert (data.total("agent"), data.total("tenant")) == (2, 2)
        assert problem(ONE_EACH["key"], data.ask(ONE_EACH["key"]), 404) == ("KEY_001", [])

    def test_the_uses_of_a_deleted_agent_stay_with_its_tenant(self, data: Data) -> None:
        data.validate(data.key, data.other_key)
        agents.delete_agent(actor=OPERATOR, agent=data.agent)

        assert data.total("tenant") == 2
        assert problem(ONE_EACH["agent"], data.ask(ONE_EACH["agent"]), 404) == ("AGENT_001", [])

    def test_the_sweep_removes_the_counts_of_nothing_else(self, data: Data, charlie: Person) -> None:
        strangers = make_key(make_agent(charlie.tenant))
        data.validate(data.key, data.sibling, data.other_key, strangers)
        services.delete_key(actor=OPERATOR, key=data.sibling.key)
        agents.delete_agent(actor=OPERATOR, agent=data.other_agent)
        kept = {
            *(data.key.key.id, data.agent.id, data.agent.tenant_id),
            *(strangers.key.id, strangers.key.agent_id, charlie.tenant.id),
            INSTALLATION,
        }

        assert usage.sweep() == 3

        assert set(DailyUse.unscoped.values_list("subject", flat=True)) == kept
        assert data.totals() == {"key": 1, "agent": 2, "tenant": 3}
        assert usage.sweep() == 0

    def test_a_deleted_tenant_leaves_its_uses_to_the_installation_alone(self, data: Data, charlie: Person) -> None:
        data.validate(data.key, make_key(make_agent(charlie.tenant)))
        tenants.delete_tenant(actor=OPERATOR, tenant=data.alice.tenant)

        assert set(DailyUse.unscoped.values_list("tenant_id", flat=True)) == {charlie.tenant.id, INSTALLATION}


class TestRange:
    @pytest.fixture(autouse=True)
    def _in_january(self) -> Any:
        with travel(NOON, tick=False):
            yield

    @pytest.mark.embedded
    @pytest.mark.parametrize(
        ("query", "first", "last"),
        [
            ("", "2026-01-02", "2026-01-31"),
            ("from=2026-01-31", "2026-01-31", "2026-01-31"),
            ("from=2025-01-31", "2025-01-31", "2026-01-31"),
            ("to=2026-02-28", "2026-01-30", "2026-02-28"),
            ("to=1970-01-02", "1970-01-01", "1970-01-02"),
            ("from=2024-01-01&to=2024-12-31", "2024-01-01", "2024-12-31"),
            ("from=9999-12-31&to=9999-12-31", "9999-12-31", "9999-12-31"),
        ],
    )
    def test_both_ends_are_in_it(self, data: Data, query: str, first: str, last: str) -> None:
        for place in PLACES:
            found = data.read(place, query)

            assert (found["from"], found["to"]) == (first, last), place
            days = [date.fromisoformat(day["date"]) for day in found["days"]]
            assert (days[0].isoformat(), days[-1].isoformat()) == (first, last), place
            assert len(days) == (days[-1] - days[0]).days + 1, place
            assert days == sorted(set(days)), place

    def test_uses_at_both_ends_count_and_those_beside_it_do_not(self, data: Data) -> None:
        for ago in range(5):
            with travel(NOON - timedelta(days=ago), tick=False):
                data.validate(data.key)

        found = data.read(ONE_EACH["key"], "from=2026-01-28&to=2026-01-30")

        assert [day["uses"] for day in found["days"]] == [1, 1, 1]
        assert found["total"] == 3

    @pytest.mark.embedded
    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("from=2026-01-31&to=2026-01-30", "from"),
            ("from=2026-02-01", "from"),
            ("from=2025-01-30", "from"),
            ("from=2024-01-01&to=2025-01-01", "from"),
            ("from=1969-12-31&to=1970-01-01", "from"),
            ("to=1969-12-31", "to"),
            *(
                (f"{name}={text}", name)
                for name in ("from", "to")
                for text in ("", "yesterday", "2026-1-1", "20260101")
            ),
            ("to=2026-02-30", "to"),
            ("to=0000-01-01", "to"),
            ("to=2026-01-31T00:00:00Z", "to"),
            ("to=%EF%BC%92026-01-31", "to"),
            ("to=2026-01-31%0A", "to"),
        ],
    )
    def test_what_is_no_range_is_refused_by_the_name_of_the_field(self, data: Data, query: str, field: str) -> None:
        for place in PLACES:
            assert problem(place, data.ask(place, query), 400) == ("VALIDATION_ERROR", [field]), place

    @everywhere
    def test_a_year_takes_one_query_for_the_counts(self, data: Data, place: Place) -> None:
        data.validate(data.key)
        with CaptureQueriesContext(connection) as captured:
            data.read(place, "from=2025-01-31")

        assert sum("apikeys_dailyuse" in query["sql"] for query in captured.captured_queries) == 1


@pytest.mark.embedded
class TestAccess:
    CODES = {"agent": "AGENT_001", "key": "KEY_001", "tenant": "TENANT_001"}
    public = pytest.mark.parametrize("place", [place for place in PLACES if not place.is_internal], ids=str)

    @public
    def test_every_member_may_look(self, data: Data, bob: Person, place: Place) -> None:
        data.validate(data.key)

        assert data.read(place, person=bob) == data.read(place)
        assert data.read(place)["total"] == 1

    @public
    def test_to_a_stranger_it_does_not_exist(self, data: Data, charlie: Person, place: Place) -> None:
        assert problem(place, data.ask(place, person=charlie), 404) == (self.CODES[place.of], [])

    @everywhere
    def test_what_does_not_exist_is_told_alike(self, data: Data, place: Place) -> None:
        client = data.internal if place.is_internal else data.alice.client
        response = client.get(place.path.format(tenant="none", agent="none", key="none"))

        assert problem(place, response, 404) == (self.CODES[place.of], [])

    def test_a_key_is_not_under_another_agent(self, data: Data) -> None:
        path = f"/api/v1/agents/{data.other_agent.id}/api_keys/{data.key.key.id}/usage"

        assert data.alice.client.get(path).json()["code"] == "KEY_001"
