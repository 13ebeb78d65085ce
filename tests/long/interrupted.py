"""An import that is killed ten times (legacy/tests/test_interrupted.py kills it three times)."""

from __future__ import annotations

from pathlib import Path

import pytest

from legacy.tests.interrupted import kill_at_random

pytestmark = pytest.mark.single


def test_import_killed_ten_times_ends_with_the_same_result(tmp_path: Path) -> None:
    kill_at_random(10, tmp_path)
