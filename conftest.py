"""Fixtures of every test: the people, the surfaces in-process, and a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.utils import translation

from maim.common import epoch
from maim.http.surfaces import INTERNAL, PUBLIC
from tests.support.client import SurfaceClient
from tests.support.operators import Operator, sign_in
from tests.support.people import Person, join, register
from tests.support.server import MaimServer


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--write-snapshots`: what the tests compare with is rewritten instead (OpenAPI, query counts)."""
    parser.addoption("--write-snapshots", action="store_true", help="rewrite the committed snapshots")


@pytest.fixture(scope="session")
def write_snapshots(pytestconfig: pytest.Config) -> bool:
    """Whether the committed snapshots are to be rewritten rather than compared with."""
    return bool(pytestconfig.getoption("--write-snapshots"))


@pytest.fixture(autouse=True)
def _quick_and_unthrottled(settings: pytest.FixtureRequest) -> None:
    """In-process tests hash cheaply and are not throttled; real servers are as they ship."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # type: ignore[attr-defined]
    settings.AUTH_RATE = None  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """In-process tests verify without memory, and so wait for no lease; real servers are as they ship."""
    monkeypatch.setattr(epoch, "SETTLE_SECONDS", 0)


@pytest.fixture(autouse=True)
def _in_english() -> Iterator[None]:
    """Every test begins in English, whatever language the last request of the one before left to the thread."""
    with translation.override("en"):
        yield


@pytest.fixture
def public() -> SurfaceClient:
    """The public surface, nobody signed in."""
    return SurfaceClient(PUBLIC)


@pytest.fixture
def internal() -> SurfaceClient:
    """The internal surface."""
    return SurfaceClient(INTERNAL)


@pytest.fixture
def alice(db: None) -> Person:
    """Owns her tenant."""
    return register("alice")


@pytest.fixture
def bob(alice: Person) -> Person:
    """A member of Alice's tenant."""
    person = register("bob")
    join(person, alice.tenant)
    return person


@pytest.fixture
def charlie(db: None) -> Person:
    """A stranger."""
    return register("charlie")


@pytest.fixture
def olivia(db: None) -> Operator:
    """An operator who may change everything, signed in to the admin."""
    return sign_in("olivia")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MaimServer]:
    """One `manage.py serve` for all tests that do not disturb it."""
    directory: Path = tmp_path_factory.mktemp("maim")
    with MaimServer(directory, "maim_shared") as running:
        yield running
