from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection
from pytest_django import DjangoDbBlocker

from core import epoch
from core.tests.changes import Waits
from core.tests.models import Part, Thing


@pytest.fixture(scope="package")
def _table(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The tables of Things and Parts, made outside any transaction, because MariaDB commits one to make a table."""
    with django_db_blocker.unblock(), connection.schema_editor() as schema:
        schema.create_model(Thing)
        schema.create_model(Part)
    yield
    with django_db_blocker.unblock(), connection.schema_editor() as schema:
        schema.delete_model(Part)
        schema.delete_model(Thing)


@pytest.fixture
def things(_table: None, db: None) -> None:
    """An empty table of Things."""


@pytest.fixture
def committed_things(_table: None, transactional_db: None) -> Iterator[None]:
    """An empty table of Things, and real transactions."""
    yield
    Part.objects.all().delete()
    Thing.objects.all().delete()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    """The waits of all changes, recorded without waiting."""
    waits = Waits()
    monkeypatch.setattr(epoch, "time", waits)
    monkeypatch.setattr(epoch, "PROPAGATION_SECONDS", 0.26)
    return waits
