"""Queries that the ORM writes once (core.prepared)."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from core.models import AuditEntry
from core.prepared import prepared_sql

pytestmark = pytest.mark.django_db


def test_sql_is_written_once_and_runs_with_other_values() -> None:
    written: list[int] = []

    @prepared_sql
    def select(number: int) -> QuerySet[AuditEntry, Any]:
        written.append(number)
        return (
            AuditEntry.objects.filter(action="").filter(object_id__in=map(str, range(number))).values_list("object_id")
        )

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
