"""An old database, and what an import from it stands on."""

from __future__ import annotations

from pathlib import Path

import pytest

from legacy.tests.import_command import Run, import_from
from legacy.tests.old_databases import OldDatabase
from legacy.tests.samples import Sample, sample_of
from tests.support.server import fresh_database_url


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


@pytest.fixture
def shared(tmp_path: Path) -> OldDatabase:
    """As `old`, on the kind of database that this run is on."""
    return OldDatabase(fresh_database_url(tmp_path, "old_shared"))


@pytest.fixture(params=["sqlite", "mariadb"])
def sample(request: pytest.FixtureRequest, tmp_path: Path) -> Sample:
    """The databases of an old system that ran."""
    return sample_of(request.param, tmp_path)


@pytest.fixture
def imported(sample: Sample, db: None, tmp_path: Path) -> Run:
    """The import of the sample."""
    return import_from(sample.config, tmp_path, "--apply", web=sample.web)
