"""Approvals when `serve` starts: it turns them on where it has the database to itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import call_command

from core import approvals
from maim.server import embedded_lock
from maim.server.management.commands import serve
from maim.server.supervisor import Supervisor

pytestmark = [pytest.mark.embedded, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`serve` up to its processes, and approvals that are off, as after an upgrade."""
    monkeypatch.setattr(embedded_lock, "_path", lambda: tmp_path / "lock")
    monkeypatch.setattr(serve, "require_free", lambda surface: None)
    monkeypatch.setattr(Supervisor, "run", lambda self, wait_seconds: None)
    approvals.use(False)


def test_server_of_an_embedded_database_turns_approvals_on() -> None:
    call_command("serve")

    assert approvals.are_used()


def test_server_that_may_have_others_beside_it_leaves_them_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_lock, "_is_needed", lambda: False)

    call_command("serve")

    assert not approvals.are_used()
