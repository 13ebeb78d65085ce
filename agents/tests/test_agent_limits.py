"""An agent's rate limit and quota, which all its keys share: given, shown, taken away, and what they do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from agents.models import Agent
from core.models import AuditEntry
from tests.support.api import VERSIONS, ApiClient
from tests.support.client import SurfaceClient
from tests.support.operators import Operator, errors_of, form_of, inputs_of, url
from tests.support.people import Person, make_agent, make_key

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]
RATE = {"limit": 100, "window_seconds": 60}
QUOTA = {"limit": 5000, "period": "month"}
NONE = {"rate_limit": None, "quota": None}

GOOD = [
    ("rate_limit", RATE),
    ("rate_limit", {"limit": 1, "window_seconds": 1}),
    ("rate_limit", {"limit": 10_000, "window_seconds": 86_400}),
    ("quota", {"limit": 1, "period": "day"}),
    ("quota", QUOTA),
    ("quota", {"limit": 10**12, "period": "total"}),
]
# What is sent, and the path that is to blame.
BAD = [
    *((field, value, field) for field in ("rate_limit", "quota") for value in (5, "100", True, [], [RATE])),
    ("rate_limit", {"limit": 5}, "rate_limit.window_seconds"),
    ("rate_limit", {"window_seconds": 5}, "rate_limit.limit"),
    *(
        ("rate_limit", {**RATE, "limit": limit}, "rate_limit.limit")
        for limit in (0, -1, 10_001, 1.5, 1.0, "5", True, None)
    ),
    *(
        ("rate_limit", {**RATE, "window_seconds": seconds}, "rate_limit.window_seconds")
        for seconds in (0, -1, 86_401, 1.5, "5", None)
    ),
    ("quota", {"limit": 5}, "quota.period"),
    ("quota", {"period": "day"}, "quota.limit"),
    *(("quota", {**QUOTA, "limit": limit}, "quota.limit") for limit in (0, -1, 10**12 + 1, 1.5, "5", False, None)),
    *(("quota", {**QUOTA, "period": period}, "quota.period") for period in ("hour", "Month", "", 5, None)),
]
good = pytest.mark.parametrize(("field", "limit"), GOOD)


class AgentLimitsApi(ApiClient):
    """The limits of Alice's agents in one API."""

    def invalid_fields(self, response: Any) -> list[str]:
        """Return the paths that a rejected request names."""
        return self.error_fields(response, 400, "VALIDATION_ERROR")

    def try_create(self, **fields: Any) -> Any:
        return self.send("POST", "/agents", {"tenant_id": self.person.tenant.id, "name": "bot", **fields})

    def create(self, **fields: Any) -> dict[str, Any]:
        agent: dict[str, Any] = self.data(self.try_create(**fields))
        return agent

    def try_put(self, agent_id: str, **changes: Any) -> Any:
        return self.send("PUT", f"/agents/{agent_id}", changes)

    def put(self, agent_id: str, **changes: Any) -> dict[str, Any]:
        agent: dict[str, Any] = self.data(self.try_put(agent_id, **changes))
        return agent

    def get(self, agent_id: str) -> dict[str, Any]:
        agent: dict[str, Any] = self.data(self.send("GET", f"/agents/{agent_id}"))
        return agent

    def listed(self) -> list[dict[str, Any]]:
        return self.items(f"/agents?tenant_id={self.person.tenant.id}")


@pytest.fixture(params=VERSIONS)
def api(request: pytest.FixtureRequest, alice: Person) -> AgentLimitsApi:
    """Alice's agents in each API."""
    return AgentLimitsApi(request.param, alice)


def limits(agent: Mapping[str, Any]) -> dict[str, Any]:
    return {field: agent[field] for field in NONE}


class TestGiving:
    @good
    def test_a_new_agent_has_what_it_is_given(self, api: AgentLimitsApi, field: str, limit: Any) -> None:
        agent = api.create(**{field: limit})

        assert limits(agent) == {**NONE, field: limit}
        assert api.get(agent["id"]) == agent
        assert api.listed() == [agent]

    @good
    def test_an_agent_is_given_one_later(self, api: AgentLimitsApi, field: str, limit: Any) -> None:
        agent = api.create()

        changed = api.put(agent["id"], **{field: limit})

        assert limits(changed) == {**NONE, field: limit}
        assert api.get(agent["id"]) == changed

    @pytest.mark.parametrize("nothing", [{}, NONE])
    def test_without_any_it_has_none(self, api: AgentLimitsApi, nothing: dict[str, None]) -> None:
        assert limits(api.create(**nothing)) == NONE

    def test_they_come_after_the_other_fields(self, api: AgentLimitsApi) -> None:
        assert list(api.create())[-4:] == ["rate_limit", "quota", "revision", "config_warnings"]

    def test_patch_sets_limits(self, alice: Person) -> None:
        agent = make_agent(alice.tenant)

        response = alice.client.send("PATCH", f"/api/v1/agents/{agent.id}", {"quota": QUOTA})

        assert limits(response.json()) == {"rate_limit": None, "quota": QUOTA}

    def test_null_takes_one_away_and_what_is_not_sent_stays(self, api: AgentLimitsApi) -> None:
        agent = api.create(rate_limit=RATE, quota=QUOTA)

        assert limits(api.put(agent["id"], rate_limit={})) == {"rate_limit": None, "quota": QUOTA}
        assert limits(api.put(agent["id"], description="new")) == {"rate_limit": None, "quota": QUOTA}
        assert limits(api.put(agent["id"], quota={})) == NONE

    def test_a_limit_is_replaced_whole(self, api: AgentLimitsApi) -> None:
        agent = api.create(rate_limit=RATE)

        assert api.invalid_fields(api.try_put(agent["id"], rate_limit={"limit": 5})) == ["rate_limit.window_seconds"]
        changed = api.put(agent["id"], rate_limit={"limit": 5, "window_seconds": 1})

        assert changed["rate_limit"] == {"limit": 5, "window_seconds": 1}

    def test_unknown_keys_are_ignored(self, api: AgentLimitsApi) -> None:
        agent = api.create(rate_limit={"burst": 5, **RATE}, quota={**QUOTA, "refill": {"day": 1}})

        assert limits(agent) == {"rate_limit": RATE, "quota": QUOTA}
        assert Agent.unscoped.get().quota == QUOTA

    def test_what_is_no_limit_is_refused(self, api: AgentLimitsApi) -> None:
        agent = api.create(rate_limit=RATE, quota=QUOTA)

        for field, value, path in BAD:
            assert path in api.invalid_fields(api.try_create(name="other", **{field: value})), value
            assert path in api.invalid_fields(api.try_put(agent["id"], **{field: value})), value

        assert api.listed() == [agent]

    def test_an_agent_is_not_created_with_an_empty_limit(self, api: AgentLimitsApi) -> None:
        """`{}` removes a limit in an update only; a new agent without a limit sends none."""
        assert "rate_limit.limit" in api.invalid_fields(api.try_create(rate_limit={}))


class TestAccess:
    def test_member_may_set_limits(self, alice: Person, bob: Person) -> None:
        agent = make_agent(alice.tenant)

        response = bob.client.send("PUT", f"/api/v1/agents/{agent.id}", {"rate_limit": RATE})

        assert response.json()["rate_limit"] == RATE

    def test_stranger_may_not_set_limits(self, alice: Person, charlie: Person) -> None:
        agent = make_agent(alice.tenant, rate_limit=RATE)

        response = charlie.client.send("PUT", f"/api/v1/agents/{agent.id}", {"rate_limit": None})

        assert (response.status_code, response.json()["code"]) == (404, "AGENT_001")
        assert Agent.unscoped.get().rate_limit == RATE


class TestAudit:
    def test_a_change_is_recorded(self, api: AgentLimitsApi) -> None:
        agent = api.create(rate_limit=RATE)
        api.put(agent["id"], rate_limit={}, quota=QUOTA)

        update, create = AuditEntry.objects.filter(object_id=agent["id"])
        assert limits(create.after) == {"rate_limit": RATE, "quota": None}
        assert (update.before, update.after) == (
            {"rate_limit": RATE, "quota": None},
            {"rate_limit": None, "quota": QUOTA},
        )

    def test_the_same_limit_again_is_no_change(self, api: AgentLimitsApi) -> None:
        agent = api.create(rate_limit=RATE)

        assert api.put(agent["id"], rate_limit=dict(reversed(RATE.items()))) == agent

        assert [entry.action for entry in AuditEntry.objects.filter(object_id=agent["id"])] == ["agent.create"]


class TestEffect:
    """The verdicts of validate right after a change."""

    def test_all_keys_of_an_agent_share_its_limits(
        self, api: AgentLimitsApi, alice: Person, internal: SurfaceClient
    ) -> None:
        agent = make_agent(alice.tenant)
        keys = [make_key(agent), make_key(agent)]
        stranger = make_key(make_agent(alice.tenant))

        def validate(*which: Any) -> list[dict[str, Any]]:
            path = "/api/v2/auth/validate-api-key"
            return [internal.send("POST", path, {"api_key": key.secret}).json() for key in which]

        assert [answer["data"]["rate_limit"] for answer in validate(*keys)] == [None, None]

        api.put(agent.id, rate_limit={"limit": 2, "window_seconds": 3600})
        first, second, over = validate(*keys, keys[0])
        assert [answer["data"]["rate_limit"]["remaining"] for answer in (first, second)] == [1, 0]
        assert (over["success"], over["error_code"]) == (False, "AUTH_006")
        assert 0 < over["data"]["retry_after"] <= 3600
        assert validate(stranger)[0]["success"] is True

        api.put(agent.id, rate_limit={"limit": 3, "window_seconds": 3600})
        assert [answer["error_code"] for answer in validate(*keys)] == [None, "AUTH_006"]

        api.put(agent.id, rate_limit={}, quota={"limit": 6, "period": "total"})
        last, over = validate(*keys)
        assert (last["data"]["rate_limit"], last["data"]["quota"]) == (
            None,
            {"limit": 6, "remaining": 0, "reset": None},
        )
        assert (over["error_code"], over["data"]["retry_after"]) == ("AUTH_006", None)

        api.put(agent.id, quota={})
        assert [answer["data"]["quota"] for answer in validate(*keys)] == [None, None]


class TestAdmin:
    def test_an_operator_adds_an_agent_with_limits(self, olivia: Operator, alice: Person) -> None:
        limits = {**inputs_of("rate_limit", RATE), **inputs_of("quota", QUOTA)}
        olivia.add(Agent, tenant=alice.tenant.pk, name="Scout", **limits)

        agent = Agent.unscoped.get(name="Scout")
        assert (agent.rate_limit, agent.quota) == (RATE, QUOTA)

    def test_operator_changes_and_removes_limits(self, olivia: Operator, alice: Person) -> None:
        agent = make_agent(alice.tenant, rate_limit=RATE)
        shown = form_of(olivia.get(url(agent, "change")))
        assert {name: [text] for name, text in inputs_of("rate_limit", RATE).items()}.items() <= shown.items()

        none = inputs_of("rate_limit", dict.fromkeys(RATE, ""))
        olivia.change(agent, **none, **inputs_of("quota", QUOTA))

        agent.refresh_from_db()
        assert (agent.rate_limit, agent.quota) == (None, QUOTA)
        entry = olivia.audit_of("agent.update")
        assert (entry.before, entry.after) == (
            {"rate_limit": RATE, "quota": None},
            {"rate_limit": None, "quota": QUOTA},
        )

    def test_a_form_that_is_saved_untouched_changes_nothing(self, olivia: Operator, alice: Person) -> None:
        agent = make_agent(alice.tenant, rate_limit=RATE, quota=QUOTA)

        olivia.change(agent)

        assert not AuditEntry.objects.filter(action="agent.update").exists()

    @pytest.mark.parametrize(
        ("field", "inputs"),
        [
            ("rate_limit", {"rate_limit_limit": "0", "rate_limit_window_seconds": "60"}),
            ("rate_limit", {"rate_limit_window_seconds": "60"}),
            ("quota", {"quota_limit": "5"}),
            ("quota", {"quota_limit": "five", "quota_period": "day"}),
        ],
    )
    def test_invalid_limit_is_shown_again(
        self, olivia: Operator, alice: Person, field: str, inputs: dict[str, str]
    ) -> None:
        agent = make_agent(alice.tenant)

        response = olivia.change(agent, **inputs)

        assert list(errors_of(response)) == [field]
        assert {name: [text] for name, text in inputs.items()}.items() <= form_of(response).items()
        assert limits(Agent.unscoped.values().get()) == NONE
