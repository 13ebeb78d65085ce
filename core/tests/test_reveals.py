"""Reads that reveal secrets: one audit entry for an agent, an address and an hour."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from time_machine import Traveller, travel

from core.actor import Actor, ActorKind
from core.db import transactional
from core.models import AuditEntry, RevealCount
from core.reveals import record_counted, record_reveal
from tests.support.people import OPERATOR

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clock() -> Iterator[Traveller]:
    with travel(datetime(2030, 1, 1, 12, 30, tzinfo=UTC), tick=False) as clock:
        yield clock


def read(times: int = 1, *, agent_id: str = "agent_1", address: str = "192.0.2.1") -> None:
    actor = Actor(kind=ActorKind.INTERNAL, address=address)
    for _ in range(times):
        transactional(record_reveal)(actor=actor, agent_id=agent_id, tenant_id="tenant_1")


def recorded() -> list[tuple[str, str, object]]:
    rows = AuditEntry.objects.order_by("object_id", "address", "id")
    assert set(rows.values_list("action", "actor_kind", "tenant_id")) <= {
        ("agent.reveal_secrets", "internal", "tenant_1")
    }
    return [(row.object_id, row.address, row.after) for row in rows]


def test_reads_of_an_hour_become_one_entry(clock: Traveller) -> None:
    read(3)
    read(2, address="192.0.2.2")
    read(agent_id="agent_2")
    clock.shift(timedelta(hours=1))
    read(4)

    assert record_counted() == 3
    hour = "2030-01-01T12:00:00Z"
    assert recorded() == [
        ("agent_1", "192.0.2.1", {"hour": hour, "reads": 3}),
        ("agent_1", "192.0.2.2", {"hour": hour, "reads": 2}),
        ("agent_2", "192.0.2.1", {"hour": hour, "reads": 1}),
    ]
    assert RevealCount.objects.get().number == 4


def test_hour_is_recorded_when_its_last_reads_are_committed(clock: Traveller) -> None:
    read()
    clock.move_to(datetime(2030, 1, 1, 13, 0, 59, tzinfo=UTC))
    assert record_counted() == 0
    clock.shift(timedelta(seconds=1))
    assert record_counted() == 1
    assert record_counted() == 0
    assert len(recorded()) == 1


def test_read_of_a_command_is_recorded_at_once() -> None:
    transactional(record_reveal)(actor=OPERATOR, agent_id="agent_1", tenant_id="tenant_1")

    assert AuditEntry.objects.get().action == "agent.reveal_secrets"
    assert not RevealCount.objects.exists()
