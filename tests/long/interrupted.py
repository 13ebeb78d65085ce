"""An import that is killed at ten moments: as legacy/tests/test_interrupted.py, more often."""

from __future__ import annotations

from pathlib import Path

import pytest

from legacy.tests.interrupted import kill_at

pytestmark = pytest.mark.single


def test_killed_at_ten_moments_and_run_again_it_ends_as_if_nothing_had_been(tmp_path: Path) -> None:
    kill_at(10, tmp_path)
