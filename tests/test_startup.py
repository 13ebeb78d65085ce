"""The start of `serve` and of other commands: one server on an embedded database, and databases that are away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.deployment import Dependencies, own_dependencies
from tests.support.http import get, is_healthy
from tests.support.instances import WAIT, free_port, wait_until
from tests.support.migrating import migrate_together, recorded_migrations
from tests.support.server import ROOT, MaimServer
from tests.support.serving import has_ended, listens, process_tree, start_error

pytestmark = pytest.mark.heavy


def embedded(directory: Path, name: str = "maim_embedded", **environment: str) -> MaimServer:
    """Return a server on the SQLite database of this directory, without Redis unless it is given."""
    url = f"sqlite:///{directory}/maim.sqlite3"
    return MaimServer(directory, name, **{"DATABASE_URL": url, "REDIS_URL": "", **environment})


class TestEmbeddedLock:
    def test_second_server_on_an_embedded_database_is_refused(self, tmp_path: Path) -> None:
        with embedded(tmp_path) as first:
            public, internal = (f"127.0.0.1:{free_port()}" for _ in range(2))

            said = start_error(first, "serve", MAIM_PUBLIC_BIND=public, MAIM_INTERNAL_BIND=internal)

            assert said == (
                f"CommandError: {tmp_path}/maim.sqlite3 is being served already, by process {first.pid}; "
                "without REDIS_URL each server would count limits anew"
            )
            assert is_healthy(first.public)
            first.manage("check", "--database", "default")  # other commands may run beside it

    def test_database_can_be_served_again_after_the_server_was_killed(self, tmp_path: Path) -> None:
        with embedded(tmp_path) as first:
            processes = process_tree(first)
            first.stop(signal.SIGKILL)
            wait_until(lambda: all(map(has_ended, processes)), "all processes end")

            with embedded(tmp_path, "maim_second") as second:
                assert is_healthy(second.public)

    @pytest.mark.needs_redis
    def test_servers_that_count_in_redis_may_share_an_embedded_database(self, tmp_path: Path) -> None:
        with (
            embedded(tmp_path, REDIS_URL=os.environ["REDIS_URL"]),
            embedded(tmp_path, "maim_second", REDIS_URL=os.environ["REDIS_URL"]) as second,
        ):
            assert is_healthy(second.public)

    def test_runserver_beside_a_server_warns(self, tmp_path: Path) -> None:
        with embedded(tmp_path) as maim:
            port = free_port()
            environment = {**maim.environment, "MAIM_PUBLIC_BIND": f"127.0.0.1:{port}"}
            command = [sys.executable, "manage.py", "runserver", "--noreload", "--skip-checks"]
            with (tmp_path / "runserver.log").open("wb") as log:
                process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
            try:
                wait_until(lambda: is_healthy(f"http://127.0.0.1:{port}"), "runserver answers")
            finally:
                process.terminate()
                process.wait(WAIT)

            said = (tmp_path / "runserver.log").read_text()
            assert f"This database is being served by process {maim.pid}, too; each counts limits for itself." in said


@pytest.fixture(scope="module")
def own() -> Iterator[Dependencies]:
    with own_dependencies() as own:
        yield own


@pytest.fixture
def maim(own: Dependencies, tmp_path: Path) -> Iterator[MaimServer]:
    """A server on an empty database, whose MariaDB is up again after the test."""
    maim = MaimServer(tmp_path, "maim_waiting", **own.environment())
    with ExitStack() as stack:
        stack.push(maim)
        yield maim
    if not own.mariadb.is_running:
        own.mariadb.start()


class TestWaitForDatabase:
    def test_server_is_live_and_not_ready_until_the_database_answers(self, own: Dependencies, maim: MaimServer) -> None:
        maim.migrate()
        own.mariadb.kill()

        maim.launch()

        wait_until(lambda: is_healthy(maim.public) and is_healthy(maim.internal), "both surfaces are live")
        assert get(f"{maim.internal}/ready").status_code == 503
        assert "; waiting for it up to 60 seconds" in maim.log
        assert "maim is ready" not in maim.log

        own.mariadb.start()

        maim.wait_until_ready()
        assert get(f"{maim.internal}/ready").status_code == 200
        assert maim.stop() == 0

    def test_server_ends_in_one_sentence_when_the_database_does_not_come(
        self, own: Dependencies, maim: MaimServer
    ) -> None:
        maim.migrate()
        own.mariadb.kill()
        maim.environment["MAIM_WAIT_FOR_DATABASE"] = "1"

        maim.launch()

        assert maim.wait() == 1
        assert "Traceback" not in maim.log
        assert maim.log.splitlines()[-1].startswith("CommandError: The database does not answer: (2002, ")
        assert not listens(maim.public_port)
        assert not listens(maim.internal_port)

    def test_database_that_comes_without_migrations_ends_the_server(self, own: Dependencies, maim: MaimServer) -> None:
        own.mariadb.kill()
        maim.launch()
        wait_until(lambda: "waiting for it" in maim.log, "it waits")

        own.mariadb.start()

        assert maim.wait() == 1
        assert maim.log.splitlines()[-1] == "CommandError: The database is not up to date; run: manage.py migrate"

    def test_waiting_server_can_be_stopped(self, own: Dependencies, maim: MaimServer) -> None:
        own.mariadb.kill()
        maim.launch()
        wait_until(lambda: is_healthy(maim.public), "it is live")
        processes = process_tree(maim)

        assert maim.stop() == 0

        assert all(has_ended(process) for process in processes)

    def test_wrong_password_is_not_waited_for(self, own: Dependencies, maim: MaimServer) -> None:
        url = maim.environment["DATABASE_URL"].replace(":maim@", ":wrong@")

        assert "Access denied" in start_error(maim, "serve", DATABASE_URL=url)


class TestDatabaseAway:
    @pytest.mark.parametrize("command", ["migrate", "sweep", "check --database default", "keys list", "runserver"])
    def test_command_ends_in_one_sentence(self, tmp_path: Path, command: str) -> None:
        maim = MaimServer(tmp_path, "maim_away", DATABASE_URL=f"mysql://maim:maim@127.0.0.1:{free_port()}/maim")

        said = start_error(maim, *command.split(), status=5 if command.startswith("keys") else 1)

        assert said.removeprefix("CommandError: ").startswith("The database does not answer: (2002, ")
        assert len(said.splitlines()) == 1

    def test_file_that_cannot_be_opened_ends_in_one_sentence(self, tmp_path: Path) -> None:
        maim = MaimServer(tmp_path, "maim_away", DATABASE_URL=f"sqlite:///{tmp_path}/missing/maim.sqlite3")

        assert start_error(maim, "migrate") == "The database does not answer: unable to open database file"

    def test_fault_of_a_command_keeps_its_traceback(self, tmp_path: Path) -> None:
        maim = MaimServer(tmp_path, "maim_unmigrated")

        with pytest.raises(subprocess.CalledProcessError) as raised:
            maim.manage("sweep")

        assert "Traceback" in raised.value.stderr


class TestMigrate:
    @pytest.mark.needs_mariadb
    def test_several_at_once_on_an_empty_server_migrate_it_once(self, tmp_path: Path) -> None:
        self.assert_migrates_once(MaimServer(tmp_path, "maim_migrations"))

    def test_several_at_once_on_an_empty_file_migrate_it_once(self, tmp_path: Path) -> None:
        self.assert_migrates_once(embedded(tmp_path))

    @staticmethod
    def assert_migrates_once(maim: MaimServer) -> None:
        ended = migrate_together([maim] * 2)

        assert [each.status for each in ended] == [0, 0], ended
        lines = {line.partition(",")[0] for each in ended for line in each.said.splitlines()}
        assert lines <= {"Another migrate is at work"}
        recorded = recorded_migrations(maim)
        assert len(recorded) == len(set(recorded))
