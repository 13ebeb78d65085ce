"""A Galera cluster of three nodes on loopback."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.instances import MariaDB, free_port, wait_until

PROVIDER = Path("/usr/lib/galera/libgalera_smm.so")
# A dead node is detected after two seconds.
TIMES = (
    "evs.keepalive_period=PT0.5S;evs.suspect_timeout=PT2S;evs.inactive_timeout=PT5S;evs.inactive_check_period=PT0.5S"
)


class Node(MariaDB):
    """A node of the cluster."""

    def status(self, name: str) -> str:
        return self.query(f"SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = '{name}'")

    def query(self, statement: str) -> str:
        completed = self.sql(statement)
        assert completed.returncode == 0, completed.stderr.decode()
        return completed.stdout.decode().strip()

    def is_synced(self) -> bool:
        return self.status("wsrep_local_state_comment") == "Synced" and self.status("wsrep_ready") == "ON"


@contextmanager
def galera_nodes() -> Iterator[list[Node]]:
    """Start the nodes one after the other. Skip the test if a package is missing."""
    if MariaDB.missing() or not PROVIDER.exists():
        pytest.skip("needs mariadb-server and galera-4")
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.chmod(0o755)
        ports = [free_port() for _ in range(3)]
        members = ",".join(f"127.0.0.1:{port}" for port in ports)
        first = Node(directory / "node0", *_options(0, ports, ""))
        first.install()
        copies = [first.copy(directory / f"node{number}", *_options(number, ports, members)) for number in (1, 2)]
        nodes = [first, *(Node(each.directory, *each._options) for each in copies)]
        for node in nodes:
            node.start()
            stack.callback(node.stop)
            wait_until(node.is_synced, "the node is in the cluster", 60)
        yield nodes


@contextmanager
def standing_still(*nodes: Node) -> Iterator[None]:
    """Stop the processes of nodes, like machines that hang."""
    for node in nodes:
        os.kill(node.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for node in nodes:
            os.kill(node.pid, signal.SIGCONT)


def _options(number: int, ports: list[int], members: str) -> list[str]:
    port = ports[number]
    return [
        "--binlog-format=ROW",
        "--innodb-autoinc-lock-mode=2",
        "--wsrep-on=ON",
        f"--wsrep-provider={PROVIDER}",
        "--wsrep-cluster-name=maim",
        f"--wsrep-cluster-address=gcomm://{members}",
        f"--wsrep-node-name=node{number}",
        f"--wsrep-node-address=127.0.0.1:{port}",
        "--wsrep-sst-method=rsync",
        f"--wsrep-sst-receive-address=127.0.0.1:{free_port()}",
        "--wsrep-provider-options="
        f"gmcast.listen_addr=tcp://127.0.0.1:{port};ist.recv_addr=127.0.0.1:{free_port()};gcache.size=16M;{TIMES}",
    ]
