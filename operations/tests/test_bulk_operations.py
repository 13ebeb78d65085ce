"""Bulk operations: what they change and refuse, and how they are shown."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents.models import Agent
from apikeys import services as apikeys
from apikeys.models import ApiKey, DailyUse, KeyStatus
from apikeys.tests.asking import code_of
from core import epoch
from core.errors import Conflict, Forbidden, Invalid
from core.models import AuditEntry, DeletedObject
from operations import services
from operations.access import get_operation
from operations.models import BulkOperation, Kind, Outcome
from operations.preview import preview_selection
from operations.selections import Selection
from operations.tests.work import results, start, statuses, work_off
from operations.worker import Worker
from tenants.models import Tenant, TenantStatus
from tests.support.commands import run
from tests.support.operators import Operator, url
from tests.support.people import OPERATOR, Person, make_agent, make_key

pytestmark = pytest.mark.django_db
State, Result = BulkOperation.State, Outcome.Result


def test_all_keys_of_an_agent_are_disabled_with_one_wait_a_chunk(
    agent: Agent, small_chunks: None, propagation_waits: list[float]
) -> None:
    other = make_key(make_agent(agent.tenant)).secret
    row = start(Kind.DISABLE_KEYS, agent_id=agent.pk)
    assert (row.state, row.total) == (State.WAITING, 5)

    row = work_off(row)

    assert (row.state, row.done, row.refused) == (State.DONE, 5, 0)
    assert ApiKey.unscoped.filter(agent=agent, status=KeyStatus.DISABLED).count() == 5
    assert set(results(row).values()) == {Result.DONE}
    assert len(propagation_waits) == 3, "for two, two and one key"
    assert code_of(other) == "VALID"


def test_operation_is_done_when_no_worker_answers_from_before_it(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    states = list[str]()
    monkeypatch.setattr(epoch, "PROPAGATION_SECONDS", 60.0)
    monkeypatch.setattr("core.epoch.time.sleep", lambda _seconds: states.append(BulkOperation.objects.get().state))

    row = work_off(start(Kind.DISABLE_KEYS, agent_id=agent.pk))

    assert (states, row.state) == ([State.RUNNING], State.DONE)


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
