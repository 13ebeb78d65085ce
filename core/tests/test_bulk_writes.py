"""Bulk writes: overwriting existing rows, and upserts."""

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


def updates(**names: str) -> list[RowUpdate[Thing]]:
    """Return updates of the stored things with these ids to new names."""
    return [RowUpdate(Thing.objects.get(pk=row_id), Thing(id=row_id, name=name)) for row_id, name in names.items()]


class TestBulkOverwrite:
    def test_row_gets_the_named_fields_of_its_target(self) -> None:
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

    def test_objects_in_memory_are_changed_too(self) -> None:
        Thing.objects.create(id="1", name="bot")
        (row,) = updates(**{"1": "cat"})

        bulk_overwrite([row], ["name"])

        assert row.existing.name == "cat"

    def test_primary_key_of_the_target_is_ignored(self) -> None:
        Thing.objects.create(id="1", name="bot")

        bulk_overwrite([RowUpdate(Thing.objects.get(), Thing(id="other", name="cat"))], ["name"])

        assert rows() == [("1", "cat", 0)]

    @pytest.mark.parametrize("names", [{"1": "b", "2": "a"}, {"1": "b", "2": "c", "3": "a"}, {"1": "b", "2": "d"}])
    def test_rows_may_swap_unique_values(self, names: dict[str, str]) -> None:
        for row_id, name in (("1", "a"), ("2", "b"), ("3", "c")):
            Thing.objects.create(id=row_id, name=name)

        bulk_overwrite(updates(**names), ["name"], unique=UNIQUE)

        assert {row_id: name for row_id, name, _number in rows()} == {"1": "a", "2": "b", "3": "c", **names}

    def test_rows_of_several_batches_may_swap_unique_values(self) -> None:
        Thing.objects.bulk_create(Thing(id=f"id {n}", name=f"name {n}") for n in range(450))

        bulk_overwrite(updates(**{f"id {n}": f"name {(n + 1) % 450}" for n in range(450)}), ["name"], unique=UNIQUE)

        assert dict(Thing.objects.values_list("id", "name")) == {f"id {n}": f"name {(n + 1) % 450}" for n in range(450)}

    def test_unique_value_of_another_row_is_refused(self) -> None:
        Thing.objects.create(id="1", name="bot")
        Thing.objects.create(id="2", name="cat")

        with pytest.raises(IntegrityError):
            bulk_overwrite(updates(**{"1": "cat"}), ["name"], unique=UNIQUE)

    def test_many_rows_take_few_statements(self) -> None:
        Thing.objects.bulk_create(Thing(id=f"id {n}", name=f"name {n}") for n in range(100))
        changed = updates(**{f"id {n}": f"name {(n + 1) % 100}" for n in range(100)})

        with CaptureQueriesContext(connection) as captured:
            bulk_overwrite(changed, ["name"], unique=UNIQUE)

        statements = [query["sql"] for query in captured.captured_queries if query["sql"].startswith("UPDATE")]
        assert len(statements) <= 3

    def test_no_rows_take_no_statement(self) -> None:
        with CaptureQueriesContext(connection) as captured:
            bulk_overwrite([], ["name"], unique=UNIQUE)

        assert len(captured) == 0


class TestUpsertAll:
    def test_new_rows_are_inserted_and_existing_ones_updated(self) -> None:
        Thing.objects.create(id="1", name="bot", number=1)

        upsert_all(
            [Thing(id="1", name="other", number=10), Thing(id="2", name="cat", number=20)],
            unique_fields=["id"],
            update_fields=["number"],
        )

        assert rows() == [("1", "bot", 10), ("2", "cat", 20)]

    def test_same_rows_may_be_written_twice(self) -> None:
        for _ in range(2):
            upsert_all(
                [Thing(id="1", name="bot", number=1), Thing(id="2", name="cat", number=2)],
                unique_fields=["id"],
                update_fields=["name", "number"],
            )

        assert rows() == [("1", "bot", 1), ("2", "cat", 2)]

    def test_rows_take_one_statement(self) -> None:
        things = [Thing(id=str(n), name=str(n)) for n in range(50)]

        with CaptureQueriesContext(connection) as captured:
            upsert_all(things, unique_fields=["id"], update_fields=["number"])

        assert sum(query["sql"].startswith("INSERT") for query in captured.captured_queries) == 1

    def test_no_rows_take_no_statement(self) -> None:
        with CaptureQueriesContext(connection) as captured:
            upsert_all(list[Thing](), unique_fields=["id"], update_fields=["number"])

        assert len(captured) == 0
