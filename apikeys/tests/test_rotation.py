"""Rotation: a new secret for the same key, and how long the old ones stay good, at every api."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from time_machine import travel

from agents.models import Agent
from apikeys import keyformat, services
from apikeys.access import keys_for
from apikeys.errors import KeyNotFound
from apikeys.models import ApiKey, KeySecret
from apikeys.tests.api import KeyApi
from apikeys.tests.asking import code_of, validate
from core import epoch
from core.models import AuditEntry, Invalidation
from tests.support.client import SurfaceClient
from tests.support.people import OPERATOR, Person, make_agent, make_key

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_the_answer_is_the_same_key_with_a_new_secret(api: KeyApi) -> None:
    with travel(NOON, tick=False):
        key = api.create("key", permissions=["chat"])
    with travel(NOON + timedelta(hours=1), tick=False):
        response = api.try_rotate(key)
    rotated = api.data(response)

    assert response["Cache-Control"] == "no-store"
    assert list(rotated) == api.fields
    changed = {field for field in api.fields if rotated[field] != key[field]}
    assert changed - {"updated_at"} == {"api_key", "revision"}
    assert keyformat.parse(rotated["api_key"]).agent_id == api.agent.id
    assert api.get(key) == {**rotated, "api_key": keyformat.masked(keyformat.parse(rotated["api_key"]).hint)}
    if api.is_enveloped:
        assert rotated["updated_at"] == "2026-01-31T13:00:00Z"


def test_without_a_grace_the_old_secret_ends_at_once(api: KeyApi) -> None:
    key = api.create()

    with travel(timezone.now(), tick=False):
        rotated = api.rotate(key)
        assert code_of(key["api_key"]) == "AUTH_002"

    told = validate(rotated["api_key"])
    assert (told["code"], told["api_key_id"]) == ("VALID", key["api_key_id" if api.is_enveloped else "id"])


def test_with_a_grace_the_old_secret_is_good_until_it_ends(api: KeyApi) -> None:
    with travel(NOON, tick=False):
        key = api.create()
        rotated = api.rotate(key, grace_seconds=60)

    for seconds, old in ((0, "VALID"), (59, "VALID"), (60, "AUTH_002"), (3600, "AUTH_002")):
        with travel(NOON + timedelta(seconds=seconds), tick=False):
            assert (code_of(key["api_key"]), code_of(rotated["api_key"])) == (old, "VALID"), seconds


@pytest.mark.embedded
@pytest.mark.parametrize(("second_grace", "first_ends", "second_ends"), [(0, 10, 10), (20, 30, 30), (600, 60, 610)])
def test_a_rotation_cuts_the_graces_before_it_and_prolongs_none(
    api: KeyApi, second_grace: int, first_ends: int, second_ends: int
) -> None:
    with travel(NOON, tick=False):
        first = api.create()
        second = api.rotate(first, grace_seconds=60)
    with travel(NOON + timedelta(seconds=10), tick=False):
        third = api.rotate(first, grace_seconds=second_grace)

    def code_at(key: dict[str, Any], seconds: int) -> str:
        with travel(NOON + timedelta(seconds=seconds), tick=False):
            return code_of(key["api_key"])

    assert (code_at(first, first_ends - 1), code_at(first, first_ends)) == ("VALID", "AUTH_002")
    assert (code_at(second, second_ends - 1), code_at(second, second_ends)) == ("VALID", "AUTH_002")
    assert code_at(third, 10_000) == "VALID"
    assert KeySecret.objects.count() == 3


def test_who_still_uses_the_old_secret_is_seen(api: KeyApi) -> None:
    with travel(NOON, tick=False):
        key = api.create()
        validate(key["api_key"])
        rotated = api.rotate(key, grace_seconds=3600)
        assert rotated["old_secret_last_used_at"] is None, "a use before the rotation says nothing"

    with travel(NOON + timedelta(minutes=1), tick=False):
        validate(rotated["api_key"])
    assert api.get(key)["old_secret_last_used_at"] is None

    with travel(NOON + timedelta(minutes=2), tick=False):
        validate(key["api_key"])
        validate(key["api_key"], check_rate_limit=False)
    assert api.get(key)["old_secret_last_used_at"] == "2026-01-31T12:02:00Z"
    assert api.listed()[0]["old_secret_last_used_at"] == "2026-01-31T12:02:00Z"

    with travel(NOON + timedelta(minutes=3), tick=False):
        assert api.rotate(key)["old_secret_last_used_at"] is None, "of the newest that was rotated out"


@pytest.mark.parametrize("grace_seconds", [0, 60])
def test_a_third_secrets_rotation_does_not_hide_who_uses_the_first(api: KeyApi, grace_seconds: int) -> None:
    with travel(NOON, tick=False):
        first = api.create()
        api.rotate(first, grace_seconds=3600)
    with travel(NOON + timedelta(minutes=1), tick=False):
        validate(first["api_key"])
        third = api.rotate(first, grace_seconds=grace_seconds)
    expected = "2026-01-31T12:01:00Z" if grace_seconds else None

    with travel(NOON + timedelta(minutes=1), tick=False):
        assert third["old_secret_last_used_at"] == expected
        assert api.get(first)["old_secret_last_used_at"] == expected
        assert api.listed()[0]["old_secret_last_used_at"] == expected
    with travel(NOON + timedelta(days=9), tick=False):
        assert api.get(first)["old_secret_last_used_at"] == expected, "it stays when the grace is over"


def test_of_old_secrets_that_are_still_good_the_latest_use_counts(api: KeyApi) -> None:
    with travel(NOON, tick=False):
        first = api.create()
        second = api.rotate(first, grace_seconds=600)
        api.rotate(first, grace_seconds=3600)
    for minute, key in ((1, first), (2, second), (3, first)):
        with travel(NOON + timedelta(minutes=minute), tick=False):
            validate(key["api_key"])
            assert api.get(first)["old_secret_last_used_at"] == f"2026-01-31T12:0{minute}:00Z"

    with travel(NOON + timedelta(minutes=11), tick=False):
        assert api.get(first)["old_secret_last_used_at"] == "2026-01-31T12:02:00Z", "the first is good no more"
    with travel(NOON + timedelta(minutes=61), tick=False):
        assert api.get(first)["old_secret_last_used_at"] == "2026-01-31T12:02:00Z", "the second ended last"


def test_the_use_of_an_old_secret_that_leaked_is_not_told(api: KeyApi, internal: SurfaceClient) -> None:
    with travel(NOON, tick=False):
        first = api.create()
        second = api.rotate(first, grace_seconds=3600)
        api.rotate(first, grace_seconds=3600)
        validate(first["api_key"])
        internal.send("POST", "/api/v2/auth/report-leaked-key", {"api_key": first["api_key"]})
        assert api.get(first)["old_secret_last_used_at"] is None

        validate(second["api_key"])
        assert api.get(first)["old_secret_last_used_at"] == "2026-01-31T12:00:00Z"


def test_a_disabled_key_is_rotated_and_stays_disabled(api: KeyApi) -> None:
    key = api.create()
    api.put(key, status="disabled")

    rotated = api.rotate(key, grace_seconds=60)

    assert rotated["status"] == "disabled"
    assert (code_of(key["api_key"]), code_of(rotated["api_key"])) == ("AUTH_004", "AUTH_004")
    api.put(key, status="active")
    assert (code_of(key["api_key"]), code_of(rotated["api_key"])) == ("VALID", "VALID")


def test_an_expired_key_is_expired_by_any_secret(api: KeyApi) -> None:
    with travel(NOON, tick=False):
        key = api.create(expires_at="2026-01-31T12:00:30Z")
        rotated = api.rotate(key, grace_seconds=3600)

    with travel(NOON + timedelta(seconds=30), tick=False):
        assert (code_of(key["api_key"]), code_of(rotated["api_key"])) == ("AUTH_002", "AUTH_002")


def test_a_key_of_an_archived_agent_is_not_rotated(api: KeyApi) -> None:
    key = api.create()
    Agent.unscoped.update(status="archived")

    api.assert_error(api.try_rotate(key), 409, "AGENT_005")

    assert KeySecret.objects.get().expires_at is None


@pytest.mark.embedded
@pytest.mark.parametrize("grace", [-1, 30 * 24 * 3600 + 1, 1.5, "60", True, []])
def test_a_grace_is_up_to_thirty_days(api: KeyApi, grace: Any) -> None:
    key = api.create()

    assert api.error_fields(api.try_rotate(key, {"grace_seconds": grace}), 400, "VALIDATION_ERROR") == ["grace_seconds"]
    assert KeySecret.objects.count() == 1
    api.rotate(key, grace_seconds=30 * 24 * 3600)
    api.rotate(key, grace_seconds=None)


def test_a_key_that_does_not_exist_is_not_rotated(api: KeyApi) -> None:
    nothing = {"id": "key_000000000000", "api_key_id": "key_000000000000"}

    api.assert_error(api.try_rotate(nothing), 404, "KEY_001")


def test_a_key_is_rotated_under_its_own_agent_only(alice: Person, agent: Agent) -> None:
    key = make_key(agent).key
    other = alice.client.send("POST", "/api/v1/agents", {"name": "other"}).json()["id"]

    response = alice.client.send("POST", f"/api/v1/agents/{other}/api_keys/{key.id}/rotate", {})

    assert (response.status_code, response.json()["code"]) == (404, "KEY_001")


def test_every_worker_is_told(api: KeyApi) -> None:
    key = api.create()
    told = Invalidation.objects.exclude(subject=epoch.NOTHING)
    assert not told.exists()

    api.rotate(key, grace_seconds=60)

    assert told.get().subject == key["api_key_id" if api.is_enveloped else "id"]


def test_the_audit_row_tells_the_secrets_apart_and_none_of_them(api: KeyApi) -> None:
    key = api.create()
    rotated = api.rotate(key, grace_seconds=60)

    hints = [keyformat.parse(shown["api_key"]).hint for shown in (key, rotated)]
    row = AuditEntry.objects.get(action="key.rotate")
    assert row.after == {"hint": hints[1], "old_hint": hints[0], "grace_seconds": 60}
    everything = str(list(AuditEntry.objects.values()))
    assert key["api_key"][4:] not in everything
    assert rotated["api_key"][4:] not in everything


@pytest.mark.parametrize("rows", [ApiKey.unscoped.all, lambda: keys_for(OPERATOR)], ids=["as it is", "by the gate"])
def test_secrets_are_loaded_with_and_without_prefetching(alice: Person, rows: Callable[[], QuerySet[ApiKey]]) -> None:
    first = make_key(make_agent(alice.tenant))
    services.rotate_key(actor=OPERATOR, key=first.key, grace_seconds=60)

    key = rows().get()

    newest, oldest = KeySecret.objects.order_by("-pk")
    assert (key.current_secret, key.previous_secrets) == (newest, [oldest])
    assert services.disable_key(actor=OPERATOR, key=rows().get()).current_secret == newest
    assert services.rotate_key(actor=OPERATOR, key=rows().get()).key.previous_secrets == [newest, oldest]


def test_only_the_last_ended_secrets_are_read(alice: Person) -> None:
    key = make_key(make_agent(alice.tenant)).key
    for hour in range(3):
        with travel(NOON + timedelta(hours=hour), tick=False):
            services.rotate_key(actor=OPERATOR, key=key, grace_seconds=60)

    _current, newest_old, *_older = KeySecret.objects.order_by("-pk")
    assert ApiKey.unscoped.get().previous_secrets == keys_for(OPERATOR).get().previous_secrets == [newest_old]


def test_the_secret_of_a_key_that_was_deleted_meanwhile_is_not_found(alice: Person) -> None:
    make_key(make_agent(alice.tenant))
    key = ApiKey.unscoped.get()
    services.delete_key(actor=OPERATOR, key=key)

    with pytest.raises(KeyNotFound):
        _ = ApiKey(pk=key.pk).current_secret


@pytest.mark.parametrize(
    "change",
    [
        lambda key: services.update_key(actor=OPERATOR, key=key, changes={"name": "renamed"}),
        lambda key: services.disable_key(actor=OPERATOR, key=key),
        lambda key: services.enable_key(actor=OPERATOR, key=key),
        lambda key: services.rotate_key(actor=OPERATOR, key=key).key,
        lambda key: services.report_leak(actor=OPERATOR, secret=key.current_secret).key,
    ],
    ids=["update", "disable", "enable", "rotate", "report leak"],
)
def test_services_take_a_key_without_prefetched_secrets(alice: Person, change: Callable[[ApiKey], ApiKey]) -> None:
    key = make_key(make_agent(alice.tenant)).key

    changed = change(ApiKey.unscoped.get())

    newest, *older = KeySecret.objects.order_by("-pk")
    assert (changed.pk, changed.current_secret, changed.previous_secrets) == (key.pk, newest, older)


def test_key_without_prefetched_secrets_can_be_deleted(alice: Person) -> None:
    make_key(make_agent(alice.tenant))

    services.delete_key(actor=OPERATOR, key=ApiKey.unscoped.get())

    assert not ApiKey.unscoped.exists()


def test_update_of_a_key_with_prefetched_secrets_reads_no_secrets(alice: Person) -> None:
    make_key(make_agent(alice.tenant))
    key = keys_for(OPERATOR).get()

    with CaptureQueriesContext(connection) as captured:
        services.disable_key(actor=OPERATOR, key=key)

    assert not [query["sql"] for query in captured if "apikeys_keysecret" in query["sql"]]
