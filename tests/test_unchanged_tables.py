"""The comparison of all tables, which reads them only where something is written."""

from __future__ import annotations

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from tests.support.people import Person
from tests.support.tables import unchanged_tables

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]


def deactivate(person: Person) -> None:
    User.objects.filter(pk=person.user.pk).update(is_active=False)


def test_change_is_found(alice: Person) -> None:
    with pytest.raises(AssertionError, match=r"accounts\.User"), unchanged_tables():
        deactivate(alice)


def test_change_of_a_model_that_may_change_is_allowed(alice: Person) -> None:
    with unchanged_tables(may_change={"accounts.User"}):
        deactivate(alice)


def test_change_that_is_taken_back_is_none(alice: Person) -> None:
    with unchanged_tables(), transaction.atomic():
        deactivate(alice)
        transaction.set_rollback(True)


def test_without_a_write_no_table_is_read(alice: Person) -> None:
    with CaptureQueriesContext(connection) as captured, unchanged_tables():
        assert User.objects.filter(pk=alice.user.pk).exists()

    assert len(captured) == 1
