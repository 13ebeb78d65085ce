"""`manage.py demo`: when it fills a database, and when it does not (docs/operations.md)."""

from __future__ import annotations

from io import StringIO
from random import Random

import pytest

from accounts.models import User
from apikeys.models import ApiKey, DailyUse
from core.commands.exit_codes import ExitCode
from core.models import AuditEntry, Epoch, Lock
from demo import filling
from demo.names import Names
from tenants.models import Tenant
from tests.support.commands import Terminal, run
from tests.support.people import Person


def test_same_seed_makes_the_same_names() -> None:
    def names(seed: int) -> list[str]:
        names = Names(Random(seed))
        return [*(names.username() for _ in range(50)), *(names.tenant("x") for _ in range(50))]

    assert names(1) == names(1) != names(2)
    assert len(set(names(1))) == 100


def test_database_of_somebody_is_refused_in_one_sentence(alice: Person) -> None:
    outcome = run("demo", "--yes")

    assert (outcome.status, outcome.out) == (ExitCode.REFUSED, "")
    assert outcome.err == "This database is not empty, and made-up data does not go with real one: use another database"


def test_nothing_is_cleaned_but_what_an_interrupted_run_has_left(alice: Person) -> None:
    outcome = run("demo", "--clean", "--yes")

    assert (outcome.status, User.objects.count()) == (ExitCode.REFUSED, 1)


@pytest.mark.parametrize("stdin", [StringIO(), Terminal("n\n")])
def test_without_a_yes_nothing_is_written(db: None, stdin: StringIO) -> None:
    outcome = run("demo", stdin=stdin)

    assert (outcome.status, User.objects.count(), Lock.objects.count()) == (ExitCode.REFUSED, 0, 0)


def test_interrupted_run_is_cleaned_up(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    Epoch.objects.update_or_create(pk=Epoch.ONLY, defaults={"value": 7})
    monkeypatch.setattr(filling, "recount", interrupt)

    interrupted = run("demo", "--keys", "100", "--yes")
    again = run("demo", "--keys", "100", "--yes")
    left = ApiKey.unscoped.count()
    cleaned = run("demo", "--clean", "--yes")

    assert (interrupted.status, "demo --clean" in interrupted.err) == (ExitCode.REFUSED, True)
    assert (again.status, "interrupted run" in again.err, left) == (ExitCode.REFUSED, True, 100)
    assert cleaned.status == 0
    for model in (User, Tenant, ApiKey, AuditEntry, DailyUse, Lock):
        assert not model._base_manager.exists(), model
    assert Epoch.objects.get().value == 8, "workers go on from where they were, and forget all keys"
