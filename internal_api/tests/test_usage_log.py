"""POST /api/v1/usage/log: what bots say they did (docs/contract.md section 17)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from time_machine import travel

from apikeys.models import UsageLogEntry
from core.models import AuditEntry
from tests.support.client import SurfaceClient
from tests.support.people import Person

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
FIELDS = [
    "id",
    "tenant_id",
    "agent_id",
    "user_id",
    "platform",
    "action",
    "details",
    "timestamp",
    "created_at",
]


def log(internal: SurfaceClient, **fields: Any) -> Any:
    return internal.send("POST", "/api/v1/usage/log", {"action": "message", **fields})


def logged(internal: SurfaceClient, **fields: Any) -> dict[str, Any]:
    response = log(internal, **fields)
    assert response.status_code == 200, response.content
    entry: dict[str, Any] = response.json()["data"]
    return entry


def refused(response: Any, field: str) -> None:
    assert response.status_code == 400, response.content
    assert response.json()["error_code"] == "VALIDATION_ERROR"
    assert list(response.json()["data"]["errors"]) == [field]
    assert not UsageLogEntry.objects.exists()


def test_the_answer_is_the_stored_entry_in_an_envelope(internal: SurfaceClient, alice: Person) -> None:
    with travel(NOON, tick=False):
        response = log(
            internal,
            tenant_id=alice.tenant.id,
            agent_id="agent_0123456789ab",
            user_id="qq:10001",
            platform="qq",
            details={"tokens": 12, "模型": "gpt-4"},
            timestamp="2026-01-31T19:30:00.250+08:00",
        )

    assert response.status_code == 200
    assert (response.json()["success"], response.json()["tenant_id"]) == (True, alice.tenant.id)
    entry = response.json()["data"]
    assert list(entry) == FIELDS
    assert entry == {
        "id": UsageLogEntry.objects.get().id,
        "tenant_id": alice.tenant.id,
        "agent_id": "agent_0123456789ab",
        "user_id": "qq:10001",
        "platform": "qq",
        "action": "message",
        "details": {"tokens": 12, "模型": "gpt-4"},
        "timestamp": "2026-01-31T11:30:00.250000Z",
        "created_at": "2026-01-31T12:00:00Z",
    }
    assert UsageLogEntry.objects.get().details == {"tokens": 12, "模型": "gpt-4"}


def test_an_action_is_all_it_takes(internal: SurfaceClient) -> None:
    with travel(NOON, tick=False):
        entry = logged(internal)

    assert entry["timestamp"] == entry["created_at"] == "2026-01-31T12:00:00Z"
    assert {entry[field] for field in ("tenant_id", "agent_id", "user_id", "platform", "details")} == {None}


def test_null_means_absent(internal: SurfaceClient) -> None:
    nothing = dict.fromkeys(["tenant_id", "agent_id", "user_id", "platform", "details", "timestamp"])

    with travel(NOON, tick=False):
        entry = logged(internal, **nothing)

    assert entry["timestamp"] == "2026-01-31T12:00:00Z"
    assert entry["details"] is None


@pytest.mark.parametrize("tenant_id", ["tenant_000000000000", "nobody's", "小明"])
def test_any_tenant_id_is_kept(internal: SurfaceClient, tenant_id: str) -> None:
    assert logged(internal, tenant_id=tenant_id)["tenant_id"] == tenant_id


@pytest.mark.parametrize(
    ("timestamp", "kept"),
    [
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
        ("2026-01-31T12:00:00", "2026-01-31T12:00:00Z"),
        ("2026-01-31 12:00:00", "2026-01-31T12:00:00Z"),
        ("2026-01-31T12:00:00-05:30", "2026-01-31T17:30:00Z"),
        ("2026-01-31T12:00:00.123456", "2026-01-31T12:00:00.123456Z"),
        (1769860800, "2026-01-31T12:00:00Z"),
        (1769860800.5, "2026-01-31T12:00:00.500000Z"),
        (1769860800250, "2026-01-31T12:00:00.250000Z"),
        (1769860800250.0, "2026-01-31T12:00:00.250000Z"),
        (0, "1970-01-01T00:00:00Z"),
    ],
)
def test_a_time_is_text_or_a_number_of_seconds_or_milliseconds(
    internal: SurfaceClient, timestamp: Any, kept: str
) -> None:
    assert logged(internal, timestamp=timestamp)["timestamp"] == kept


@pytest.mark.embedded
@pytest.mark.parametrize(
    "timestamp",
    ["2026-01-31", "yesterday", "", "1969-12-31T23:59:59Z", -1, -1e300, 1e300, 2**63 - 1, True, [], {}],
)
def test_invalid_timestamp_is_400(internal: SurfaceClient, timestamp: Any) -> None:
    refused(log(internal, timestamp=timestamp), "timestamp")


@pytest.mark.parametrize("details", [{}, [], [1, None, {"a": []}], "text", "", 5, 2.5, True, False])
def test_details_are_any_json(internal: SurfaceClient, details: Any) -> None:
    assert logged(internal, details=details)["details"] == details
    assert UsageLogEntry.objects.get().details == details


@pytest.mark.parametrize("letter", ["x", "小", "🤖"])
def test_details_are_at_most_8_kib_of_json(internal: SurfaceClient, letter: str) -> None:
    room = 8 * 1024 - len('{"a":[1,""]}')
    text = letter * (room // len(letter.encode()))
    details = {"a": [1, text]}
    assert len(json.dumps(details, ensure_ascii=False, separators=(",", ":")).encode()) <= 8 * 1024

    refused(log(internal, details={"a": [1, text + letter]}), "details")
    assert logged(internal, details=details)["details"] == details


@pytest.mark.embedded
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("action", None),
        ("action", ""),
        ("action", "x" * 101),
        ("action", 5),
        ("tenant_id", 5),
        ("tenant_id", "x" * 51),
        ("agent_id", ["x"]),
        ("user_id", "x" * 101),
        ("platform", "x" * 101),
    ],
)
def test_invalid_fields_are_named(internal: SurfaceClient, field: str, value: Any) -> None:
    refused(log(internal, **{field: value}), field)


def test_entry_leaves_no_audit_row(internal: SurfaceClient) -> None:
    logged(internal)

    assert not AuditEntry.objects.exists()


def test_sweep_deletes_entries_older_than_the_setting(internal: SurfaceClient, settings: Any) -> None:
    """By the time it was stored, whatever time the bot gave."""
    settings.USAGE_LOG_RETENTION = timedelta(days=30)
    for action, age in (("old", timedelta(days=30, seconds=1)), ("young", timedelta(days=30))):
        with travel(NOON - age, tick=False):
            logged(internal, action=action, timestamp="2020-01-01T00:00:00Z")

    with travel(NOON, tick=False):
        call_command("sweep")

    assert list(UsageLogEntry.objects.values_list("action", flat=True)) == ["young"]
