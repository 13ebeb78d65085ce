"""Many rows at once: those that are stored and change, and those that may be stored already."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext

from core.db import RowUpdate, bulk_overwrite, upsert_all
from core.tests.models import Thing

pytestmark = pytest.mark.usefixtures("things")
UNIQUE = [["name"]]


def rows() -> list[tuple[str, str, int]]:
    return list(Thing.objects.order_by("id").values_list("id", "name", "number"))


def wanted(**names: str) -> list[RowUpdate[Thing]]:
    """The stored things of these ids, and what they are to be called."""
    return [RowUpdate(Thing.objects.get(pk=row_id), Thing(id=row_id, name=name)) for row_id, name in names.items()]


class TestOverwrite:
    def test_each_row_gets_the_wanted_values_of_the_fields_named_and_no_others(self) -> None:
        Thing.objects.create(id="1", name="bot", number=1, document={"a": 1})
        Thing.objects.create(id="2", name="cat", number=2)
        changed = [
            RowUpdate(Thing.objects.get(pk="1"), Thing(id="1", name="ignored", number=10, document=None)),
            RowUpdate(Thing.objects.get(pk="2"), Thing(id="2", name="ignored", number=20, document={"b": 2})),
        ]

        bulk_overwrite(changed, ["number", "document"])

        assert list(Thing.objects.order_by("id").values_list("name", "number", "document")) == [
            ("bot", 10, None),
            ("cat", 20, {"b": 2}),
        ]

    def test_the_stored_objects_in_hand_are_changed_too(self) -> None:
        Thing.objects.create(id="1", name="bot")
        (row,) = wanted(**{"1": "cat"})

        bulk_overwrite([row], ["name"])

        assert row.existing.name == "cat"

    def test_the_row_that_is_named_is_the_stored_one_whatever_the_wanted_one_is_called(self) -> None:
        Thing.objects.create(id="1", name="bot")

        bulk_overwrite([RowUpdate(Thing.objects.get(), Thing(id="other", name="cat"))], ["name"])

        assert rows() == [("1", "cat", 0)]

    @pytest.mark.parametrize("names", [{"1": "b", "2": "a"}, {"1": "b", "2": "c", "3": "a"}, {"1": "b", "2": "d"}])
    def test_rows_may_take_what_another_of_them_gives_up(self, names: dict[str, str]) -> None:
        for row_id, name in (("1", "a"), ("2", "b"), ("3", "c")):
            Thing.objects.create(id=row_id, name=name)

        bulk_overwrite(wanted(**names), ["name"], unique=UNIQUE)

        assert {row_id: name for row_id, name, _number in rows()} == {"1": "a", "2": "b", "3": "c", **names}

    def test_more_rows_than_go_into_one_statement_may_all_move_on_by_one(self) -> None:
        Thing.objects.bulk_create(Thing(id=f"id {n}", name=f"name {n}") for n in range(450))

        bulk_overwrite(wanted(**{f"id {n}": f"name {(n + 1) % 450}" for n in range(450)}), ["name"], unique=UNIQUE)

        assert dict(Thing.objects.values_list("id", "name")) == {f"id {n}": f"name {(n + 1) % 450}" for n in range(450)}

    def test_what_somebody_else_keeps_cannot_be_taken(self) -> None:
        Thing.objects.create(id="1", name="bot")
        Thing.objects.create(id="2", name="cat")

        with pytest.raises(IntegrityError):
            bulk_overwrite(wanted(**{"1": "cat"}), ["name"], unique=UNIQUE)

    def test_there_are_few_statements_however_many_rows_there_are(self) -> None:
        Thing.objects.bulk_create(Thing(id=f"id {n}", name=f"name {n}") for n in range(100))
        changed = wanted(**{f"id {n}": f"name {(n + 1) % 100}" for n in range(100)})

        with CaptureQueriesContext(connection) as captured:
            bulk_overwrite(changed, ["name"], unique=UNIQUE)

        updates = [query["sql"] for query in captured.captured_queries if query["sql"].startswith("UPDATE")]
        assert len(updates) <= 3

    def test_of_no_rows_nothing_is_asked(self) -> None:
        with CaptureQueriesContext(connection) as captured:
            bulk_overwrite([], ["name"], unique=UNIQUE)

        assert len(captured) == 0


class TestUpsertAll:
    def test_it_inserts_what_is_new_and_updates_what_is_there(self) -> None:
        Thing.objects.create(id="1", name="bot", number=1)

        upsert_all(
            [Thing(id="1", name="other", number=10), Thing(id="2", name="cat", number=20)],
            unique_fields=["id"],
            update_fields=["number"],
        )

        assert rows() == [("1", "bot", 10), ("2", "cat", 20)]

    def test_twice_the_same_is_the_same(self) -> None:
        for _ in range(2):
            upsert_all(
                [Thing(id="1", name="bot", number=1), Thing(id="2", name="cat", number=2)],
                unique_fields=["id"],
                update_fields=["name", "number"],
            )

        assert rows() == [("1", "bot", 1), ("2", "cat", 2)]

    def test_it_is_one_statement(self) -> None:
        things = [Thing(id=str(n), name=str(n)) for n in range(50)]

        with CaptureQueriesContext(connection) as captured:
            upsert_all(things, unique_fields=["id"], update_fields=["number"])

        assert sum(query["sql"].startswith("INSERT") for query in captured.captured_queries) == 1

    def test_of_no_rows_nothing_is_asked(self) -> None:
        with CaptureQueriesContext(connection) as captured:
            upsert_all(list[Thing](), unique_fields=["id"], update_fields=["number"])

        assert len(captured) == 0
