"""Migrations that recompute folded names, including names that become equal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.models import Model
from django.test.utils import CaptureQueriesContext

from agents.models import Agent, Template
from apikeys.models import ApiKey
from core import refolding
from core.refolding import Columns, refold
from core.text import fold, fold_name
from tenants.models import Tenant
from tests.support.people import Person, make_agent, register

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
# By id: the scope of its uniqueness, the name, and the day of its creation.
NAMES = {
    "1": ("scope_a", "客服Ａ", 5),
    "2": ("scope_a", "客服a", 3),  # the oldest of three
    "3": ("scope_a", "客服𝐀", 4),
    "4": ("scope_b", "客服Ａ", 1),
    "5": ("scope_a", "（测试）", 1),
    "6": ("scope_a", "(测试)", 2),  # the folded name of an older one
    "7": ("scope_a", "\u202eeman", 1),
    "8": ("scope_a", "Eman", 1),  # equally old, so that the id decides
    "9": ("scope_a", "Straße", 1),
}
DIFFERENT = {"4": "客服a", "5": "(测试)", "7": "eman", "9": "strasse"}
FOLDED = {**DIFFERENT, "2": "客服a", "1": "客服a ID 1", "3": "客服a ID 3", "6": "(测试) ID 6", "8": "eman ID 8"}
KINDS: dict[str, list[type[Model]]] = {"tenants": [Tenant], "agents": [Template, Agent], "apikeys": [ApiKey]}


def fill(kind: type[Model], as_of: tuple[str, str], *, scopes: dict[str, str], agent_id: str) -> None:
    """Store rows as of the time when names were folded by NFC, with the columns of that time."""
    former = MigrationLoader(connection).project_state([as_of]).apps.get_model(as_of[0], kind.__name__)
    names = "tenant_name" if kind is Tenant else "name"
    for row_id, (scope, name, day) in NAMES.items():
        fields = {"id": row_id, "created_at": BEGINNING + timedelta(days=day), names: name, "name_folded": fold(name)}
        if kind is Tenant:
            fields["owner_scope"] = scope
        else:
            fields["tenant_id"] = scopes[scope]
        if kind is Template:
            fields["tenant_scope"] = scopes[scope]
        if kind is ApiKey:
            fields["agent_id"] = agent_id
        former._base_manager.create(**fields)


def folded(app: str) -> list[dict[str, str]]:
    """Return the folded names of each kind of an app, by the ids of NAMES."""
    return [dict(kind._base_manager.filter(pk__in=NAMES).values_list("pk", "name_folded")) for kind in KINDS[app]]


def migrations(app: str) -> tuple[str, str]:
    """Return the names of the migration that folds by NFKC and of the one before it."""
    graph = MigrationLoader(connection).graph
    node = next(node for node in graph.nodes if node[0] == app and node[1].endswith("_fold_names_by_nfkc"))
    before = next(parent.key for parent in graph.node_map[node].parents if parent.key[0] == app)
    return node[1], before[1]


@pytest.fixture
def _migrated_again() -> Iterator[None]:
    yield
    call_command("migrate", verbosity=0)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_migrated_again")
@pytest.mark.parametrize("app", KINDS)
def test_migration_folds_by_nfkc_and_back(app: str, alice: Person) -> None:
    name, before = migrations(app)
    scopes = {"scope_a": alice.tenant.id, "scope_b": register("bob").tenant.id}
    agent_id = make_agent(alice.tenant, "the agent").id
    call_command("migrate", app, before, verbosity=0)
    for kind in KINDS[app]:
        fill(kind, (app, before), scopes=scopes, agent_id=agent_id)
    by_nfc = {row_id: fold(name) for row_id, (_scope, name, _day) in NAMES.items()}
    number = len(KINDS[app])

    call_command("migrate", app, name, verbosity=0)
    assert folded(app) == [FOLDED] * number

    call_command("migrate", app, before, verbosity=0)
    assert folded(app) == [by_nfc] * number

    call_command("migrate", app, name, verbosity=0)
    assert folded(app) == [FOLDED] * number


AGENTS = Columns(name="name", scope="tenant_id")


@pytest.mark.django_db
@pytest.mark.parametrize("batch", [1, 2, 100])
def test_rows_may_swap_folded_names(batch: int, alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refolding, "_BATCH", batch)
    for number, order in enumerate(permutations("abc")):
        Agent.unscoped.all().delete()
        for row_id, stored in zip("abc", order, strict=True):
            Agent(id=row_id, tenant=alice.tenant, name=row_id, name_folded=stored).save()

        refold(Agent, AGENTS, fold_name)

        assert dict(Agent.unscoped.values_list("pk", "name_folded")) == {row: row for row in "abc"}, (number, order)


@pytest.mark.django_db
@pytest.mark.parametrize("batch", [1, 2, 100])
def test_oldest_row_keeps_the_name_in_any_order(batch: int, alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refolding, "_BATCH", batch)
    names = ("ｂot", "bｏt", "bot")
    for days in permutations(range(3)):
        Agent.unscoped.all().delete()
        for row_id, name, day in zip("123", names, days, strict=True):
            moment = BEGINNING + timedelta(days=day)
            Agent(id=row_id, tenant=alice.tenant, name=name, name_folded=fold(name), created_at=moment).save()

        refold(Agent, AGENTS, fold_name)
        refold(Agent, AGENTS, fold_name)  # as after an interruption

        oldest = "123"[days.index(0)]
        expected = {row: "bot" if row == oldest else f"bot ID {row}" for row in "123"}
        assert dict(Agent.unscoped.values_list("pk", "name_folded")) == expected


@pytest.mark.django_db
def test_long_name_leaves_room_for_the_id(alice: Person) -> None:
    longest_id = "x" * 50
    for row_id, name in (("1", "x" * 100 + "\ufdfa"), (longest_id, "X" * 100 + "\ufdfa")):
        Agent(id=row_id, tenant=alice.tenant, name="old", name_folded=row_id).save()
        Agent.unscoped.filter(pk=row_id).update(name=name[:100], name_folded=row_id)

    refold(Agent, AGENTS, lambda _name: "long " * 60)

    stored = Agent.unscoped.get(pk=longest_id).name_folded
    assert len(stored) <= 300
    assert stored.endswith(f" ID {longest_id}")


@pytest.mark.embedded
@pytest.mark.django_db
def test_unchanged_rows_take_one_query_a_batch(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refolding, "_BATCH", 100)
    Agent.unscoped.bulk_create(
        Agent(id=f"agent_{number}", tenant=alice.tenant, name=f"Bot {number}", name_folded=f"bot {number}")
        for number in range(250)
    )

    with CaptureQueriesContext(connection) as captured:
        refold(Agent, AGENTS, fold_name)

    statements = [query["sql"].split()[0] for query in captured if "SAVEPOINT" not in query["sql"]]
    assert statements == ["SELECT"] * 4
