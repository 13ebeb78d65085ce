"""The kept numbers of tenants, agents and keys: always those of the rows, whatever writes them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents import services as agents
from agents.bulk_import import import_agents
from agents.models import Agent, AgentStatus
from agents.services import transfer
from apikeys import keyformat
from apikeys import services as apikeys
from apikeys.bulk_import import ImportedKey, import_keys
from apikeys.models import ApiKey, KeyStatus
from apikeys.recount import find_drift, recount
from core import counts
from core.counts import Group, Kind
from core.db import RowUpdate
from core.errors import DomainError
from core.models import DeletedObject, Lock, RowCount
from core.undo import restoring
from tenants import services as tenants
from tenants.bulk_import import import_tenants
from tenants.models import Tenant, TenantType
from tests.support.interleaving import other_thread
from tests.support.people import OPERATOR, Person, make_agent, make_key

STEPS = 60


# ---- a random walk of everything that writes such rows


class Walk:
    """Random writes. Several may go on beside each other, so what one has chosen may be gone when it writes."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._names = (f"{seed}-{number}" for number in range(10**6))

    def step(self) -> None:
        act = self._random.choice(
            [self.create_tenant, self.delete_tenant, self.import_tenant, self.import_agents, self.import_keys]
            + [self.create_agent, self.change_agent, self.create_key, self.change_key, self.change_keys] * 3
            + [self.duplicate_agent, self.delete_agent, self.restore, self.delete_key, self.fail]
        )
        # An archived agent, or a row that another thread has deleted: what fails is undone with its numbers.
        with suppress(DomainError, DatabaseError):
            act()

    def _some(self, rows: Any) -> Any:
        found = list(rows)
        return self._random.choice(found) if found else None

    def _any(self, rows: Any, act: Callable[[Any], object]) -> None:
        if (row := self._some(rows)) is not None:
            act(row)

    def create_tenant(self) -> None:
        tenants.create_tenant(actor=OPERATOR, tenant_name=next(self._names), tenant_type=TenantType.ENTERPRISE)

    def import_tenant(self) -> None:
        new = Tenant(tenant_type=TenantType.ENTERPRISE)
        new.set_name(next(self._names))
        import_tenants(actor=OPERATOR, new=[new], changed=[])

    def delete_tenant(self) -> None:
        if Tenant.objects.count() > 2:
            self._any(Tenant.objects.all(), lambda row: tenants.delete_tenant(actor=OPERATOR, tenant=row))

    def create_agent(self) -> None:
        self._any(Tenant.objects.all(), lambda row: make_agent(row, next(self._names)))

    def duplicate_agent(self) -> None:
        self._any(Agent.unscoped.all(), lambda row: transfer.duplicate_agent(actor=OPERATOR, agent=row))

    def change_agent(self) -> None:
        changes: Any = {"status": self._random.choice(AgentStatus.values), "description": next(self._names)}
        self._any(Agent.unscoped.all(), lambda row: agents.update_agent(actor=OPERATOR, agent=row, changes=changes))

    def delete_agent(self) -> None:
        self._any(Agent.unscoped.all(), lambda row: agents.delete_agent(actor=OPERATOR, agent=row))

    def restore(self) -> None:
        self._any(DeletedObject.objects.all(), lambda row: restoring.restore(actor=OPERATOR, deleted=row))

    def import_agents(self) -> None:
        tenant, stored = self._some(Tenant.objects.all()), self._some(Agent.unscoped.all())
        if tenant is None or stored is None:
            return
        new = Agent(tenant=tenant)
        new.set_name(next(self._names))
        target = Agent.unscoped.get(pk=stored.pk) if Agent.unscoped.filter(pk=stored.pk).exists() else None
        if target is not None:
            target.status = self._random.choice(AgentStatus.values)
            import_agents(actor=OPERATOR, new=[new], changed=[RowUpdate(stored, target)])

    def create_key(self) -> None:
        self._any(Agent.unscoped.all(), lambda row: make_key(row, next(self._names)))

    def change_key(self) -> None:
        changes: Any = {"status": self._random.choice((KeyStatus.ACTIVE, KeyStatus.DISABLED))}
        self._any(ApiKey.unscoped.all(), lambda row: apikeys.update_key(actor=OPERATOR, key=row, changes=changes))

    def change_keys(self) -> None:
        keys = [row for row in ApiKey.unscoped.all() if self._random.random() < 0.5]
        status = self._random.choice((KeyStatus.ACTIVE, KeyStatus.DISABLED))
        apikeys.set_status_of_all(actor=OPERATOR, keys=keys, status=status)

    def delete_key(self) -> None:
        self._any(ApiKey.unscoped.all(), lambda row: apikeys.delete_key(actor=OPERATOR, key=row))

    def import_keys(self) -> None:
        agent = self._some(Agent.unscoped.all())
        if agent is None:
            return
        key = ApiKey(tenant_id=agent.tenant_id, agent=agent, status=self._random.choice(KeyStatus.values))
        key.set_name(next(self._names))
        new = ImportedKey(key, keyformat.generate(agent.tenant_id, agent.id))
        changed = []
        stored = self._some(ApiKey.unscoped.filter(tenant_id=agent.tenant_id))
        if stored is not None:
            target = ApiKey(id=stored.id, tenant_id=stored.tenant_id, agent=agent, status=KeyStatus.EXPIRED)
            target.set_name(stored.name)
            changed = [(stored, ImportedKey(target, keyformat.generate(agent.tenant_id, agent.id)))]
        import_keys(actor=OPERATOR, new=[new], changed=changed)

    def fail(self) -> None:
        """Write everything of a new agent, and undo it."""
        self._any(
            Agent.unscoped.all(),
            lambda row: transfer.check_import(actor=OPERATOR, tenant=row.tenant, name=next(self._names)),
        )


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(3))
def test_numbers_are_those_of_the_rows_after_any_writes(seed: int) -> None:
    walk = Walk(seed)

    for _step in range(STEPS):
        walk.step()

    assert find_drift() == Counter()
    assert all(row.number >= 0 for row in RowCount.objects.all())
    for tenant in Tenant.objects.all():
        keys = ApiKey.objects.in_tenants([tenant.id])
        assert counts.total(Kind.KEYS, [tenant.id]) == keys.count()
        assert counts.total(Kind.KEYS, [tenant.id], status="disabled") == keys.filter(status="disabled").count()
    assert counts.total(Kind.TENANTS, [""]) == Tenant.objects.count()


@pytest.mark.needs_mariadb
@pytest.mark.django_db(transaction=True)
def test_numbers_are_those_of_the_rows_after_parallel_writes() -> None:
    def write(seed: int) -> None:
        try:
            walk = Walk(seed)
            for _step in range(STEPS // 2):
                walk.step()
        finally:
            connection.close()

    Walk(100).create_tenant()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))

    assert find_drift() == Counter()


@pytest.mark.django_db
def test_walk_writes_every_kind_of_row() -> None:
    """Guard the walk itself: a step that always fails would prove nothing."""
    walk = Walk(1)
    for act in (walk.create_tenant, walk.create_tenant, walk.import_tenant, walk.create_agent, walk.import_agents,
                walk.duplicate_agent, walk.create_key, walk.import_keys, walk.change_keys):  # fmt: skip
        act()

    assert Tenant.objects.count() == 3
    assert Agent.unscoped.count() == 3
    assert ApiKey.unscoped.count() == 2


# ---- how they are written


@pytest.mark.django_db
def test_numbers_are_written_last(alice: Person) -> None:
    """A number is locked until the transaction ends, so it must not be written before the rest."""
    agent = make_agent(alice.tenant)

    with CaptureQueriesContext(connection) as captured:
        make_key(agent)

    statements = [entry["sql"] for entry in captured if not entry["sql"].startswith(("BEGIN", "COMMIT", "SAVEPOINT",
                                                                                   "RELEASE"))]  # fmt: skip
    assert "common_rowcount" in statements[-1]
    assert not any("common_rowcount" in statement for statement in statements[:-1])


@pytest.mark.needs_mariadb
@pytest.mark.django_db(transaction=True)
def test_keys_of_other_agents_are_issued_meanwhile(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a service has written a number and not committed, others of the tenant do not wait for it."""
    slots = {counts.slot_of(agent.id): agent for agent in (make_agent(alice.tenant) for _ in range(30))}
    first, second = list(slots.values())[:2]
    write = counts.write

    def write_and_linger(sums: Counter[Group]) -> None:
        monkeypatch.setattr(counts, "write", write)
        write(sums)
        with other_thread() as run:
            run(lambda: make_key(second))

    monkeypatch.setattr(counts, "write", write_and_linger)
    make_key(first)

    assert counts.total(Kind.KEYS, [alice.tenant.id]) == 2
    assert find_drift() == Counter()


# ---- beside the version before, which does not count


@pytest.mark.django_db
def test_sweep_corrects_what_the_version_before_has_written(alice: Person) -> None:
    agent = make_agent(alice.tenant)
    make_key(agent)
    rows = [ApiKey(tenant=alice.tenant, agent=agent, name=name, name_folded=name) for name in ("a", "b")]
    ApiKey.unscoped.bulk_create(rows)
    ApiKey.unscoped.filter(name="a").update(status=KeyStatus.DISABLED)
    Agent.unscoped.filter(pk=make_agent(alice.tenant).pk).delete()

    assert counts.total(Kind.KEYS, [alice.tenant.id]) == 1, "the version before has not counted them"
    assert recount() == 5

    assert find_drift() == Counter()
    assert counts.total(Kind.KEYS, [alice.tenant.id]) == 3
    assert counts.total(Kind.KEYS, [alice.tenant.id], agent_id=agent.id, status="disabled") == 1
    assert counts.total(Kind.AGENTS, [alice.tenant.id]) == 1
    assert recount() == 0


@pytest.mark.django_db
def test_two_processes_do_not_correct_the_same_numbers_twice(alice: Person) -> None:
    Agent.unscoped.bulk_create([Agent(tenant=alice.tenant, name="a", name_folded="a", updated_at=timezone.now())])

    other = Lock.objects.create(
        name="recount", holder="another machine", since=timezone.now(), renewed_at=timezone.now()
    )

    assert recount() == 0

    other.delete()
    assert recount() == 1
