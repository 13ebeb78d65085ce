"""Writing uses down: every one of them, once, on both databases and whoever else writes (apikeys.usage)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from threading import Barrier, Event
from typing import Any

import pytest
from django.db import connection
from time_machine import travel

from agents import services as agents
from apikeys import services, usage
from apikeys.models import ApiKey, DailyUse, KeySecret
from apikeys.outcomes import INSTALLATION
from apikeys.usage import Uses
from core import db
from tenants import services as tenants
from tests.support.instances import WAIT
from tests.support.interleaving import other_thread
from tests.support.people import OPERATOR, Person, make_agent, make_key

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
TODAY = NOON.date()
LOCKING_OF_KEYS = r"DELETE FROM `apikeys_apikey`|SELECT .* FROM `apikeys_apikey` .* FOR UPDATE"


class Data:
    """Alice's tenant with two agents, the first of which has two keys, the second one."""

    def __init__(self, alice: Person) -> None:
        self.agent, self.other_agent = make_agent(alice.tenant), make_agent(alice.tenant)
        self.key, self.sibling = make_key(self.agent).key, make_key(self.agent).key
        self.other_key = make_key(self.other_agent).key


@pytest.fixture
def data(alice: Person) -> Data:
    return Data(alice)


def uses(key: ApiKey, number: int, last: datetime = NOON, secret: KeySecret | None = None) -> Uses:
    """Return uses of a key, as the counter makes them."""
    return Uses(key.id, last.date(), key.agent_id, key.tenant_id, secret.pk if secret else None, number, last)


def counts() -> dict[tuple[str, date], int]:
    """Everything that is counted, but the uses of the whole installation, which are those of all tenants."""
    rows = {(row.subject, row.day): row.uses for row in DailyUse.unscoped.all()}
    return {by: uses for by, uses in rows.items() if by[0] != INSTALLATION}


def rotated_out(key: ApiKey) -> KeySecret:
    """Make an old secret of a key, within its grace."""
    return KeySecret.objects.create(key=key, digest=f"old one of {key.id}", pepper_id=1, hint="0000", expires_at=NOON)


def test_keys_agents_and_tenants_get_what_is_theirs(data: Data, charlie: Person) -> None:
    yesterday = NOON - timedelta(days=1)
    mine, sibling, other = data.key, data.sibling, data.other_key
    strangers = make_key(make_agent(charlie.tenant)).key

    usage.add([uses(mine, 1), uses(sibling, 20), uses(other, 300), uses(strangers, 4000)])
    usage.add([uses(mine, 5, yesterday)])

    assert counts() == {
        (mine.id, TODAY): 1,
        (mine.id, yesterday.date()): 5,
        (sibling.id, TODAY): 20,
        (other.id, TODAY): 300,
        (strangers.id, TODAY): 4000,
        (data.agent.id, TODAY): 21,
        (data.agent.id, yesterday.date()): 5,
        (data.other_agent.id, TODAY): 300,
        (strangers.agent_id, TODAY): 4000,
        (data.agent.tenant_id, TODAY): 321,
        (data.agent.tenant_id, yesterday.date()): 5,
        (charlie.tenant.id, TODAY): 4000,
    }
    assert usage.by_day(INSTALLATION, INSTALLATION, yesterday.date(), TODAY) == [(yesterday.date(), 5), (TODAY, 4321)]
    numbers = dict(ApiKey.unscoped.values_list("id", "usage_count"))
    assert numbers == {mine.id: 6, sibling.id: 20, other.id: 300, strangers.id: 4000}


def test_one_key_on_two_days_by_two_secrets_at_once(data: Data) -> None:
    """This is written when it becomes midnight, or a key is rotated, between two writes."""
    key, old = data.key, rotated_out(data.key)
    midnight = datetime(2026, 1, 31, tzinfo=UTC)
    late = midnight - timedelta(microseconds=1)

    usage.add([uses(key, 1, late), uses(key, 20, late, old), uses(key, 300, midnight), uses(key, 4000, midnight, old)])

    key.refresh_from_db()
    old.refresh_from_db()
    assert (key.usage_count, key.last_used_at, old.last_used_at) == (4321, midnight, midnight)
    for subject in (key.id, key.agent_id, key.tenant_id):
        assert usage.by_day(subject, key.tenant_id, late.date(), TODAY) == [(late.date(), 21), (TODAY, 4300)]
        assert usage.total_since(subject, key.tenant_id, TODAY) == 4300
        assert usage.total_since(subject, key.tenant_id, None) == 4321


def test_last_used_is_the_latest_in_whatever_order_it_is_written(data: Data) -> None:
    key, old = data.key, rotated_out(data.key)
    for seconds in (1, 3, 2):
        usage.add([uses(key, 1, NOON + timedelta(seconds=seconds), old)])

    key.refresh_from_db()
    old.refresh_from_db()
    assert key.last_used_at == old.last_used_at == NOON + timedelta(seconds=3)


def test_last_use_of_a_clock_that_was_ahead_is_replaced_by_the_next(data: Data) -> None:
    """A step back of the clock must not leave a last use in the future for so long."""
    key, old = data.key, rotated_out(data.key)
    with travel(NOON + timedelta(hours=1), tick=False):
        usage.add([uses(key, 1, NOON + timedelta(hours=1), old)])
    with travel(NOON, tick=False):
        usage.add([uses(key, 1, NOON, old)])

    key.refresh_from_db()
    old.refresh_from_db()
    assert (key.last_used_at, old.last_used_at, key.usage_count) == (NOON, NOON, 2)


def test_last_use_of_a_machine_whose_clock_is_seconds_ahead_stays(data: Data) -> None:
    key, old, ahead = data.key, rotated_out(data.key), NOON + timedelta(seconds=2)
    with travel(NOON, tick=False):
        usage.add([uses(key, 1, ahead, old)])
        usage.add([uses(key, 1, NOON, old)])

    key.refresh_from_db()
    old.refresh_from_db()
    assert (key.last_used_at, old.last_used_at) == (ahead, ahead)


def test_a_use_by_an_old_secret_is_one_of_the_key(data: Data) -> None:
    old = rotated_out(data.key)

    usage.add([uses(data.key, 7, NOON, old)])

    new = KeySecret.objects.filter(key=data.key).exclude(pk=old.pk).get()
    assert new.last_used_at is None
    assert counts()[data.key.id, TODAY] == 7
    assert KeySecret.objects.get(pk=old.pk).last_used_at == NOON


def test_a_key_that_is_gone_meanwhile_does_not_keep_the_others_from_theirs(data: Data) -> None:
    services.delete_key(actor=OPERATOR, key=data.key)

    usage.add([uses(data.key, 2), uses(data.sibling, 3)])

    assert ApiKey.unscoped.get(pk=data.sibling.id).usage_count == 3
    assert counts()[data.agent.id, TODAY] == 5


def test_ids_that_differ_in_case_alone_are_counted_apart(data: Data) -> None:
    def imported(key_id: str) -> ApiKey:
        key = ApiKey(id=key_id, tenant_id=data.agent.tenant_id, agent=data.agent)
        key.set_name(f"imported {ord(key_id[0])}")
        key.save(force_insert=True)
        return key

    upper, lower = imported("Key_é"), imported("key_é")

    usage.add([uses(upper, 1), uses(lower, 20)])

    assert [ApiKey.unscoped.get(pk=key.pk).usage_count for key in (upper, lower)] == [1, 20]
    assert (counts()["Key_é", TODAY], counts()["key_é", TODAY]) == (1, 20)


@pytest.mark.django_db(transaction=True)
def test_many_writers_lose_nothing(data: Data) -> None:
    writers, rounds = 6, 15
    keys = [data.key, data.sibling, data.other_key]
    rows = [uses(key, 1, secret=secret) for key in keys for secret in (None, rotated_out(key))]
    start = Barrier(writers)

    def write(number: int) -> None:
        in_another_order: Sequence[Uses] = rows if number % 2 else rows[::-1]
        start.wait()
        try:
            for _ in range(rounds):
                usage.add(in_another_order)
        finally:
            connection.close()

    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(write, range(writers)))

    each = 2 * writers * rounds
    assert set(ApiKey.unscoped.values_list("usage_count", flat=True)) == {each}
    assert counts() == {
        **{(key.id, TODAY): each for key in keys},
        (data.agent.id, TODAY): 2 * each,
        (data.other_agent.id, TODAY): each,
        (data.agent.tenant_id, TODAY): 3 * each,
    }


@pytest.mark.needs_mariadb
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("deleted", ["agent", "tenant"])
def test_writer_and_cascading_delete_do_not_deadlock(
    data: Data, alice: Person, monkeypatch: pytest.MonkeyPatch, deleted: str
) -> None:
    monkeypatch.setattr(db, "_ATTEMPTS", 1)  # a deadlock is an error, and not repeated
    rows = [uses(data.key, 1, secret=rotated_out(data.key))]
    is_at_the_key = Event()

    def delete() -> None:
        with connection.execute_wrapper(before(LOCKING_OF_KEYS, is_at_the_key.set)):
            if deleted == "agent":
                agents.delete_agent(actor=OPERATOR, agent=data.agent)
            else:
                tenants.delete_tenant(actor=OPERATOR, tenant=alice.tenant)

    with other_thread() as meanwhile:

        def begin_deletion() -> None:
            meanwhile(delete, wait=0)
            assert is_at_the_key.wait(WAIT)

        # By now the writer has locked the key, and is about to lock its secret.
        with connection.execute_wrapper(before("UPDATE `apikeys_keysecret`", begin_deletion)):
            usage.add(rows)

    assert not ApiKey.unscoped.filter(pk=data.key.pk).exists()


def before(pattern: str, act: Callable[[], object]) -> Callable[..., Any]:
    """Return a wrapper of queries that acts before the first that matches the pattern."""
    done: list[str] = []

    def wrapper(execute: Callable[..., Any], query: str, *rest: Any) -> Any:
        if not done and re.match(pattern, query):
            done.append(query)
            act()
        return execute(query, *rest)

    return wrapper


def test_uses_of_a_tenant_that_is_gone_are_taken_and_swept(data: Data, alice: Person) -> None:
    """They may have been counted a moment before it was deleted."""
    tenants.delete_tenant(actor=OPERATOR, tenant=alice.tenant)

    usage.add([uses(data.key, 2)])

    assert usage.sweep() == 3
    assert counts() == {}
