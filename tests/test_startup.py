"""The start of `serve` and of other commands: one server on an embedded database, and databases that are away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.http import answers
from tests.support.instances import free_port, wait_until
from tests.support.server import ROOT, MaimServer
from tests.test_serve import family, is_over, refusal

pytestmark = pytest.mark.single


def embedded(directory: Path, name: str = "maim_embedded", **environment: str) -> MaimServer:
    """Return a server on the SQLite database of this directory, without Redis unless it is given."""
    url = f"sqlite:///{directory}/maim.sqlite3"
    return MaimServer(directory, name, **{"DATABASE_URL": url, "REDIS_URL": "", **environment})


def other_ports() -> dict[str, str]:
    return {name: f"127.0.0.1:{free_port()}" for name in ("MAIM_PUBLIC_BIND", "MAIM_INTERNAL_BIND")}


class TestEmbeddedLock:
    def test_second_server_on_an_embedded_database_is_refused(self, tmp_path: Path) -> None:
        with embedded(tmp_path) as first:
            said = refusal(first, "serve", **other_ports())

            assert said == (
                f"CommandError: {tmp_path}/maim.sqlite3 is being served already, by process {first.pid}; "
                "without REDIS_URL each server would count limits anew"
            )
            assert answers(first.public)
            first.manage("check", "--database", "default")  # other commands may run beside it

    @pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
    def test_database_can_be_served_again_after_the_server_ended(self, tmp_path: Path, signum: int) -> None:
        with embedded(tmp_path) as first:
            processes = family(first)
            first.stop(signum)
            wait_until(lambda: all(map(is_over, processes)), "all processes end")

            with embedded(tmp_path, "maim_second") as second:
                assert answers(second.public)

    @pytest.mark.needs_redis
    def test_servers_that_count_in_redis_may_share_an_embedded_database(self, tmp_path: Path) -> None:
        with (
            embedded(tmp_path, REDIS_URL=os.environ["REDIS_URL"]),
            embedded(tmp_path, "maim_second", REDIS_URL=os.environ["REDIS_URL"]) as second,
        ):
            assert answers(second.public)

    def test_runserver_beside_a_server_warns(self, tmp_path: Path) -> None:
        with embedded(tmp_path) as maim:
            port = free_port()
            environment = {**maim.environment, "MAIM_PUBLIC_BIND": f"127.0.0.1:{port}"}
            command = [sys.executable, "manage.py", "runserver", "--noreload", "--skip-checks"]
            with (tmp_path / "runserver.log").open("wb") as log:
                process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
            try:
                wait_until(lambda: answers(f"http://127.0.0.1:{port}"), "runserver answers")
            finally:
                process.terminate()
                process.wait(10)

            said = (tmp_path / "runserver.log").read_text()
            assert f"This database is being served by process {maim.pid}, too; each counts limits for itself." in said
