"""Fixtures of every test: the people, the surfaces in-process, and a real server."""

from __future__ import annotations

import gc
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import TestCase, override_settings
from django.utils import translation
from pytest_django import DjangoDbBlocker

from core import epoch
from core.http.surfaces import INTERNAL, PUBLIC
from tests.run import ON_MARIADB, ON_MARIADB_ONCE, ON_SQLITE
from tests.support.client import SurfaceClient
from tests.support.operators import Operator, sign_in
from tests.support.people import Person, join, register
from tests.support.server import MaimServer


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--write-snapshots`: what the tests compare with is rewritten instead (OpenAPI, query counts)."""
    parser.addoption("--write-snapshots", action="store_true", help="rewrite the committed snapshots")


_MARK_OF_ALL = re.compile(r"^pytestmark = \[?\s*pytest\.mark\.(\w+)", re.MULTILINE)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out the modules that a pass of tests/run.py has no test of, which would take it a while to import."""
    chosen: str = config.option.markexpr
    if chosen not in (ON_SQLITE, ON_MARIADB, ON_MARIADB_ONCE) or not collection_path.match("test_*.py"):
        return None
    text = collection_path.read_text()
    mark_of_all = _MARK_OF_ALL.search(text)
    if chosen == ON_MARIADB_ONCE:
        left_out = "pytest.mark.single" not in text
    else:
        left_out = mark_of_all is not None and f"not {mark_of_all[1]}" in chosen
    return True if left_out else None


def pytest_collection_finish() -> None:
    """Tells the garbage collector that what was imported stays, so that it does not look through it ever again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _clients_log_no_requests() -> None:
    """A line for each would be formatted twice, and read by nobody: the server's own log tells of them."""
    logging.getLogger("httpx").setLevel(logging.WARNING)


@pytest.fixture(scope="session")
def write_snapshots(pytestconfig: pytest.Config) -> bool:
    """Whether the committed snapshots are to be rewritten rather than compared with."""
    return bool(pytestconfig.getoption("--write-snapshots"))


@pytest.fixture(scope="session", autouse=True)
def _quick_and_unthrottled() -> Iterator[None]:
    """In-process tests hash cheaply and are not throttled; real servers are as they ship."""
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"], AUTH_RATE=None):
        yield


@pytest.fixture(scope="session", autouse=True)
def _nothing_remembered() -> Iterator[None]:
    """In-process tests verify without memory, and so wait for no lease; real servers are as they ship."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(epoch, "PROPAGATION_SECONDS", 0)
        yield


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


@pytest.fixture(scope="module")
def kept(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """What fixtures of a module's scope write stays until its last test, and what a test does to it is undone.

    Not for modules that have tests with transactions of their own.
    """

    class Surrounding(TestCase):
        """Has the transaction around those of the tests that Django has for `setUpTestData`."""

    with django_db_blocker.unblock():
        Surrounding.setUpClass()
        try:
            yield
        finally:
            Surrounding.tearDownClass()
            Surrounding.doClassCleanups()


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
