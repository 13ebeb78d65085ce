"""The processes of `manage.py serve`: their start, recovery and stop."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support.http import get, is_healthy
from tests.support.instances import WAIT, free_port, wait_until
from tests.support.server import SETTINGS, MaimServer
from tests.support.serving import has_ended, listens, process_tree, start_error

CREDENTIALS = {"username": "alice", "password": "password123"}
JSON = {"Content-Type": "application/json"}
REDIS_URL = os.environ.get("REDIS_URL", "")
# With these times the server kills no worker for two minutes. If it stops within one, no worker was killed.
LONG_TIMEOUTS = ("-m", "tests.support.serve_with", "GRACE_SECONDS=120", "STOP_SECONDS=120")
STOP_SECONDS = 60


@pytest.fixture(scope="module")
def restarting_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MaimServer]:
    """A server whose processes tests may kill, because they are restarted."""
    with MaimServer(tmp_path_factory.mktemp("survivor"), "maim_survivor") as maim:
        yield maim


def has_workers(maim: MaimServer, surface: str, number: int) -> bool:
    """Return whether as many workers have begun to serve, those that ended included."""
    return len(maim.workers(surface)) >= number


def assert_free(port: int) -> None:
    socket.create_server(("127.0.0.1", port)).close()


@pytest.mark.single
class TestStart:
    def test_each_surface_serves_its_own_routes(self, server: MaimServer) -> None:
        with server.client() as public, server.client("internal") as internal:
            assert public.get("/").json() == {"message": "Welcome to MaimWebBackend API"}
            assert internal.get("/").json()["endpoints"]["tenants"] == "/api/v2/tenants"
            assert internal.get("/api/v2/tenants").status_code == 200
            assert public.get("/api/v2/tenants", headers={"Host": "x:8000"}).status_code == 404
            assert internal.get("/api/v1/agents").status_code == 404

    def test_every_worker_logs_its_address_once(self, tmp_path: Path) -> None:
        number = 2 if REDIS_URL else 1

        with MaimServer(tmp_path, "maim_start", MAIM_WORKERS=str(number)) as maim:
            for surface, port in (("public", maim.public_port), ("internal", maim.internal_port)):
                wait_until(partial(has_workers, maim, surface, number), "every worker serves")
                assert len(set(maim.workers(surface))) == number
                assert maim.log.count(f"serves 127.0.0.1:{port}") == number

            assert maim.log.count("maim is ready") == 1

    def test_several_workers_without_redis_are_refused(self, tmp_path: Path) -> None:
        error = start_error(MaimServer(tmp_path, "maim_refused", REDIS_URL=""), "serve", MAIM_WORKERS="2")

        assert "MAIM_WORKERS: more than one needs REDIS_URL" in error

    def test_unmigrated_database_stops_the_start(self, tmp_path: Path) -> None:
        maim = MaimServer(tmp_path, "maim_unmigrated")

        assert start_error(maim, "serve") == "CommandError: The database is not up to date; run: manage.py migrate"
        assert not listens(maim.public_port)

    def test_unavailable_database_stops_the_start(self, tmp_path: Path) -> None:
        maim = MaimServer(tmp_path, "maim_nowhere")

        error = start_error(maim, "serve", DATABASE_URL=f"sqlite:///{tmp_path}/missing/maim.sqlite3")

        assert error == "CommandError: The database does not answer: unable to open database file"

    def test_taken_port_stops_the_start(self, restarting_server: MaimServer, tmp_path: Path) -> None:
        taken = f"127.0.0.1:{restarting_server.internal_port}"

        error = start_error(
            restarting_server, "serve", MAIM_PUBLIC_BIND=f"127.0.0.1:{free_port()}", MAIM_INTERNAL_BIND=taken
        )

        assert error == f"CommandError: The internal surface cannot listen on {taken}: Address already in use"

    def test_server_on_every_address_answers_clients_of_ipv4_and_ipv6(self, tmp_path: Path) -> None:
        ports = [free_port(), free_port()]
        binds = {
            f"MAIM_{surface}_BIND": f"[::]:{port}" for surface, port in zip(("PUBLIC", "INTERNAL"), ports, strict=True)
        }
        with MaimServer(tmp_path, "maim_everywhere", **binds):
            statuses = [
                httpx.get(f"http://{host}:{port}{path}").status_code
                for port, path in zip(ports, ("/", "/api/v2/tenants"), strict=True)
                for host in ("127.0.0.1", "[::1]")
            ]

        assert statuses == [200, 200, 200, 200]


@pytest.mark.heavy
class TestRecovery:
    @pytest.mark.parametrize("surface", ["public", "internal"])
    def test_killed_worker_is_restarted_each_time(self, restarting_server: MaimServer, surface: str) -> None:
        for _ in range(3):
            before = restarting_server.workers(surface)

            os.kill(before[-1], signal.SIGKILL)

            wait_until(partial(has_workers, restarting_server, surface, len(before) + 1), "a new worker")
            wait_until(lambda: is_healthy(getattr(restarting_server, surface)), "the surface answers")

    def test_worker_ends_on_repeated_signals(self, restarting_server: MaimServer) -> None:
        worker = psutil.Process(restarting_server.workers("public")[-1])

        def has_ended_after_more_signals() -> bool:
            with suppress(ProcessLookupError):
                for _ in range(20):
                    os.kill(worker.pid, signal.SIGTERM)
            return has_ended(worker)

        wait_until(has_ended_after_more_signals, "the worker ends")
        wait_until(lambda: is_healthy(restarting_server.public), "the public surface is healthy")

    def test_killed_group_is_restarted_and_leaves_no_orphans(self, restarting_server: MaimServer) -> None:
        worker = psutil.Process(restarting_server.workers("public")[-1])
        group = worker.parent()
        assert group is not None
        assert group.ppid() == restarting_server.pid

        group.kill()

        wait_until(lambda: has_ended(worker), "the worker notices that its main process is gone")
        wait_until(lambda: restarting_server.workers("public")[-1] != worker.pid, "a new worker")
        wait_until(lambda: is_healthy(restarting_server.public), "the public surface is healthy")

    def test_other_surface_keeps_serving(self, restarting_server: MaimServer) -> None:
        before = restarting_server.workers("internal")
        worker = psutil.Process(restarting_server.workers("public")[-1])
        group = worker.parent()
        assert group is not None

        with restarting_server.client("internal") as kept_alive:
            assert kept_alive.get("/health").status_code == 200
            group.kill()
            wait_until(lambda: has_ended(group), "the public group is gone")
            assert kept_alive.get("/health").status_code == 200

        assert restarting_server.workers("internal") == before
        wait_until(lambda: has_ended(worker), "the worker notices that its main process is gone")
        wait_until(lambda: is_healthy(restarting_server.public), "the public surface is healthy")

    def test_metrics_are_summed_over_all_workers_including_dead_ones(self, restarting_server: MaimServer) -> None:
        def served() -> int:
            text = get(f"{restarting_server.internal}/metrics").text
            rows = re.findall(r"^maim_http_requests_total\{(.*)\} (\d+)\.0$", text, re.MULTILINE)
            return sum(
                int(n)
                for labels, n in rows
                if f'port="{restarting_server.public_port}"' in labels and 'status="404"' in labels
            )

        before = served()
        for _ in range(7):
            get(f"{restarting_server.public}/nowhere")
        assert served() == before + 7

        dead = restarting_server.workers("public")[-1]
        os.kill(dead, signal.SIGKILL)
        wait_until(lambda: restarting_server.workers("public")[-1] != dead, "a new worker")
        wait_until(lambda: is_healthy(restarting_server.public), "the public surface is healthy")
        get(f"{restarting_server.public}/nowhere")

        assert served() == before + 8


@pytest.mark.heavy
class TestStop:
    def test_sigterm_lets_running_requests_finish(self, tmp_path: Path) -> None:
        maim = MaimServer(tmp_path, "maim_stop", serve=LONG_TIMEOUTS, DJANGO_SETTINGS_MODULE=SETTINGS)
        with maim, maim.client() as idle:
            idle.post("/api/v1/auth/register", json=CREDENTIALS)
            logins = [HTTPConnection("127.0.0.1", maim.public_port, timeout=WAIT) for _ in range(5)]
            upload = HTTPConnection("127.0.0.1", maim.internal_port, timeout=WAIT)
            begin_upload(upload, "/api/v2/tenants", b'{"tenant_name": "slow", ')
            for login in logins:
                login.request("POST", "/api/v1/auth/login", json.dumps(CREDENTIALS), JSON)
            # Two hashes run at a time: when the first ends, all five logins have arrived, and most still wait.
            assert finish(logins.pop(0))[0] == 200

            os.kill(maim.pid, signal.SIGTERM)
            wait_until(lambda: not listens(maim.internal_port), "no new connection is accepted")
            send_chunk(upload, b'"tenant_type": "enterprise"}', last=True)

            assert [finish(login)[0] for login in logins] == [200] * 4
            status, body = finish(upload)
            assert (status, json.loads(body)["data"]["tenant_name"]) == (200, "slow")
            assert maim.stop(seconds=STOP_SECONDS) == 0
            assert_free(maim.public_port)
            assert_free(maim.internal_port)

    def test_endless_request_does_not_delay_the_stop(self, tmp_path: Path) -> None:
        with MaimServer(tmp_path, "maim_stuck") as maim:
            upload = HTTPConnection("127.0.0.1", maim.internal_port)
            begin_upload(upload, "/api/v2/tenants", b'{"tenant_name": "never", ')
            processes = process_tree(maim)

            assert maim.stop() == 0

            assert all(has_ended(process) for process in processes)
            upload.close()

    def test_workers_of_a_group_that_does_not_end_in_time_are_killed(self, tmp_path: Path) -> None:
        impatient = ("-m", "tests.support.serve_with", "STOP_SECONDS=0.5")
        with MaimServer(tmp_path, "maim_hung", serve=impatient) as maim:
            others = process_tree(maim)[1:]
            for process in others:
                process.suspend()  # none of them can end by itself

            try:
                assert maim.stop() == 0
                wait_until(lambda: all(has_ended(process) for process in others), "all processes end")
            finally:
                for process in others:
                    with suppress(psutil.NoSuchProcess):
                        process.kill()

    def test_nothing_is_left_to_collect_when_the_server_has_stopped(self, tmp_path: Path) -> None:
        """Because at its end Python looks through all objects, which took a busy machine longer than all the rest."""
        serve = (
            "import gc; from tests.support.serve_with import main; main([]); print(len(gc.get_objects()), 'objects')"
        )
        with MaimServer(tmp_path, "maim_frozen", serve=("-c", serve)) as maim:
            assert maim.stop() == 0

            (objects,) = re.findall(r"^(\d+) objects$", maim.log, re.MULTILINE)
            assert int(objects) < 1_000

    @pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=["as Ctrl-C", "as systemd"])
    def test_signal_to_every_process_stops_the_server(self, tmp_path: Path, signum: int) -> None:
        with MaimServer(tmp_path, "maim_all", serve=LONG_TIMEOUTS) as maim:
            processes = process_tree(maim)

            for process in processes[1:]:
                with suppress(psutil.NoSuchProcess):  # a worker may have ended with its group
                    process.send_signal(signum)

            assert maim.stop(signum, seconds=STOP_SECONDS) == 0
            assert all(has_ended(process) for process in processes)
            assert "Traceback" not in maim.log

    def test_no_process_survives_a_killed_supervisor(self, tmp_path: Path) -> None:
        with MaimServer(tmp_path, "maim_beheaded") as maim:
            processes = process_tree(maim)
            assert len(processes) >= 5  # the supervisor, two groups, a worker of each

            maim.stop(signal.SIGKILL)

            wait_until(lambda: all(has_ended(process) for process in processes), "all processes end")
            assert_free(maim.public_port)
            assert_free(maim.internal_port)


def begin_upload(connection: HTTPConnection, path: str, part: bytes) -> None:
    """Send the head of a request and the first chunk of its body."""
    connection.putrequest("POST", path)
    for name, value in {**JSON, "Transfer-Encoding": "chunked"}.items():
        connection.putheader(name, value)
    connection.endheaders()
    send_chunk(connection, part)


def send_chunk(connection: HTTPConnection, part: bytes, *, last: bool = False) -> None:
    connection.send(b"%x\r\n%s\r\n%s" % (len(part), part, b"0\r\n\r\n" if last else b""))


def finish(connection: HTTPConnection) -> tuple[int, bytes]:
    """Wait for the response, and return its status and body."""
    with closing(connection):
        response = connection.getresponse()
        return response.status, response.read()
