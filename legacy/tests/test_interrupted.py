"""Imports that are killed, or run at the same time."""

from __future__ import annotations

from pathlib import Path

import pytest

from legacy.tests.interrupted import kill_at_random, run_at_once


@pytest.mark.heavy
def test_import_killed_three_times_ends_with_the_same_result(tmp_path: Path) -> None:
    kill_at_random(3, tmp_path)


@pytest.mark.heavy
def test_only_one_of_three_simultaneous_imports_runs(tmp_path: Path) -> None:
    run_at_once(3, tmp_path)
