"""Audit entries of one change of many objects."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from time_machine import travel

from core import audit
from core.actor import Actor, ActorKind
from core.audit import AuditChange
from core.errors import Conflict
from core.models import AuditEntry

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
ALICE = Actor(kind=ActorKind.USER, id="user_alice", label="alice", request_id="request-1", address="203.0.113.7")


def record(*changes: AuditChange) -> list[AuditEntry]:
    """Record these changes, and return their entries in order."""
    with transaction.atomic():
        audit.record_all(actor=ALICE, action="thing.import", changes=changes)
    return list(AuditEntry.objects.order_by("pk"))


@pytest.mark.django_db
class TestEntries:
    def test_each_object_has_an_entry_in_order(self) -> None:
        found = record(
            AuditChange("thing_1", "tenant_1", after={"a": 1}), AuditChange("thing_2", None, before={"a": 2})
        )

        assert [(row.object_id, row.tenant_id, row.before, row.after) for row in found] == [
            ("thing_1", "tenant_1", None, {"a": 1}),
            ("thing_2", None, {"a": 2}, None),
        ]

    def test_entry_has_actor_action_time_and_address(self) -> None:
        with travel(NOON, tick=False):
            found = record(AuditChange("thing_1", None), AuditChange("thing_2", None))

        for row in found:
            assert (row.action, row.object_type, row.at) == ("thing.import", "thing", NOON)
            assert (row.actor_kind, row.actor_id, row.actor_label) == ("user", "user_alice", "alice")
            assert (row.request_id, row.address) == ("request-1", "203.0.113.7")

    @pytest.mark.parametrize(
        ("before", "after", "kept"),
        [
            ({"a": 1, "b": 2}, {"a": 1, "b": 3}, ({"b": 2}, {"b": 3})),
            ({"a": 1}, {"a": True}, ({"a": 1}, {"a": True})),
            ({"a": {"x": 1}, "b": 1}, {"a": {"x": 2}, "b": 1}, ({"a": {"x": 1}}, {"a": {"x": 2}})),
            ({"a": 1}, {"a": 1}, ({}, {})),
            ({}, {"a": 1}, ({"a": None}, {"a": 1})),
        ],
    )
    def test_entry_has_only_the_fields_that_differ(self, before: Any, after: Any, kept: Any) -> None:
        (row,) = record(AuditChange("thing_1", None, before, after))

        assert (row.before, row.after) == kept

    def test_what_identifies_the_object_is_kept_too(self) -> None:
        before, after = {"user": "u", "role": 1, "note": ""}, {"user": "u", "role": 2, "note": ""}

        (row,) = record(AuditChange("thing_1", None, before, after, identity=("user",)))

        assert (row.before, row.after) == ({"user": "u", "role": 1}, {"user": "u", "role": 2})

    def test_thousand_entries_take_few_statements(self) -> None:
        with CaptureQueriesContext(connection) as captured:
            found = record(*(AuditChange(f"thing_{number}", None) for number in range(1000)))

        assert len(found) == 1000
        assert sum(query["sql"].startswith("INSERT") for query in captured.captured_queries) <= 20

    def test_no_changes_write_no_entries(self) -> None:
        assert record() == []


@pytest.mark.django_db(transaction=True)
class TestTransactions:
    @pytest.mark.parametrize("changes", [[], [AuditChange("thing_1", None)]])
    def test_outside_of_a_transaction_it_raises(self, changes: list[AuditChange]) -> None:
        with pytest.raises(RuntimeError, match=r"thing\.import outside a transaction"):
            audit.record_all(actor=ALICE, action="thing.import", changes=changes)

        assert not AuditEntry.objects.exists()

    def test_entries_are_rolled_back_with_the_change(self) -> None:
        def fails() -> None:
            with transaction.atomic():
                audit.record_all(actor=ALICE, action="thing.import", changes=[AuditChange("thing_1", None)])
                raise Conflict

        with pytest.raises(Conflict):
            fails()

        assert not AuditEntry.objects.exists()
