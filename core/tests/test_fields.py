"""Model fields that behave alike on SQLite and MariaDB (docs/decisions/0005-text-and-folded-columns.md)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from core.tests.models import Thing

pytestmark = pytest.mark.usefixtures("things")


def stored_text() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT document FROM test_thing")
        text: str = cursor.fetchone()[0]
    return text


class TestExactCharField:
    DIFFERENT = ("bot", "Bot", " bot", "bót", "bo\u0301t", "bot 🤖", "bot 😀", "ｂot", "ß", "ss", "")

    def test_unique_column_accepts_texts_that_differ_in_a_byte(self) -> None:
        for number, name in enumerate(self.DIFFERENT):
            Thing.objects.create(id=str(number), name=name)

        for name in self.DIFFERENT:
            with pytest.raises(IntegrityError), transaction.atomic():
                Thing.objects.create(id="again", name=name)

    def test_query_compares_every_byte(self) -> None:
        for number, name in enumerate(self.DIFFERENT):
            Thing.objects.create(id=str(number), name=name)

        for name in self.DIFFERENT:
            assert [row.name for row in Thing.objects.filter(name=name)] == [name]

    def test_rows_are_ordered_by_code_point(self) -> None:
        for name in ("b", "a", "B", "ä", "小", "🤖", "Z"):
            Thing.objects.create(id=name, name=name)

        assert [row.name for row in Thing.objects.order_by("name")] == ["B", "Z", "a", "b", "ä", "小", "🤖"]

    def test_ids_differ_by_case(self) -> None:
        Thing.objects.create(id="agent_ab", name="1")
        Thing.objects.create(id="agent_AB", name="2")

        assert Thing.objects.get(pk="agent_AB").name == "2"


class TestJSONTextField:
    @pytest.mark.parametrize(
        "document",
        [
            None,
            {},
            [],
            "",
            "text",
            0,
            False,
            2**63 - 1,
            0.1,
            {"z": 1, "a": {"ä": "小明 🤖", "list": [1, 2.5, None, True, {"x": []}]}},
            {"quotes": "'\"\\`", "controls": "\n\t\x01", "percent": "%s %(x)s"},
        ],
    )
    def test_document_keeps_its_order_of_keys(self, document: Any) -> None:
        Thing.objects.create(id="1", name="1", document=document)

        assert json.dumps(Thing.objects.get().document) == json.dumps(document)

    def test_document_may_be_nested_deeper_than_mariadb_json(self) -> None:
        deep: Any = 1
        for _ in range(100):
            deep = {"a": deep}

        Thing.objects.create(id="1", name="1", document=deep)

        assert Thing.objects.get().document == deep

    def test_document_is_stored_as_compact_text(self) -> None:
        Thing.objects.create(id="1", name="1", document={"小": ["明", 1]})

        assert stored_text() == '{"小":["明",1]}'

    def test_none_is_stored_as_null(self) -> None:
        Thing.objects.create(id="1", name="1", document=None)

        assert stored_text() is None
        assert Thing.objects.filter(document__isnull=True).exists()
