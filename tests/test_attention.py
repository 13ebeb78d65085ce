"""Needs for attention: the numbers in the sidebar of the admin, and the lists that they lead to."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apikeys import outcomes
from apikeys import services as apikeys
from apikeys.models import ApiKey
from apikeys.outcomes import Outcomes
from apikeys.verification import NOT_ACTIVE
from core.models import Gauge
from dashboard import gauges
from maim.sidebar import ATTENTION
from operations import services as operations
from operations.models import BulkOperation, Kind
from operations.selections import Selection
from tenants import services as tenants
from tests.support.client import context_of
from tests.support.operators import Operator, sign_in, url
from tests.support.people import OPERATOR, Person, make_agent, make_key

pytestmark = pytest.mark.django_db


def attention(operator: Operator) -> dict[str, tuple[int, str]]:
    """Return the titles of the sidebar's group with their numbers and links."""
    groups = context_of(operator.get("/admin/"))["sidebar_navigation"]
    items: list[dict[str, Any]] = next((each["items"] for each in groups if each.get("title") == "Needs attention"), [])
    return {str(item["title"]): (item["badge"], item["link"]) for item in items}


def listed(operator: Operator, link: str) -> list[str]:
    return [row.name for row in context_of(operator.client.get(link))["cl"].result_list]


def leak(key: ApiKey) -> None:
    apikeys.report_leak(actor=OPERATOR, secret=key.current_secret)


def test_nothing_is_shown_where_nothing_needs_attention(olivia: Operator, alice: Person) -> None:
    make_key(make_agent(alice.tenant))
    gauges.measure_due()

    assert attention(olivia) == {}


def test_leaked_key_is_counted_and_listed_until_it_is_rotated(olivia: Operator, alice: Person) -> None:
    agent = make_agent(alice.tenant)
    leaked, rotated = (make_key(agent, name).key for name in ("leaked", "rotated"))
    make_key(agent, "good")
    leak(leaked)
    leak(rotated)
    apikeys.rotate_key(actor=OPERATOR, key=rotated)
    gauges.measure_due()

    number, link = attention(olivia)["Leaked keys"]

    assert (number, listed(olivia, link)) == (1, ["leaked"])
    assert set(listed(olivia, f"{url(ApiKey)}?leaked=any")) == {"leaked", "rotated"}


def test_leaked_key_is_listed_beyond_rotated_ones(
    olivia: Operator, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given as many later reports, of keys that were rotated since, as a list of leaked keys may have."""
    monkeypatch.setattr("apikeys.attention.MAX_LEAKED_KEYS", 1)
    leaked, rotated = (make_key(make_agent(alice.tenant), name).key for name in ("leaked", "rotated"))
    leak(leaked)
    leak(rotated)
    apikeys.rotate_key(actor=OPERATOR, key=rotated)

    assert listed(olivia, f"{url(ApiKey)}?leaked=current") == ["leaked"]


def test_key_that_expires_soon_is_counted_and_listed(olivia: Operator, alice: Person) -> None:
    soon = timezone.now() + timedelta(days=3)
    make_key(make_agent(alice.tenant), "soon", expires_at=soon)
    gauges.measure_due()

    number, link = attention(olivia)["Keys that expire soon"]

    assert (number, listed(olivia, link)) == (1, ["soon"])


def test_suspended_tenant_that_is_called_is_counted_and_on_the_dashboard(olivia: Operator, alice: Person) -> None:
    key = make_key(make_agent(alice.tenant)).key
    tenants.update_tenant(actor=OPERATOR, tenant=alice.tenant, changes={"status": "suspended"})
    outcomes.add([Outcomes(timezone.now(), alice.tenant.pk, key.agent_id, key.pk, NOT_ACTIVE, 3)])
    gauges.measure_due()

    number, link = attention(olivia)["Suspended, still called"]

    path, _hash, anchor = link.partition("#")
    assert number == 1
    assert f'id="{anchor}"' in olivia.get(path).content.decode()


def test_failed_operation_is_counted_and_listed_for_a_week(olivia: Operator, alice: Person) -> None:
    selection = Selection(kind=Kind.DISABLE_KEYS, ids=("key_1",))
    pks = [operations.start(actor=OPERATOR, selection=selection).pk for _number in range(2)]
    rows = BulkOperation.objects.filter(pk__in=pks)
    rows.update(state="failed", ended_at=timezone.now())
    rows.filter(pk=pks[0]).update(ended_at=timezone.now() - operations.NOTICED_FOR)
    gauges.measure_due()

    number, link = attention(olivia)["Failed bulk operations"]

    assert number == 1
    assert [row.pk for row in context_of(olivia.client.get(link))["cl"].result_list] == [pks[1]]


def test_numbers_cost_one_query(olivia: Operator) -> None:
    Gauge.objects.bulk_create(Gauge(name=each.gauge, number=3, measured_at=timezone.now()) for each in ATTENTION)

    with CaptureQueriesContext(connection) as captured:
        assert len(attention(olivia)) == len(ATTENTION)

    read = [query["sql"] for query in captured.captured_queries if Gauge._meta.db_table in query["sql"]]
    assert len(read) == 2  # and one of the dashboard itself
    counted = [query["sql"] for query in captured.captured_queries if "COUNT(" in query["sql"]]
    assert counted == []


def test_viewer_sees_the_numbers_too() -> None:
    Gauge.objects.create(name="leaked_keys", number=3, measured_at=timezone.now())

    assert attention(sign_in("victor", is_superuser=False)) == {"Leaked keys": (3, f"{url(ApiKey)}?leaked=current")}


def test_dashboard_links_its_numbers_to_the_lists(olivia: Operator) -> None:
    gauges.measure_due()

    page = olivia.get("/admin/").content.decode()

    for query in ("?expires_within_days=7", "?status=active&amp;unused=never", "?leaked=any"):
        assert f'href="{url(ApiKey)}{query}"' in page
