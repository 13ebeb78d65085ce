"""The processes of `manage.py runserver`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.http import get, is_healthy
from tests.support.instances import WAIT, free_port, wait_until
from tests.support.server import ROOT, MaimServer
from tests.support.serving import listens, start_error

pytestmark = pytest.mark.heavy


class TestRunserver:
    @contextmanager
    def running(self, maim: MaimServer, *arguments: str) -> Iterator[None]:
        command = [sys.executable, "manage.py", "runserver", "--noreload", "--skip-checks", *arguments]
        with maim.log_path.open("ab") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=maim.environment, stdout=log, stderr=log)
        try:
            wait_until(lambda: is_healthy(maim.public) or is_healthy(maim.internal), "runserver answers")
            yield
        finally:
            process.terminate()
            process.wait(WAIT)

    def test_serves_the_public_surface_by_default(self, tmp_path: Path) -> None:
        maim = MaimServer(tmp_path, "maim_runserver")

        with self.running(maim):
            assert get(maim.public).json() == {"message": "Welcome to MaimWebBackend API"}
            assert get(f"{maim.public}/static/admin/css/base.css").status_code == 200
            assert not listens(maim.internal_port)

    def test_serves_the_internal_surface_on_its_port(self, tmp_path: Path) -> None:
        maim = MaimServer(tmp_path, "maim_runserver")

        with self.running(maim, str(maim.internal_port)):
            assert get(f"{maim.internal}/info").json()["name"] == "maim"
            assert not listens(maim.public_port)

    def test_refuses_a_port_that_belongs_to_no_surface(self, tmp_path: Path) -> None:
        maim = MaimServer(tmp_path, "maim_runserver")
        port = free_port()

        error = start_error(maim, "runserver", "--noreload", str(port))

        assert error == (
            f"CommandError: Port {port} belongs to no surface; "
            f"use {maim.public_port} (public) or {maim.internal_port} (internal)"
        )
