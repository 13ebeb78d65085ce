"""The choice of a parametrized test's params that run on MariaDB, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest


def on_sqlite_all(params: Sequence[Any]) -> list[Any]:
    """Return params of which the first runs on every database and the others on SQLite.

    For the ways to one service: whatever a database makes different is below them, and found through any of them.
    """
    return [params[0], *(pytest.param(each, marks=pytest.mark.embedded) for each in params[1:])]
