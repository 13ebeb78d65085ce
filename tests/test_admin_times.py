"""Times in the admin: in the zone of MAIM_TIME_ZONE, whose name is beside them, while the APIs write UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from apikeys.models import ApiKey
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
