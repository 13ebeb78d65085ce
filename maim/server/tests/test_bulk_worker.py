"""The process of bulk operations goes on after a fault in one of them."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError

from maim.server.background import BackgroundProcess
from maim.server.bulk_worker import BulkWorker
from operations.worker import Worker

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]


def fail_with(error: Exception) -> Any:
    def fail(_worker: Worker) -> bool:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (KeyError("a fault in the code"), "bulk operations pause after a fault"),
        (OperationalError("gone away"), "bulk operations wait for the database: OperationalError: gone away"),
    ],
)
def test_fault_is_logged_and_followed_by_a_pause(
    monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    monkeypatch.setattr(Worker, "work", fail_with(error))

    assert BulkWorker().work() == sentence


def test_process_ends_although_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BackgroundProcess, "run", lambda _process: None)
    monkeypatch.setattr(Worker, "release", fail_with(OperationalError("gone away")))

    BulkWorker().run()
