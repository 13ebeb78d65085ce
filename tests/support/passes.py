"""The params of a parametrised test that run on MariaDB, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest


def on_sqlite_all(params: Sequence[Any]) -> list[Any]:
    """Return params of which the first runs on every database and the others on SQLite only.

    This is for several APIs of one service: differences between databases are in the service, so one API shows them.
    """
    return [params[0], *(pytest.param(each, marks=pytest.mark.embedded) for each in params[1:])]
