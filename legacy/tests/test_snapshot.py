"""Old databases are only read, as of one moment, while their service keeps writing."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from legacy.snapshot import Snapshot, take_snapshot
from legacy.sources import Source, SourceError
from legacy.tests.clients import verdict
from legacy.tests.import_command import import_from, verify
from legacy.tests.old_databases import OldDatabase, connect
from tests.support.instances import WAIT
from tests.support.server import ON_MARIADB, fresh_database_url


@pytest.fixture(params=["sqlite", "sqlite in WAL mode", pytest.param("mariadb", marks=pytest.mark.needs_mariadb)])
def running(request: pytest.FixtureRequest, tmp_path: Path) -> OldDatabase:
    """A database that a service has open."""
    kind: str = request.param
    if kind == "mariadb":
        return OldDatabase(fresh_database_url(tmp_path, "old_running"))
    found = OldDatabase.in_file(tmp_path / "maim.sqlite3")
    if "WAL" in kind:
        with closing(sqlite3.connect(found.path)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    return found


@pytest.fixture
def written(running: OldDatabase) -> Iterator[threading.Event]:
    """An event for each agent that the service inserts, again and again, with its key in the same transaction."""
    running.tenant("tenant_1")
    is_over = threading.Event()
    written = threading.Event()

    def write() -> None:
        number = 0
        with closing(connect(running.url)) as connection:
            cursor = connection.cursor()
            while not is_over.wait(0.002):  # like a service, which writes once for each request
                number += 1
                cursor.execute(
                    "INSERT INTO agents (id, tenant_id, name, status, created_at, updated_at) "
                    f"VALUES ('agent_{number}', 'tenant_1', 'bot', 'active', '2026-01-01', '2026-01-01')"
                )
                cursor.execute(
                    "INSERT INTO api_keys (id, tenant_id, agent_id, name, api_key, permissions, status, usage_count,"
                    f" created_at, updated_at) VALUES ('key_{number}', 'tenant_1', 'agent_{number}', 'key',"
                    f" 'k{number}', '[]', 'active', 0, '2026-01-01', '2026-01-01')"
                )
                connection.commit()
                written.set()

    thread = threading.Thread(target=write)
    thread.start()
    written.wait(WAIT)
    try:
        yield written
    finally:
        is_over.set()
        thread.join(WAIT)


def test_copy_is_consistent_while_the_service_writes(running: OldDatabase, written: threading.Event) -> None:
    numbers = []
    for _copy in range(5):
        written.clear()
        assert written.wait(WAIT), "the service goes on writing"
        with take_snapshot(Source(running.url)) as old:
            agents = old.fetch_number("SELECT count(*) FROM agents")
            assert agents == old.fetch_number("SELECT count(*) FROM api_keys") > 0
            numbers.append(agents)

    assert numbers == sorted(numbers)


def test_copy_has_the_written_values(running: OldDatabase) -> None:
    running.user("user_1", "小明 🤖", email=None)
    running.tenant("tenant_1", created_at="2026-05-01 10:00:00")

    with take_snapshot(Source(running.url)) as old:
        person = next(old.rows("SELECT * FROM people"))
        tenant = next(old.rows("SELECT * FROM tenants"))

    assert (person["id"], person["username"], person["email"], person["is_active"]) == ("user_1", "小明 🤖", None, 1)
    assert str(tenant["created_at"]) == "2026-05-01 10:00:00"


def test_copying_changes_no_file(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    digest, beside = hashlib.sha256(old.path.read_bytes()).digest(), os.listdir(tmp_path)
    old.path.chmod(0o444)

    with take_snapshot(Source(old.url)) as snapshot:
        assert snapshot.fetch_number("SELECT count(*) FROM tenants") == 1
        assert os.listdir(tmp_path) == beside

    assert hashlib.sha256(old.path.read_bytes()).digest() == digest


def test_missing_optional_table_is_empty(tmp_path: Path) -> None:
    old = OldDatabase("sqlite:///" + str(tmp_path / "old.sqlite3"), ["tenants", "agents", "api_keys"])

    with take_snapshot(Source(old.url)) as snapshot:
        for table in ("people", "plugin_settings", "agent_active_states", "model_info_configs", "web_tenants"):
            assert _number(snapshot, table) == 0


@pytest.mark.parametrize("missing", ["tenants", "agents", "api_keys"])
def test_database_without_a_required_table_is_refused(missing: str, tmp_path: Path) -> None:
    tables = {"tenants", "agents", "api_keys"} - {missing}
    old = OldDatabase("sqlite:///" + str(tmp_path / "old.sqlite3"), tables)

    with pytest.raises(SourceError, match=f"there is no table {missing} in it; is it the right"):
        take_snapshot(Source(old.url)).__enter__()


@pytest.mark.parametrize("table", ["tenants", "agents", "api_keys", "plugin_settings", "users", "model_info_configs"])
def test_table_without_required_columns_is_refused_in_one_sentence(table: str, tmp_path: Path, db: None) -> None:
    old = OldDatabase.in_file(tmp_path / "old.sqlite3")
    old.execute(f"DROP TABLE {table}")
    old.execute(f"CREATE TABLE {table} (id)")

    outcome = verify(old, "--apply")

    assert (outcome.status, outcome.out) == (1, "")
    assert " has no column " in outcome.err
    assert "\n" not in outcome.err


def test_unreadable_database_is_named_without_its_password(tmp_path: Path) -> None:
    not_maim = tmp_path / "not_maim.sqlite3"
    with closing(sqlite3.connect(not_maim)) as connection:
        for table in ("tenants", "agents", "api_keys"):
            connection.execute(f"CREATE TABLE {table} (id)")
    (tmp_path / "text.sqlite3").write_text("this is no database, however long it may be")
    problems = {
        f"sqlite:///{tmp_path}/missing.sqlite3": "no such file",
        f"sqlite:///{tmp_path}/text.sqlite3": "not a database",
        f"sqlite:///{not_maim}": "has no column tenant_name",
        "postgres://maim:hunter2@localhost/maim": "write sqlite:///PATH or mysql://",
        "mysql://maim:hunter2@127.0.0.1:1/maim": "connect" if ON_MARIADB else "",
    }
    for url, problem in problems.items():
        with pytest.raises(SourceError) as raised, take_snapshot(Source(url)):
            pass
        assert problem in str(raised.value)
        assert "hunter2" not in str(raised.value)
        assert "hunter2" not in repr(Source(url))


def test_command_names_a_missing_file(tmp_path: Path, db: None) -> None:
    outcome = verify(f"sqlite:///{tmp_path}/missing.sqlite3", "--apply")

    assert (outcome.status, outcome.out) == (1, "")
    assert "no such file" in outcome.err


def test_url_may_be_in_the_environment(old: OldDatabase, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    old.tenant()
    monkeypatch.setenv("OLD_DATABASE", old.url)

    present = verify("env:OLD_DATABASE", "--apply")
    missing = verify("env:NO_SUCH_THING", "--apply")

    assert present.status == 0
    assert (missing.status, missing.err) == (2, "There is no environment variable NO_SUCH_THING")


def _number(snapshot: Snapshot, table: str) -> int:
    return snapshot.fetch_number(f"SELECT count(*) FROM {table}")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mysql://reader:secret@db/maim", "mysql://reader:…@db/maim"),
        ("mysql://reader:se/cret@db/maim", "mysql://reader:…@db/maim"),
        ("mysql://reader:se#cr?et@db/maim", "mysql://reader:…@db/maim"),
        ("mysql://reader:se@cret@db/maim", "mysql://reader:…@db/maim"),
        ("mysql://reader@db/maim", "mysql://reader@db/maim"),
        ("sqlite:////old/a@b.sqlite3", "sqlite:////old/a@b.sqlite3"),
    ],
)
def test_source_is_shown_without_its_password(url: str, shown: str) -> None:
    assert str(Source(url)) == shown


@pytest.mark.embedded
@pytest.mark.parametrize("url", ["mysql://u:se/cret@h/db", "mysql://u:se[cret@h/db", "mysql://u:p@h:port/db"])
def test_malformed_url_is_refused_without_its_password(url: str) -> None:
    outcome = verify(url, "--verify")

    assert outcome.status == 1
    assert "cret" not in outcome.err
    assert "is not a valid url" in outcome.err


@pytest.mark.needs_mariadb
@pytest.mark.django_db
def test_zero_date_as_expiry_disables_a_key_of_mariadb(tmp_path: Path) -> None:
    old = OldDatabase(fresh_database_url(tmp_path, "old_times"))
    old.tenant("tenant_00000000000a")
    old.agent("tenant_00000000000a")
    secret = old.key("tenant_00000000000a", "agent_00000000000a")
    with closing(connect(old.url)) as connection:
        connection.cursor().execute("SET SESSION sql_mode = ''")
        connection.cursor().execute("UPDATE api_keys SET expires_at = '0000-00-00 00:00:00'")
        connection.commit()

    run = import_from(f"{old.url}?charset=utf8mb4", tmp_path)

    assert run.reasons("keys") == ["bad time"]
    assert verdict(secret) == "AUTH_004"


@pytest.mark.needs_mariadb  # SQLite takes a statement of any size
@pytest.mark.django_db
def test_many_long_texts_are_saved_in_several_statements(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant("tenant_00000000000a")
    for number in range(50):
        old.tenant(f"tenant_{number}", f"{number}", tenant_config={"text": "x" * 400_000})
        old.agent("tenant_00000000000a", f"agent_{number}", f"{number}", description="x" * 400_000)

    run = import_from(old, tmp_path)

    assert run.counts("agents") == {"read": 50, "written": 50}
    assert verify(old).status == 0
