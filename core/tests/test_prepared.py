"""Queries that the ORM writes once (core.prepared)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core.models import AuditEntry
from core.prepared import prepared_page, prepared_query, prepared_sql
from core.tests.models import Part, Thing

pytestmark = pytest.mark.django_db


class TestSql:
    def test_sql_is_written_once_and_runs_with_other_values(self) -> None:
        written: list[int] = []

        @prepared_sql
        def select(number: int) -> QuerySet[AuditEntry, Any]:
            written.append(number)
            entries = AuditEntry.objects.filter(action="").filter(object_id__in=map(str, range(number)))
            return entries.values_list("object_id")

        def found(*object_ids: str) -> set[str]:
            with connection.cursor() as cursor:
                cursor.execute(select(len(object_ids)), ["agent.create", *object_ids])
                return {row[0] for row in cursor.fetchall()}

        for object_id in ("one", "two", "three"):
            AuditEntry.objects.create(at=timezone.now(), action="agent.create", object_id=object_id)

        assert found("one", "three") == {"one", "three"}
        assert found("two", "four") == {"two"}
        assert found("three") == {"three"}
        assert written == [2, 1]


@pytest.mark.usefixtures("things")
class TestQuery:
    def test_query_is_built_once_and_runs_with_other_values(self) -> None:
        built: list[str] = []

        @prepared_query
        def select(name: str, thing_id: str) -> QuerySet[Thing]:
            built.append(name)
            return Thing.objects.filter(name=name).exclude(pk=thing_id)

        for number in range(3):
            Thing.objects.create(id=str(number), name=f"bot {number}")

        assert [row.id for row in select("bot 1", "0")] == ["1"]
        assert [row.id for row in select("bot 2", "0")] == ["2"]
        assert select("bot 2", "2") == []
        assert len(built) == 1

    def test_rows_are_the_models_of_the_queryset(self) -> None:
        made = Thing.objects.create(id="1", name="bot", number=7, document={"a": [1, None]}, made_at=timezone.now())
        part = Part.objects.create(thing=made, name="arm")

        @prepared_query
        def select(name: str) -> QuerySet[Part]:
            return Part.objects.select_related("thing").filter(name=name)

        [found] = select("arm")

        with CaptureQueriesContext(connection) as captured:
            assert (found, found.thing) == (part, made)
            assert all(getattr(found.thing, name.attname) == getattr(made, name.attname) for name in Thing._meta.fields)
            assert not found.thing._state.adding
        assert not captured.captured_queries

    def test_row_without_a_related_one_has_none(self) -> None:
        Part.objects.create(name="arm")

        @prepared_query
        def select(name: str) -> QuerySet[Part]:
            return Part.objects.select_related("thing").filter(name=name)

        assert [part.thing for part in select("arm")] == [None]

    def test_constants_of_the_query_stay(self) -> None:
        now = timezone.now()
        for number in range(3):
            Thing.objects.create(
                id=str(number), name=f"bot {number}", number=number, made_at=now + timedelta(days=number)
            )

        @prepared_query
        def select(moment: Any, name: str) -> QuerySet[Thing]:
            is_last = ~Exists(Thing.objects.filter(number__gt=OuterRef("number")))
            return Thing.objects.filter(Q(made_at__lt=moment) | is_last, number__gt=0).exclude(name=name).order_by("id")

        assert [row.id for row in select(now + timedelta(days=2), "x")] == ["1", "2"]
        assert [row.id for row in select(now, "x")] == ["2"]
        assert [row.id for row in select(now + timedelta(days=2), "bot 2")] == ["1"]

    def test_text_with_a_blank_behind_is_another(self) -> None:
        """MariaDB ignores the blank, unless the ORM writes the query (core.fields)."""
        Thing.objects.create(id="1", name="bot")

        @prepared_query
        def select(name: str) -> QuerySet[Thing]:
            return Thing.objects.filter(name=name)

        assert len(select("bot")) == 1
        assert select("bot ") == []

    def test_none_finds_null(self) -> None:
        Part.objects.create(name="arm")

        @prepared_query
        def select(thing_id: str | None) -> QuerySet[Part]:
            return Part.objects.filter(thing=thing_id)

        assert select("1") == []
        assert len(select(None)) == 1

    def test_query_is_built_once_for_none_and_few_times_for_tuples(self) -> None:
        built: list[Any] = []

        @prepared_query
        def select(names: tuple[str, ...], thing_id: str | None) -> QuerySet[Thing]:
            built.append((len(names), thing_id is None))
            rows = Thing.objects.filter(name__in=names)
            return rows if thing_id is None else rows.exclude(pk=thing_id)

        for number in range(5):
            Thing.objects.create(id=str(number), name=f"bot {number}")

        assert {row.id for row in select(("bot 0", "bot 1", "bot 2"), None)} == {"0", "1", "2"}
        assert {row.id for row in select(("bot 1", "bot 2", "bot 3", "bot 4"), None)} == {"1", "2", "3", "4"}
        assert {row.id for row in select(("bot 0", "bot 1", "bot 2"), "1")} == {"0", "2"}
        assert built == [(4, True), (4, False)]
        assert select((), None) == []
        assert select(("bot 1 ",), None) == []

    def test_page_is_a_slice_of_the_rows(self) -> None:
        @prepared_page
        def select(name: str) -> QuerySet[Thing]:
            return Thing.objects.exclude(name=name).order_by("id")

        for number in range(5):
            Thing.objects.create(id=str(number), name=f"bot {number}")

        assert [row.id for row in select(slice(0, 2), "bot 0")] == ["1", "2"]
        assert [row.id for row in select(slice(2, 9), "bot 1")] == ["3", "4"]
        assert [row.id for row in select(slice(1, 3), "bot 1 ")] == ["1", "2"]

    def test_value_that_is_used_twice_is_refused(self) -> None:
        @prepared_query
        def select(text: str) -> QuerySet[Thing]:
            return Thing.objects.filter(Q(name=text) | Q(pk=text))

        with pytest.raises(TypeError, match="uses each of its values once"):
            select("bot")

    def test_rows_are_locked_in_a_transaction_only(self, committed_things: None) -> None:
        Thing.objects.create(id="1", name="bot")

        @prepared_query
        def lock(thing_id: str) -> QuerySet[Thing]:
            return Thing.objects.select_for_update().filter(pk=thing_id)

        with transaction.atomic():
            assert len(lock("1")) == 1
        with pytest.raises(TransactionManagementError):
            lock("1")
