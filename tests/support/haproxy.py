"""A temporary HAProxy in front of servers."""

from __future__ import annotations

import csv
import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.instances import wait_until


class HAProxy:
    """HAProxy that checks servers by `option httpchk` without more, which is `OPTIONS /` without a Host.

    Each server has a backend of its own name, and no traffic but the checks.
    """

    def __init__(self, directory: Path, ports: Mapping[str, int]) -> None:
        self._socket = directory / "haproxy.sock"
        self._config = directory / "haproxy.cfg"
        backends = "".join(
            f"backend {name}\n  option httpchk\n  server only 127.0.0.1:{port} check inter 100ms fall 1 rise 1\n"
            for name, port in ports.items()
        )
        self._config.write_text(
            f"global\n  stats socket {self._socket} level user\n"
            "defaults\n  mode http\n  timeout connect 5s\n  timeout client 5s\n  timeout server 5s\n" + backends
        )
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def missing() -> list[str]:
        """Return the missing Debian packages."""
        return [] if shutil.which("haproxy") else ["haproxy"]

    def start(self) -> None:
        self._process = subprocess.Popen(["haproxy", "-db", "-f", str(self._config)])
        wait_until(self._socket.exists, "HAProxy runs")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)

    def checks(self) -> dict[str, tuple[str, str, str]]:
        """Return for each server its status, the result of its last check, and the status code that it got."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._socket))
            connection.sendall(b"show stat\n")
            text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        rows = csv.DictReader(text.removeprefix("# ").splitlines())
        return {
            row["pxname"]: (row["status"], row["check_status"], row["check_code"])
            for row in rows
            if row["svname"] == "only"
        }
