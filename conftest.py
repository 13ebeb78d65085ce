"""Fixtures for all tests: people, clients of both surfaces in this process, and a real server."""

from __future__ import annotations

import gc
import logging
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.management.commands import flush
from django.db import connection
from django.template import Template
from django.test import TestCase, override_settings
from django.utils import translation
from pytest_django import DjangoDbBlocker

from agents.models import Agent
from core import epoch
from core.http.surfaces import INTERNAL, PUBLIC
from tests import run
from tests.support import processes
from tests.support.client import SurfaceClient
from tests.support.copies import Original
from tests.support.mail import Mailbox, mail_server
from tests.support.migrated import keep_migrated
from tests.support.oidc import Provider, provider_at_work
from tests.support.operators import Operator
from tests.support.people import Person
from tests.support.security_keys import ORIGIN
from tests.support.server import HAS_REDIS, ON_MARIADB, MaimServer
from tests.support.shared import WITHOUT_ALICE, Shared, makers_of


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--write-snapshots`, which rewrites the committed snapshots (OpenAPI, query counts) instead of comparing."""
    parser.addoption("--write-snapshots", action="store_true", help="rewrite the committed snapshots")


_MODULE_MARK = re.compile(r"^pytestmark = \[?\s*pytest\.mark\.(\w+)", re.MULTILINE)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip the modules without a test for this pass of tests/run.py, because importing them takes long."""
    chosen: str = config.option.markexpr
    if chosen not in (run.ON_SQLITE, run.DATABASE_DEPENDENT, run.NAMED_ONLY_ON_MARIADB) or not collection_path.match(
        "test_*.py"
    ):
        return None
    if chosen == run.NAMED_ONLY_ON_MARIADB:
        left_out = not any(run.has_mark(collection_path, mark) for mark in (run.SINGLE, run.HEAVY))
    elif chosen == run.ON_SQLITE:
        left_out = not run.has_mark(collection_path, run.EMBEDDED)
    else:
        module_mark = _MODULE_MARK.search(collection_path.read_text())
        left_out = module_mark is not None and f"not {module_mark[1]}" in chosen
    return True if left_out else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests that need MariaDB or Redis where the run is without."""
    absent = [mark for mark, is_there in (("needs_mariadb", ON_MARIADB), ("needs_redis", HAS_REDIS)) if not is_there]
    chosen: list[pytest.Item] = []
    deselected: list[pytest.Item] = []
    for item in items:
        (deselected if any(map(item.get_closest_marker, absent)) else chosen).append(item)
    config.hook.pytest_deselected(items=deselected)
    items[:] = chosen
    for item in items:
        callspec, fixtures = getattr(item, "callspec", None), getattr(item, "fixturenames", [])
        if callspec is not None and "module_shared" in callspec.params and "module_shared" not in fixtures:
            fixtures.insert(0, "module_shared")  # before those that open the test's own transaction


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize tests that use the database by what they share, so that those that share the same run together."""
    mark, fixtures = metafunc.definition.get_closest_marker("django_db"), metafunc.fixturenames
    if mark is None and "db" not in fixtures and "transactional_db" not in fixtures:
        return
    is_rolled_back = "transactional_db" not in fixtures and not (mark is not None and mark.kwargs.get("transaction"))
    # The transactions of a module cannot be ended one before the other.
    may_share = is_rolled_back and "module_transaction" not in fixtures
    known = [name for name in makers_of(metafunc.module) if may_share and _is_shared(name, metafunc)]
    shared = tuple(name for name in known if "alice" in known or name in WITHOUT_ALICE)
    if "module_shared" not in fixtures:
        fixtures.append("module_shared")  # for `parametrize`; pytest drops it again before items are made
    metafunc.parametrize("module_shared", [shared], indirect=True, scope="module", ids=[pytest.HIDDEN_PARAM])


def _is_shared(name: str, metafunc: pytest.Metafunc) -> bool:
    """Return whether a test uses the sharing fixture of this name, and not a parameter or another fixture."""
    definitions = metafunc._arg2fixturedefs.get(name, ())
    sharing = metafunc.module.__name__ if name in getattr(metafunc.module, "SHARED", {}) else __name__
    return name in metafunc.fixturenames and bool(definitions) and definitions[-1].func.__module__ == sharing


def pytest_collection_finish() -> None:
    """Freeze the imported objects, so that the garbage collector does not look through them again."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many seconds of the processors this run took, in this process and in those that it started and ended."""
    spent = [resource.getrusage(of) for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    here, started = (each.ru_utime + each.ru_stime for each in spent)
    terminalreporter.write_line(f"{here:.0f} s of the processors here, and {started:.0f} s in other processes")


@pytest.fixture(scope="session", autouse=True)
def _forks() -> Iterator[None]:
    """Forks for servers and commands, because the imports are most of what their start takes."""
    with processes.forking():
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_client_logs() -> None:
    """No log lines of httpx, because the server's own log has every request."""
    logging.getLogger("httpx").setLevel(logging.WARNING)


@pytest.fixture(scope="session")
def write_snapshots(pytestconfig: pytest.Config) -> bool:
    """The option `--write-snapshots`."""
    return bool(pytestconfig.getoption("--write-snapshots"))


@pytest.fixture(scope="session", autouse=True)
def _quick_and_unthrottled() -> Iterator[None]:
    """Cheap password hashes, no throttle, and a host for passkeys in this process. Real servers keep their settings."""
    hashers = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    with override_settings(PASSWORD_HASHERS=hashers, AUTH_RATE=None, PUBLIC_URL=ORIGIN):
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_propagation_wait() -> Iterator[None]:
    """No wait for workers, because verification in this process has no cache. Real servers keep theirs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(epoch, "PROPAGATION_SECONDS", 0)
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_signals_of_templates(django_test_environment: None) -> Iterator[None]:
    """No signal of each rendered template, which Django's tests send with a copy of its context: a page has hundreds.

    So responses have no `context`, but the `context_data` of their view.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Template, "_render", lambda template, context: template.nodelist.render(context))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_permissions_after_a_flush() -> Iterator[None]:
    """No permissions of Django's after a test with real transactions: none needs them there, and they take long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flush, "emit_post_migrate_signal", lambda *_args: None)
        yield


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """The database of the tests, whose migrated tables those of servers are copied from."""
    with django_db_blocker.unblock():
        keep_migrated(connection)


@pytest.fixture
def propagation_waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of each wait for workers in this process, recorded without waiting."""
    waits: list[float] = []
    monkeypatch.setattr(epoch, "PROPAGATION_SECONDS", 60.0)
    monkeypatch.setattr("core.epoch.time.sleep", waits.append)
    return waits


@pytest.fixture(autouse=True)
def _in_english() -> Iterator[None]:
    """English at the start of every test, because a request before may have left another language in the thread."""
    with translation.override("en"):
        yield


@pytest.fixture
def public() -> SurfaceClient:
    """A client of the public surface, not signed in."""
    return SurfaceClient(PUBLIC)


@pytest.fixture
def internal() -> SurfaceClient:
    """A client of the internal surface."""
    return SurfaceClient(INTERNAL)


@contextmanager
def _transaction(blocker: DjangoDbBlocker) -> Iterator[None]:
    """Open a transaction that surrounds those of tests, and roll it back in the end."""

    class Surrounding(TestCase):
        """The class whose outer transaction Django uses for `setUpTestData`."""

    with blocker.unblock():
        Surrounding.setUpClass()
        try:
            yield
        finally:
            Surrounding.tearDownClass()
            Surrounding.doClassCleanups()


@pytest.fixture(scope="module")
def module_transaction(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """A transaction around a module, in which module-scoped fixtures write. Each test is rolled back inside it.

    Not for modules whose tests need real transactions.
    """
    with _transaction(django_db_blocker):
        yield


@pytest.fixture(scope="module")
def module_shared(
    request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[Original[dict[str, Any]]]:
    """The people and things that tests of a module share, made once for all tests with the same fixtures.

    It is empty for tests that need real transactions.
    """
    names: tuple[str, ...] = request.param
    if not names:
        yield Original({})
    else:
        with _transaction(django_db_blocker):
            shared = Shared(makers_of(request.module), {})
            for name in names:
                shared[name]
            yield Original(dict(shared))


@pytest.fixture
def known(request: pytest.FixtureRequest, module_shared: Original[dict[str, Any]], db: None) -> Shared:
    """The people and things of a test: copies of those that its module shares; others are made when asked for."""
    return Shared(makers_of(request.module), module_shared.copy())


@pytest.fixture
def alice(known: Shared) -> Person:
    """Alice, who owns her tenant."""
    alice: Person = known["alice"]
    return alice


@pytest.fixture
def bob(alice: Person, known: Shared) -> Person:
    """Bob, a member of Alice's tenant."""
    known["alice"] = alice  # a module may have its own
    bob: Person = known["bob"]
    return bob


@pytest.fixture
def charlie(known: Shared) -> Person:
    """Charlie, who is no member of Alice's tenant."""
    charlie: Person = known["charlie"]
    return charlie


@pytest.fixture
def olivia(known: Shared) -> Operator:
    """Olivia, an operator who may change everything, signed in to the admin."""
    olivia: Operator = known["olivia"]
    olivia.begin_session()
    return olivia


@pytest.fixture
def agent(alice: Person, known: Shared) -> Agent:
    """An agent of Alice's."""
    known["alice"] = alice  # a module may have its own
    agent: Agent = known["agent"]
    return agent


@pytest.fixture(scope="module")
def oidc_provider() -> Iterator[Provider]:
    """A provider of OpenID Connect, by which people may sign in."""
    with provider_at_work() as provider:
        yield provider


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """A mail server, to which maim sends its mails."""
    with mail_server() as mailbox:
        yield mailbox


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MaimServer]:
    """A running `manage.py serve`, shared by all tests that do not disturb it."""
    directory: Path = tmp_path_factory.mktemp("maim")
    with MaimServer(directory, "maim_shared") as running:
        yield running
