"""An old database, and what an import from it stands on."""

from __future__ import annotations

from pathlib import Path

import pytest

from legacy.tests.old_databases import OldDatabase


@pytest.fixture
def old(tmp_path: Path) -> OldDatabase:
    """An empty database that both old services share, in a file."""
    return OldDatabase.in_file(tmp_path / "maim.sqlite3")


@pytest.fixture(autouse=True)
def _hashed_as_shipped(settings: pytest.FixtureRequest) -> None:
    """People sign in by hashes of the old system; new ones stay cheap."""
    settings.PASSWORD_HASHERS = [  # type: ignore[attr-defined]
        "django.contrib.auth.hashers.MD5PasswordHasher",
        "accounts.hashers.FormerPasswordHasher",
    ]
