"""Workers of bulk operations: several of them, those that die or fail, and operations that are cancelled."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from agents.models import Agent
from apikeys.models import ApiKey
from core.actor import Actor
from core.errors import Conflict
from core.models import AuditEntry
from operations import services
from operations.changes import CHANGES, Change
from operations.models import BulkOperation, Kind, Outcome
from operations.tests.work import start, statuses, work_off
from operations.worker import LEASE, MAX_FAILURES, Worker
from tests.support.interleaving import other_thread
from tests.support.people import OPERATOR

pytestmark = pytest.mark.django_db
State, Result = BulkOperation.State, Outcome.Result


def test_operation_belongs_to_one_worker_and_another_is_free_for_the_next(agent: Agent, small_chunks: None) -> None:
    first, second = start(Kind.DISABLE_KEYS, agent_id=agent.pk), start(Kind.SUSPEND_TENANTS, agent.tenant_id)
    one, other = Worker(), Worker()

    assert (one.work(), other.work(), other.work()) == (True, True, False)

    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.done, first.state, second.state) == (2, State.RUNNING, State.DONE)


def test_operation_of_a_killed_worker_goes_on_where_it_was(agent: Agent, small_chunks: None) -> None:
    row = start(Kind.DISABLE_KEYS, agent_id=agent.pk)
    Worker().work()  # and is never heard of again
    successor = Worker()
    assert not successor.work(), "as long as the lease may be renewed"
    BulkOperation.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))

    row = work_off(row, successor)

    assert (row.state, row.done) == (State.DONE, 5)
    assert AuditEntry.objects.filter(request_id=row.pk, action="key.update").count() == 5, "nothing was done twice"


def test_worker_that_has_lost_its_operation_changes_nothing(
    agent: Agent, small_chunks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = start(Kind.DISABLE_KEYS, agent_id=agent.pk)
    slow = Worker()
    slow.work()
    BulkOperation.objects.update(worker="another", claimed_until=timezone.now() + LEASE)
    monkeypatch.setattr(slow, "_claim", lambda: row.pk)  # it has asked a moment before

    slow.work()

    row.refresh_from_db()
    assert (row.done, statuses().count("disabled")) == (2, 2)


@pytest.mark.needs_mariadb
@pytest.mark.django_db(transaction=True)
def test_chunk_that_outlasts_its_lease_delays_no_other_operation(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    def disable_slowly(_actor: Actor, ids: Sequence[str]) -> list[Outcome]:
        with other_thread() as meanwhile:
            meanwhile(Worker().work)
        return [Outcome(object_id=pk, result=Result.DONE) for pk in ids]

    monkeypatch.setattr("operations.worker.LEASE", timedelta())
    monkeypatch.setitem(CHANGES, Kind.DISABLE_KEYS, Change(disable_slowly, chunk=10))
    slow, urgent = start(Kind.DISABLE_KEYS, agent_id=agent.pk), start(Kind.SUSPEND_TENANTS, agent.tenant_id)

    Worker().work()

    for row, number in ((slow, 5), (urgent, 1)):
        row.refresh_from_db()
        assert (row.state, row.done) == (State.DONE, number)


def test_stopped_worker_leaves_its_operation_to_others_at_once(agent: Agent, small_chunks: None) -> None:
    row = start(Kind.DISABLE_KEYS, agent_id=agent.pk)
    stopped = Worker()
    stopped.work()
    stopped.release()

    assert work_off(row).state == State.DONE


def test_stopped_worker_leaves_operations_of_others_alone(agent: Agent, small_chunks: None) -> None:
    start(Kind.DISABLE_KEYS, agent_id=agent.pk)
    working, idle = Worker(), Worker()
    working.work()

    idle.release()

    assert not idle.work()


def test_chunk_that_fails_again_and_again_ends_the_operation(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any) -> Any:
        ApiKey.unscoped.filter(pk="k0").update(status="disabled")
        raise OperationalError("disk full")

    monkeypatch.setitem(CHANGES, Kind.DISABLE_KEYS, Change(fail, chunk=2))
    row = start(Kind.DISABLE_KEYS, agent_id=agent.pk)
    failing = Worker()
    for _attempt in range(MAX_FAILURES):
        with pytest.raises(OperationalError):
            failing.work()

    assert not failing.work()
    row.refresh_from_db()
    assert (row.state, row.done, row.failures) == (State.FAILED, 0, MAX_FAILURES)
    assert "log" in row.problem
    assert set(statuses()) == {"active"}, "a failed chunk changes nothing"


def test_fault_in_one_operation_does_not_stop_those_after_it(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any) -> Any:
        raise KeyError("a fault in the code")

    monkeypatch.setitem(CHANGES, Kind.DISABLE_KEYS, Change(fail, chunk=2))
    faulty, sound = start(Kind.DISABLE_KEYS, "k0"), start(Kind.DELETE_KEYS, "k1")
    worker = Worker()
    for _attempt in range(MAX_FAILURES):
        with pytest.raises(KeyError):
            worker.work()

    assert work_off(sound, worker).state == State.DONE
    faulty.refresh_from_db()
    assert faulty.state == State.FAILED


def test_operation_whose_worker_is_killed_before_it_is_done_is_done_by_another(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = Worker()
    monkeypatch.setattr(killed, "_finish", lambda _operation_id: None)
    row = start(Kind.DISABLE_KEYS, agent_id=agent.pk)
    killed.work()
    BulkOperation.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))

    row = work_off(row)

    assert (row.state, row.done, row.problem) == (State.DONE, 5, "")
    assert AuditEntry.objects.filter(request_id=row.pk, action="key.update").count() == 5


# ---- cancelling


def test_cancelled_operation_stops_after_its_chunk(agent: Agent, small_chunks: None) -> None:
    row = start(Kind.DISABLE_KEYS, agent_id=agent.pk)
    working = Worker()
    working.work()

    services.cancel(actor=OPERATOR, operation=row)
    row = work_off(row, working)

    assert (row.state, row.done) == (State.CANCELLED, 2)
    assert statuses() == ["disabled", "disabled", "active", "active", "active"]
    with pytest.raises(Conflict):
        services.cancel(actor=OPERATOR, operation=row)
    assert AuditEntry.objects.get(action="operation.cancel").after == {"state": "cancelled", "done": 2}


def test_operation_is_cancelled_when_no_worker_answers_from_before_its_last_chunk(
    agent: Agent, small_chunks: None, propagation_waits: list[float]
) -> None:
    row = start(Kind.DISABLE_KEYS, agent_id=agent.pk)
    Worker().work()
    propagation_waits.clear()

    services.cancel(actor=OPERATOR, operation=row)

    assert len(propagation_waits) == 1
