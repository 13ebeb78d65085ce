"""Old databases and samples of them, and who reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from legacy.tests.import_command import Run, import_from
from legacy.tests.old_databases import AGENT_ID, TENANT_ID, USER_ID, OldDatabase
from legacy.tests.samples import Sample, sample_of
from tenants.models import Tenant
from tests.support.old_bot import OldBot
from tests.support.people import register
from tests.support.server import fresh_database_url


@pytest.fixture
def old(tmp_path: Path) -> OldDatabase:
    """An empty SQLite database that both old services share."""
    return OldDatabase.in_file(tmp_path / "maim.sqlite3")


@pytest.fixture(autouse=True)
def _password_hashers(settings: Any) -> None:
    """Accept the hashes of the old system, and create cheap ones."""
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.MD5PasswordHasher",
        "accounts.hashers.FormerPasswordHasher",
    ]


@pytest.fixture
def shared(tmp_path: Path) -> OldDatabase:
    """An empty shared database like `old`, on MariaDB if the tests run on it."""
    return OldDatabase(fresh_database_url(tmp_path, "old_shared"))


@pytest.fixture(
    params=[
        pytest.param("sqlite", marks=pytest.mark.embedded),
        pytest.param("mariadb", marks=pytest.mark.needs_mariadb),
    ]
)
def sample(request: pytest.FixtureRequest, tmp_path: Path) -> Sample:
    """The databases of an old system that was in use."""
    return sample_of(request.param, tmp_path)


@pytest.fixture
def imported(sample: Sample, db: None, tmp_path: Path) -> Run:
    """The import of `sample`."""
    return import_from(sample.config, tmp_path, "--apply", web=sample.web)


@pytest.fixture
def secret(old: OldDatabase) -> str:
    """The secret of the key in `old`, which gets one object of each kind."""
    old.user()
    old.tenant(owner_id=USER_ID)
    old.agent(TENANT_ID, config={"persona": "calm"})
    old.plugin(TENANT_ID, AGENT_ID)
    old.heartbeat(TENANT_ID, AGENT_ID)
    return old.key(TENANT_ID, AGENT_ID, usage_count=5)


@pytest.fixture
def tenant() -> Tenant:
    """The tenant of Alice, who has registered with maim."""
    return register("alice").tenant


@pytest.fixture
def bot(shared: OldDatabase) -> OldBot:
    """A bot that reads the tables of `shared`."""
    return OldBot(shared.url)
