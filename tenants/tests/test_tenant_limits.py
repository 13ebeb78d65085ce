"""A tenant's rate limit and quota, which all its keys share: for operators to give, for its people to see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

import pytest

from core.models import AuditEntry
from tenants import services
from tenants.fields import TenantChanges
from tenants.models import Tenant
from tests.support.client import SurfaceClient
from tests.support.operators import Operator, errors_of, form_of, inputs_of, url
from tests.support.people import OPERATOR, Person, make_agent, make_key

pytestmark = pytest.mark.django_db
V1, V2 = "/api/v1/tenants", "/api/v2/tenants"
RATE = {"limit": 100, "window_seconds": 60}
QUOTA = {"limit": 5000, "period": "month"}
NONE = {"rate_limit": None, "quota": None}
BAD = [
    ("rate_limit", 5, "rate_limit"),
    ("rate_limit", [RATE], "rate_limit"),
    ("rate_limit", {"limit": 5}, "rate_limit.window_seconds"),
    *(("rate_limit", {**RATE, "limit": limit}, "rate_limit.limit") for limit in (0, -1, 10_001, 1.5, "5", True, None)),
    *(("rate_limit", {**RATE, "window_seconds": seconds}, "rate_limit.window_seconds") for seconds in (0, -1, 86_401)),
    ("quota", "5000", "quota"),
    ("quota", {"period": "day"}, "quota.limit"),
    *(("quota", {**QUOTA, "limit": limit}, "quota.limit") for limit in (0, -1, 10**12 + 1)),
    *(("quota", {**QUOTA, "period": period}, "quota.period") for period in ("week", "DAY", 5, None)),
]


def data(response: Any) -> dict[str, Any]:
    """Return the data of a successful response."""
    assert response.status_code == 200, response.content
    found: dict[str, Any] = response.json()["data"]
    return found


def try_create(client: SurfaceClient, path: str, **fields: Any) -> Any:
    return client.send("POST", path, {"tenant_name": "Acme", "tenant_type": "enterprise", **fields})


def limits(tenant: Mapping[str, Any]) -> dict[str, Any]:
    return {field: tenant[field] for field in NONE}


def give(tenant: Tenant, **given: Unpack[TenantChanges]) -> None:
    services.update_tenant(actor=OPERATOR, tenant=tenant, changes=given)


class TestOnV2:
    def test_a_new_tenant_has_what_it_is_given(self, internal: SurfaceClient, db: None) -> None:
        tenant = data(try_create(internal, V2, rate_limit=RATE, quota=QUOTA))

        assert limits(tenant) == {"rate_limit": RATE, "quota": QUOTA}
        assert data(internal.get(f"{V2}/{tenant['id']}")) == tenant
        assert data(internal.get(V2))["items"] == [tenant]

    @pytest.mark.parametrize("nothing", [{}, NONE])
    def test_new_object_has_no_limits_by_default(self, internal: SurfaceClient, nothing: dict[str, None]) -> None:
        tenant = data(try_create(internal, V2, **nothing))

        assert limits(tenant) == NONE
        assert list(tenant)[-5:] == ["rate_limit", "quota", "limits", "requires_mfa", "revision"]

    def test_empty_object_removes_a_limit(self, alice: Person, internal: SurfaceClient) -> None:
        def put(**changes: Any) -> dict[str, Any]:
            return limits(data(internal.send("PUT", f"{V2}/{alice.tenant.id}", changes)))

        assert put(rate_limit=RATE) == {"rate_limit": RATE, "quota": None}
        assert put(quota=QUOTA) == {"rate_limit": RATE, "quota": QUOTA}
        assert put(description="new") == {"rate_limit": RATE, "quota": QUOTA}
        assert put(rate_limit={"limit": 1, "window_seconds": 1}, quota=None) == {
            "rate_limit": {"limit": 1, "window_seconds": 1},
            "quota": QUOTA,
        }
        assert put(rate_limit={}) == {"rate_limit": None, "quota": QUOTA}
        assert put(quota={}) == NONE

    def test_unknown_keys_are_ignored(self, internal: SurfaceClient, db: None) -> None:
        tenant = data(try_create(internal, V2, rate_limit={"burst": 5, **RATE}))

        assert tenant["rate_limit"] == RATE
        assert Tenant.objects.get().rate_limit == RATE

    @pytest.mark.embedded
    @pytest.mark.parametrize(("field", "value", "path"), BAD)
    def test_invalid_limit_is_refused(
        self, alice: Person, internal: SurfaceClient, field: str, value: Any, path: str
    ) -> None:
        give(alice.tenant, rate_limit=RATE, quota=QUOTA)
        sent = {field: value}

        for response in (
            try_create(internal, V2, **sent),
            internal.send("PUT", f"{V2}/{alice.tenant.id}", sent),
        ):
            assert (response.status_code, response.json()["error_code"]) == (400, "VALIDATION_ERROR")
            assert path in response.json()["data"]["errors"]

        assert limits(Tenant.objects.values().get()) == {"rate_limit": RATE, "quota": QUOTA}

    def test_a_change_is_recorded(self, internal: SurfaceClient, db: None) -> None:
        tenant = data(try_create(internal, V2, rate_limit=RATE))
        for _ in range(2):  # the second changes nothing
            internal.send("PUT", f"{V2}/{tenant['id']}", {"rate_limit": {}, "quota": QUOTA})

        update, create = AuditEntry.objects.filter(object_id=tenant["id"])
        assert limits(create.after) == {"rate_limit": RATE, "quota": None}
        assert (update.before, update.after) == (
            {"rate_limit": RATE, "quota": None},
            {"rate_limit": None, "quota": QUOTA},
        )


class TestOnV1:
    """People see a tenant's limits, and cannot change them."""

    def test_people_see_the_limits(self, alice: Person, bob: Person) -> None:
        give(alice.tenant, rate_limit=RATE, quota=QUOTA)

        for person in (alice, bob):
            tenant = data(person.client.get(f"{V1}/{alice.tenant.id}"))
            assert limits(tenant) == {"rate_limit": RATE, "quota": QUOTA}
            assert tenant in data(person.client.get(V1))["items"]

    @pytest.mark.parametrize("sent", [{"rate_limit": RATE, "quota": QUOTA}, {"rate_limit": 5, "quota": "much"}])
    def test_limits_in_a_persons_new_tenant_are_ignored(self, alice: Person, sent: dict[str, Any]) -> None:
        assert limits(data(try_create(alice.client, V1, **sent))) == NONE

    @pytest.mark.parametrize("sent", [NONE, {"rate_limit": {"limit": 10_000, "window_seconds": 1}}, {"quota": 5}])
    def test_limits_in_a_persons_update_are_ignored(self, alice: Person, sent: dict[str, Any]) -> None:
        give(alice.tenant, rate_limit=RATE, quota=QUOTA)

        tenant = data(alice.client.send("PUT", f"{V1}/{alice.tenant.id}", {**sent, "description": "new"}))

        assert (tenant["description"], limits(tenant)) == ("new", {"rate_limit": RATE, "quota": QUOTA})
        assert limits(Tenant.objects.values().get()) == limits(tenant)
        assert AuditEntry.objects.filter(action="tenant.update")[0].after == {"description": "new"}


class TestEffect:
    def test_all_keys_of_a_tenant_share_its_limits(
        self, alice: Person, charlie: Person, internal: SurfaceClient
    ) -> None:
        keys = [make_key(make_agent(alice.tenant)), make_key(make_agent(alice.tenant))]
        strangers = make_key(make_agent(charlie.tenant))

        def codes(*which: Any) -> list[str]:
            path = "/api/v2/auth/validate-api-key"
            return [internal.send("POST", path, {"api_key": key.secret}).json()["data"]["code"] for key in which]

        def put(**changes: Any) -> None:
            data(internal.send("PUT", f"{V2}/{alice.tenant.id}", changes))

        put(rate_limit={"limit": 2, "window_seconds": 3600})
        assert codes(*keys, *keys, strangers) == ["VALID", "VALID", "AUTH_006", "AUTH_006", "VALID"]

        put(rate_limit={"limit": 3, "window_seconds": 3600})
        assert codes(*keys) == ["VALID", "AUTH_006"]

        put(rate_limit={}, quota={"limit": 4, "period": "total"})
        assert codes(*keys) == ["VALID", "AUTH_006"]

        put(quota={})
        assert codes(*keys) == ["VALID", "VALID"]

    def test_strictest_limit_applies(self, charlie: Person, internal: SurfaceClient) -> None:
        agent = make_agent(charlie.tenant, rate_limit={"limit": 5, "window_seconds": 3600}, quota=QUOTA)
        key = make_key(agent)
        give(charlie.tenant, rate_limit={"limit": 3, "window_seconds": 60}, quota={"limit": 10**12, "period": "day"})

        answer = data(internal.send("POST", "/api/v2/auth/validate-api-key", {"api_key": key.secret}))

        assert (answer["rate_limit"]["limit"], answer["rate_limit"]["remaining"]) == (3, 2)
        assert (answer["quota"]["limit"], answer["quota"]["remaining"]) == (5000, 4999)


class TestAdmin:
    def test_an_operator_adds_a_tenant_with_limits(self, olivia: Operator) -> None:
        olivia.add(
            Tenant,
            tenant_name="Acme",
            tenant_type="enterprise",
            **inputs_of("rate_limit", RATE),
            **inputs_of("quota", QUOTA),
        )

        tenant = Tenant.objects.get(tenant_name="Acme")
        assert (tenant.rate_limit, tenant.quota) == (RATE, QUOTA)

    def test_operator_changes_and_removes_limits(self, olivia: Operator, alice: Person) -> None:
        give(alice.tenant, rate_limit=RATE)
        shown = form_of(olivia.get(url(alice.tenant, "change")))
        assert {name: [text] for name, text in inputs_of("rate_limit", RATE).items()}.items() <= shown.items()

        none = inputs_of("rate_limit", dict.fromkeys(RATE, ""))
        olivia.change(alice.tenant, **none, **inputs_of("quota", QUOTA))

        tenant = Tenant.objects.get(pk=alice.tenant.pk)
        assert (tenant.rate_limit, tenant.quota) == (None, QUOTA)
        entry = olivia.audit_of("tenant.update")
        assert (entry.before, entry.after) == (
            {"rate_limit": RATE, "quota": None},
            {"rate_limit": None, "quota": QUOTA},
        )

    def test_a_form_that_is_saved_untouched_changes_nothing(self, olivia: Operator, alice: Person) -> None:
        give(alice.tenant, rate_limit=RATE, quota=QUOTA)

        olivia.change(alice.tenant)

        assert not AuditEntry.objects.filter(action="tenant.update", actor_kind="operator").exists()

    @pytest.mark.embedded
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
        response = olivia.change(alice.tenant, **inputs)

        assert list(errors_of(response)) == [field]
        assert {name: [text] for name, text in inputs.items()}.items() <= form_of(response).items()
        assert Tenant.objects.filter(pk=alice.tenant.pk, **{f"{field}__isnull": True}).exists()
