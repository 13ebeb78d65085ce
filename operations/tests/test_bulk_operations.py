"""Bulk operations: what they change, in which chunks, and what happens when somebody or something is in the way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents.models import Agent
from apikeys import services as apikeys
from apikeys.models import ApiKey, DailyUse, KeyStatus
from apikeys.tests.asking import code_of
from core import epoch
from core.actor import Actor
from core.errors import Conflict, Forbidden, Invalid
from core.models import AuditEntry, DeletedObject
from operations import services
from operations.access import get_operation
from operations.changes import CHANGES, Change
from operations.models import BulkOperation, Kind, Outcome
from operations.preview import preview_selection
from operations.selections import Selection
from operations.worker import LEASE, MAX_FAILURES, Worker
from tenants.models import Tenant, TenantStatus
from tests.support.commands import run
from tests.support.interleaving import other_thread
from tests.support.operators import Operator, url
from tests.support.people import OPERATOR, Person, make_agent, make_key

pytestmark = pytest.mark.django_db
State, Result = BulkOperation.State, Outcome.Result


@pytest.fixture
def agent(alice: Person) -> Agent:
    """Alice's agent with five keys, in the order of their ids `k0` to `k4`."""
    agent = make_agent(alice.tenant, "bot")
    for number in range(5):
        key = ApiKey(pk=f"k{number}", tenant=alice.tenant, agent=agent)
        key.set_name(f"name {number}")
        key.save(force_insert=True)
    return agent


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of two objects."""
    for kind, change in CHANGES.items():
        monkeypatch.setitem(CHANGES, kind, change._replace(chunk=2))


def start(kind: Kind, *ids: str, **owners: Any) -> BulkOperation:
    return services.start(actor=OPERATOR, selection=Selection(kind, ids, **owners))


def work_off(row: BulkOperation, by: Worker | None = None) -> BulkOperation:
    """Work until nothing is left."""
    by = by or Worker()
    while by.work():
        pass
    row.refresh_from_db()
    return row


def results(row: BulkOperation) -> dict[str, str]:
    return dict(row.outcomes.values_list("object_id", "result"))


def statuses() -> list[str]:
    return list(ApiKey.unscoped.order_by("pk").values_list("status", flat=True))


# ---- the work


def test_all_keys_of_an_agent_are_disabled_with_one_wait_a_chunk(
    agent: Agent, small_chunks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_key(make_agent(agent.tenant)).secret
    waits = list[float]()
    monkeypatch.setattr(epoch, "PROPAGATION_SECONDS", 60.0)
    monkeypatch.setattr("core.epoch.time.sleep", waits.append)
    row = start(Kind.DISABLE_KEYS, agent_id=agent.pk)
    assert (row.state, row.total) == (State.WAITING, 5)

    row = work_off(row)

    assert (row.state, row.done, row.refused) == (State.DONE, 5, 0)
    assert ApiKey.unscoped.filter(agent=agent, status=KeyStatus.DISABLED).count() == 5
    assert set(results(row).values()) == {Result.DONE}
    assert len(waits) == 3, "for two, two and one key"
    assert code_of(other) == "VALID"


def test_audit_entries_name_the_operation_and_who_started_it(agent: Agent) -> None:
    row = work_off(start(Kind.DISABLE_KEYS, agent_id=agent.pk))

    entries = AuditEntry.objects.filter(request_id=row.pk)
    changes = entries.filter(action="key.update")
    assert set(changes.values_list("object_id", flat=True)) == {f"k{number}" for number in range(5)}
    assert set(changes.values_list("actor_label", flat=True)) == {OPERATOR.label}
    assert entries.get(action="operation.end").after == {"kind": row.kind, "state": "done", "done": 5, "refused": 0}


def test_outcome_of_each_object_is_told(agent: Agent) -> None:
    key = ApiKey.unscoped.get(pk="k1")
    key.status = KeyStatus.DISABLED
    key.save()
    row = start(Kind.DISABLE_KEYS, "k2", "k1", "k0", "k9", "k2")
    ApiKey.unscoped.filter(pk="k0").delete()

    row = work_off(row)

    assert results(row) == {"k0": Result.GONE, "k1": Result.UNCHANGED, "k2": Result.DONE, "k9": Result.GONE}
    assert (row.total, row.done, row.refused) == (4, 4, 2)


def test_what_is_created_after_the_start_is_left_alone(agent: Agent) -> None:
    row = start(Kind.DELETE_KEYS, agent_id=agent.pk)
    later = make_key(agent).key

    work_off(row)

    assert list(ApiKey.unscoped.values_list("pk", flat=True)) == [later.pk]


def test_objects_of_a_status_are_all_changed_although_that_changes(agent: Agent, small_chunks: None) -> None:
    row = work_off(start(Kind.DISABLE_KEYS, agent_id=agent.pk, status="active"))

    assert row.done == 5
    assert set(statuses()) == {"disabled"}
    assert work_off(start(Kind.ENABLE_KEYS, tenant_id=agent.tenant_id, status="disabled")).done == 5
    assert set(statuses()) == {"active"}


def test_status_is_the_one_that_people_see(agent: Agent) -> None:
    yesterday = timezone.now() - timedelta(days=1)
    ApiKey.unscoped.filter(pk__in=["k1", "k3"]).update(expires_at=yesterday)

    expired = start(Kind.DELETE_KEYS, agent_id=agent.pk, status="expired")
    active = start(Kind.DISABLE_KEYS, agent_id=agent.pk, status="active")

    assert results(work_off(expired)).keys() == {"k1", "k3"}
    assert results(work_off(active)).keys() == {"k0", "k2", "k4"}


def test_agents_are_deleted_and_can_be_restored(agent: Agent) -> None:
    row = work_off(start(Kind.DELETE_AGENTS, agent.pk))

    assert results(row) == {agent.pk: Result.DONE}
    assert DeletedObject.objects.get().object_id == agent.pk


def test_tenants_are_deleted_one_by_one_and_can_be_restored(agent: Agent, alice: Person, charlie: Person) -> None:
    ids = sorted([alice.tenant.pk, charlie.tenant.pk])
    row, worker = start(Kind.DELETE_TENANTS, *ids, "tenant_of_nobody"), Worker()

    worker.work()
    assert list(Tenant.objects.values_list("pk", flat=True)) == ids[1:]
    row = work_off(row, worker)

    assert results(row) == {ids[0]: Result.DONE, ids[1]: Result.DONE, "tenant_of_nobody": Result.GONE}
    assert sorted(DeletedObject.objects.values_list("object_id", flat=True)) == ids
    deleted = AuditEntry.objects.filter(action="tenant.delete", request_id=row.pk)
    assert set(deleted.values_list("actor_label", flat=True)) == {OPERATOR.label}


def test_tenants_are_suspended_and_activated(alice: Person, charlie: Person) -> None:
    ids = sorted([alice.tenant.pk, charlie.tenant.pk])
    Tenant.objects.filter(pk=ids[0]).update(status=TenantStatus.SUSPENDED)

    row = work_off(start(Kind.SUSPEND_TENANTS, *ids))

    assert results(row) == {ids[0]: Result.UNCHANGED, ids[1]: Result.DONE}
    work_off(start(Kind.ACTIVATE_TENANTS, *ids))
    assert set(Tenant.objects.values_list("status", flat=True)) == {TenantStatus.ACTIVE}


def test_object_that_a_rule_protects_is_told_and_the_others_are_changed(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = apikeys.delete_key

    def delete_key(*, actor: Any, key: ApiKey) -> None:
        if key.pk == "k1":
            raise Conflict("not this one")
        real(actor=actor, key=key)

    monkeypatch.setattr(apikeys, "delete_key", delete_key)
    row = work_off(start(Kind.DELETE_KEYS, "k0", "k1", "k2"))

    assert results(row) == {"k0": Result.DONE, "k1": Result.REFUSED, "k2": Result.DONE}
    assert row.outcomes.get(object_id="k1").detail == "not this one"


# ---- several workers, and workers that die


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


# ---- refusals


@pytest.mark.embedded
@pytest.mark.parametrize(
    ("kind", "ids", "owners"),
    [
        (Kind.DISABLE_KEYS, (), {}),
        (Kind.DISABLE_KEYS, (), {"status": "active"}),
        (Kind.DISABLE_KEYS, ("k0",), {"tenant_id": "t"}),
        (Kind.DISABLE_KEYS, (), {"tenant_id": "tenant_of_nobody"}),
        (Kind.SUSPEND_TENANTS, (), {"tenant_id": "t"}),
        (Kind.DELETE_TENANTS, (), {"tenant_id": "t"}),
        (Kind.DELETE_AGENTS, (), {"agent_id": "a"}),
        (Kind.DISABLE_KEYS, tuple(map(str, range(10_001))), {}),
        (Kind.DISABLE_KEYS, ("k" * 51,), {}),
        (Kind.DISABLE_KEYS, ("k\udcff",), {}),
        (Kind.DISABLE_KEYS, ("k0", "k0 "), {}),
        (Kind.DISABLE_KEYS, ("",), {}),
        (Kind.DISABLE_KEYS, (), {"tenant_id": "t", "status": "no_status"}),
        (Kind.DELETE_AGENTS, (), {"tenant_id": "t", "status": "expired"}),
    ],
)
def test_selection_of_nothing_or_of_too_much_is_refused(kind: Kind, ids: Any, owners: Any) -> None:
    with pytest.raises(Invalid):
        start(kind, *ids, **owners)
    assert not BulkOperation.objects.exists()


@pytest.mark.embedded
def test_number_of_more_than_a_hundred_objects_has_to_be_typed() -> None:
    hundred, more = ([f"k{number}" for number in range(total)] for total in (100, 101))
    start(Kind.DISABLE_KEYS, *hundred)
    for typed in (None, 100):
        with pytest.raises(Invalid, match="101"):
            services.start(actor=OPERATOR, selection=Selection(Kind.DISABLE_KEYS, tuple(more)), typed=typed)

    services.start(actor=OPERATOR, selection=Selection(Kind.DISABLE_KEYS, tuple(more)), typed=101)


@pytest.mark.embedded
def test_number_of_a_deletion_has_what_is_in_the_objects(charlie: Person) -> None:
    agent = make_agent(charlie.tenant)
    for number in range(100):
        make_key(agent, f"name {number}")

    for kind, object_id, number in ((Kind.DELETE_AGENTS, agent.pk, 101), (Kind.DELETE_TENANTS, agent.tenant_id, 102)):
        selection = Selection(kind, (object_id,))
        with pytest.raises(Invalid, match=str(number)):
            services.start(actor=OPERATOR, selection=selection, typed=1)
        assert services.start(actor=OPERATOR, selection=selection, typed=number).total == 1


@pytest.mark.embedded
def test_lists_and_progress_do_not_read_the_ids_of_operations(olivia: Operator, agent: Agent) -> None:
    """Each may have half a megabyte of them."""
    row = start(Kind.DISABLE_KEYS, "k0")

    with CaptureQueriesContext(connection) as queries:
        call_command("operations", "list", stdout=StringIO())
        olivia.get(url(BulkOperation))
        olivia.get(url(row, "progress"))

    assert [query["sql"] for query in queries if "selection" in query["sql"]] == []


@pytest.mark.embedded
def test_people_have_no_bulk_operations(alice: Person, agent: Agent) -> None:
    row = start(Kind.DISABLE_KEYS, "k0")
    with pytest.raises(Forbidden):
        services.start(actor=alice.actor, selection=Selection(Kind.DISABLE_KEYS, ("k0",)))
    with pytest.raises(Forbidden):
        services.cancel(actor=alice.actor, operation=row)
    with pytest.raises(Forbidden):
        get_operation(alice.actor, row.pk)


# ---- preview, sweep, command


def test_preview_counts_what_an_operation_would_affect(alice: Person, agent: Agent) -> None:
    secret = make_key(agent).secret
    make_agent(alice.tenant)
    assert code_of(secret) == "VALID"

    of_agent = preview_selection(Selection(Kind.DISABLE_KEYS, agent_id=agent.pk))
    of_tenant = preview_selection(Selection(Kind.SUSPEND_TENANTS, (alice.tenant.pk,)))
    of_agents = preview_selection(Selection(Kind.DELETE_AGENTS, (agent.pk,)))
    of_keys = preview_selection(Selection(Kind.DELETE_KEYS, ("k0", "k1")))

    assert (of_agent.objects, of_agent.agents, of_agent.keys) == (6, 1, 6)
    assert (of_tenant.objects, of_tenant.agents, of_tenant.calls_are_of_last_hour) == (1, 2, True)
    assert (of_agents.objects, of_agents.agents, of_agents.keys) == (1, 1, 6)
    assert (of_keys.objects, of_keys.agents, of_keys.keys, of_keys.has_to_be_typed) == (2, 1, 2, False)


def test_preview_counts_thousands_of_ids(agent: Agent) -> None:
    today = timezone.now().date()
    DailyUse.unscoped.create(subject="k1", day=today, tenant=agent.tenant, uses=7)

    found = preview_selection(Selection(Kind.DELETE_KEYS, tuple(f"k{number}" for number in range(3000))))

    assert (found.objects, found.calls) == (3000, 7)


@pytest.mark.embedded
def test_sweep_deletes_old_operations_with_their_outcomes(agent: Agent) -> None:
    row = work_off(start(Kind.DISABLE_KEYS, agent_id=agent.pk))
    assert services.sweep() == 0
    BulkOperation.objects.update(ended_at=timezone.now() - services.KEPT_FOR - timedelta(seconds=1))

    assert services.sweep() == 1
    assert not Outcome.objects.filter(operation_id=row.pk).exists()


@pytest.mark.embedded
def test_command_starts_shows_and_cancels(agent: Agent) -> None:
    asked = run("operations", "start", "disable_keys", "--agent", agent.pk)
    assert (asked.status, BulkOperation.objects.count()) == (1, 0)
    assert "5 objects" in asked.err

    started = run("operations", "start", "disable_keys", "--agent", agent.pk, "--yes", "--json").document
    assert run("operations", "list").rows[0][:5] == [started["id"], "disable_keys", "waiting", "0", "5"]
    work_off(BulkOperation.objects.get())
    shown = run("operations", "show", started["id"], "--all", "--json").document
    assert (shown["state"], len(shown["outcomes"])) == ("done", 5)
    assert run("operations", "show", started["id"], "--json").document["outcomes"] == []
    assert run("operations", "cancel", started["id"]).status == 1
    assert run("operations", "cancel", "operation_0").status == 3
    other = run("operations", "start", "enable_keys", "k0", "--yes", "--json").document
    assert run("operations", "cancel", other["id"], "--json").document["state"] == "cancelled"
