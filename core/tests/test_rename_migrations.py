"""Migrations that rename models and fields in the code, and change nothing in the database."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from core.models import FeedEntry, IdempotentResponse

RENAMES = [("common", "0003_rename_models"), ("apikeys", "0004_rename_pepper_id")]
BEFORE = [("common", "0002_lock"), ("apikeys", "0003_revision")]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("options", [[], ["--backwards"]])
@pytest.mark.parametrize("migration", RENAMES, ids="{0[0]}".format)
def test_rename_runs_no_statement(
    migration: tuple[str, str], options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("sqlmigrate", *migration, *options)

    statements = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("--")]
    assert set(statements) <= {"BEGIN;", "COMMIT;"}


@pytest.mark.django_db(transaction=True)
def test_rows_are_the_same_after_migrating_back_and_forward() -> None:
    FeedEntry.objects.create(epoch=1, kind=FeedEntry.Kind.TRUNCATED, subject="7", at=timezone.now())
    IdempotentResponse.objects.create(digest="d", request="r", response="sealed", created_at=timezone.now())
    stored = rows(FeedEntry, IdempotentResponse)

    MigrationExecutor(connection).migrate(BEFORE)
    former = MigrationExecutor(connection).loader.project_state(BEFORE).apps
    assert former.get_model("common", "Change").objects.get().kind == "swept"
    assert former.get_model("common", "IdempotentAnswer").objects.get().answer == "sealed"
    MigrationExecutor(connection).migrate(MigrationExecutor(connection).loader.graph.leaf_nodes())

    assert rows(FeedEntry, IdempotentResponse) == stored


def rows(*models: Any) -> list[dict[str, Any]]:
    return [row for model in models for row in model.objects.order_by("pk").values()]
