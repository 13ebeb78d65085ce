"""An import that is killed leaves whole tenants behind, and the next run goes on from there."""

from __future__ import annotations

from pathlib import Path

import pytest

from legacy.tests.interrupted import kill_at, run_at_once


@pytest.mark.single
def test_killed_at_three_moments_and_run_again_it_ends_as_if_nothing_had_been(tmp_path: Path) -> None:
    kill_at(3, tmp_path)


@pytest.mark.single
def test_of_three_imports_at_once_one_does_it_all(tmp_path: Path) -> None:
    run_at_once(3, tmp_path)
