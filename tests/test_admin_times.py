"""Times in the admin: in the zone of MAIM_TIME_ZONE, whose name is beside them, while the APIs write UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from apikeys.models import ApiKey, UsageLogEntry
from apikeys.usage_log import log_usage
from core.models import AuditEntry
from tests.support.operators import Operator, form_of, url
from tests.support.people import Person, make_agent, make_key

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]
EVENING = datetime(2026, 12, 31, 20, 30, 15, tzinfo=UTC)


@pytest.fixture(autouse=True)
def shanghai(settings: Any) -> None:
    settings.ADMIN_TIME_ZONE = "Asia/Shanghai"


def test_list_shows_times_of_the_zone(olivia: Operator, alice: Person) -> None:
    key = make_key(make_agent(alice.tenant)).key
    ApiKey.unscoped.filter(pk=key.pk).update(last_used_at=EVENING)

    assert "2027-01-01 04:30 CST" in olivia.get(url(ApiKey)).content.decode()
    assert (
        alice.client.send("GET", f"/api/v1/api-keys/{key.pk}")
        .json()["data"]["last_used_at"]
        .startswith("2026-12-31T20:30:15")
    )


def test_form_reads_times_of_the_zone(olivia: Operator, alice: Person) -> None:
    key = make_key(make_agent(alice.tenant)).key

    response = olivia.change(key, expires_at_0="2027-01-01", expires_at_1="04:30:15")

    assert response.status_code == 302, response.content
    key.refresh_from_db()
    assert key.expires_at == EVENING
    assert form_of(olivia.get(url(key, "change")))["expires_at_1"] == ["04:30:15"]


def test_audit_log_shows_seconds(olivia: Operator) -> None:
    entry = AuditEntry.objects.latest("id")
    at = entry.at.astimezone().strftime("%S")

    page = olivia.get(url(AuditEntry)).content.decode()

    assert f":{at} CST" in page


def test_time_beyond_the_dates_of_the_zone_is_shown_in_utc(olivia: Operator, alice: Person) -> None:
    """Keys that should never expire often expire then."""
    never = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    key = make_key(make_agent(alice.tenant), expires_at=never).key
    log_usage(action="chat", timestamp=never, tenant_id=alice.tenant.pk)

    assert "9999-12-31 23:59" in olivia.get(url(ApiKey)).content.decode()
    assert "9999-12-31 23:59" in olivia.get(url(UsageLogEntry)).content.decode()
    assert form_of(olivia.get(url(key, "change")))["expires_at_0"] == ["9999-12-31"]
    assert olivia.change(key, name="another").status_code == 302
    key.refresh_from_db()
    assert (key.name, key.expires_at) == ("another", never)


def test_time_before_the_dates_of_the_zone_is_shown_in_utc(olivia: Operator, alice: Person, settings: Any) -> None:
    settings.ADMIN_TIME_ZONE = "America/New_York"
    key = make_key(make_agent(alice.tenant)).key
    ApiKey.unscoped.filter(pk=key.pk).update(created_at=datetime(1, 1, 1, tzinfo=UTC))  # as an import may have it

    assert olivia.get(url(ApiKey)).status_code == 200
    assert olivia.get(url(key, "change")).status_code == 200
