"""Writes whose SQL is written once, and which may be sent together (core.prepared_writes)."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import F
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.translation import gettext_lazy

from core.prepared_writes import insert_all, one_round_trip
from core.tests.models import Part, Thing

pytestmark = pytest.mark.usefixtures("committed_things")


def names() -> list[str]:
    return list(Thing.objects.order_by("name").values_list("name", flat=True))


class TestSave:
    def test_new_row_is_stored_with_all_its_fields(self) -> None:
        made = Thing(id="1", name="bot", number=7, document={"名": [1, None]}, made_at=timezone.now())
        made.save(force_insert=True)

        found = Thing.objects.get()
        assert all(getattr(found, field.attname) == getattr(made, field.attname) for field in Thing._meta.fields)

    def test_new_row_gets_its_automatic_id(self) -> None:
        first, second = Part.objects.create(name="arm"), Part.objects.create(name="leg")

        assert list(Part.objects.order_by("pk").values_list("pk", "name")) == [(first.pk, "arm"), (second.pk, "leg")]

    def test_update_changes_the_named_fields_only(self) -> None:
        row = Thing.objects.create(id="1", name="bot", number=1)
        Thing.objects.filter(pk="1").update(document={"a": 1})
        row.name, row.number = "other", 2

        row.save(update_fields=["number"])

        found = Thing.objects.get()
        assert (found.name, found.number, found.document) == ("bot", 2, {"a": 1})

    def test_update_may_set_null(self) -> None:
        row = Thing.objects.create(id="1", name="bot", document={"a": 1})
        row.document = None

        row.save(update_fields=["document"])

        assert Thing.objects.get().document is None

    def test_update_of_a_row_as_it_is_finds_it(self) -> None:
        row = Thing.objects.create(id="1", name="bot")

        row.save(update_fields=["name"])

    def test_update_of_a_deleted_row_raises(self) -> None:
        row = Thing.objects.create(id="1", name="bot")
        Thing.objects.all().delete()

        with pytest.raises(DatabaseError, match="did not affect any rows"):
            row.save(update_fields=["name"])

    def test_expression_is_left_to_the_orm(self) -> None:
        row = Thing.objects.create(id="1", name="bot", number=1)
        row.number = F("number") + 1

        row.save(update_fields=["number"])

        assert Thing.objects.get().number == 2


class TestInsertAll:
    @pytest.mark.parametrize("number", [0, 1, 500, 1001])
    def test_rows_are_stored_in_order(self, number: int) -> None:
        with transaction.atomic():
            insert_all([Part(name=f"part {each}") for each in range(number)])

        assert list(Part.objects.order_by("pk").values_list("name", flat=True)) == [f"part {n}" for n in range(number)]

    @pytest.mark.parametrize("document", ["text", None, {"a": [1]}, 7])
    @pytest.mark.parametrize("zone", [UTC, timezone.get_fixed_timezone(480)])
    def test_values_are_stored_as_their_fields_say(self, document: Any, zone: tzinfo) -> None:
        """Also a text in a column of JSON, and a time of another zone, which are not stored as they are."""
        made_at = timezone.now().astimezone(zone)

        with transaction.atomic():
            insert_all([Thing(id="1", name=gettext_lazy("name"), document=document, made_at=made_at)])

        found = Thing.objects.get()
        assert (found.name, found.document, found.made_at) == ("name", document, made_at)


class TestOneRoundTrip:
    def test_writes_are_done_in_order_at_the_end(self) -> None:
        with transaction.atomic():
            with one_round_trip():
                row = Thing(id="1", name="bot", document={"text": "100 %s; of"})
                row.save(force_insert=True)
                insert_all([Part(name="arm", thing=row), Part(name="leg", thing=row)])
                row.number = 5
                row.save(update_fields=["number"])
                assert names() == []
            assert names() == ["bot"]

        found = Thing.objects.get()
        assert (found.number, found.document, found.part_set.count()) == (5, {"text": "100 %s; of"}, 2)

    @pytest.mark.needs_mariadb
    def test_writes_are_sent_together(self) -> None:
        with transaction.atomic(), CaptureQueriesContext(connection) as captured, one_round_trip():
            row = Thing.objects.create(id="1", name="bot")
            insert_all([Part(name="arm", thing=row)])

        assert len(captured) == 1

    @pytest.mark.parametrize("second", ["bot", "other"])
    def test_write_that_fails_ends_the_others(self, second: str) -> None:
        """The first that fails may be a later one."""
        Thing.objects.create(id="1", name="bot")

        with pytest.raises(IntegrityError), transaction.atomic(), one_round_trip():  # noqa: PT012  # raises at its end
            for number, name in enumerate((second, "bot", "last"), start=2):
                Thing(id=str(number), name=name).save(force_insert=True)

        assert names() == ["bot"]

    def test_block_that_raises_writes_nothing(self) -> None:
        with transaction.atomic():
            with pytest.raises(ValueError, match="mine"), one_round_trip():  # noqa: PT012  # what comes before counts
                Thing.objects.create(id="1", name="bot")
                raise ValueError("mine")
            Thing.objects.create(id="2", name="after")

        assert names() == ["after"]

    def test_inner_block_is_sent_with_the_outer_one(self) -> None:
        with transaction.atomic(), one_round_trip():
            with one_round_trip():
                Thing.objects.create(id="1", name="bot")
            assert names() == []

        assert names() == ["bot"]

    def test_outside_a_transaction_it_raises(self) -> None:
        with pytest.raises(TransactionManagementError), one_round_trip():
            raise AssertionError("unreachable")
