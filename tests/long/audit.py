"""The audit chain at full size: a million entries, and changes in one tenant with and without the auditor."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from typing import Any

import psutil
import pytest

from tests.support.deployment import own_dependencies
from tests.support.instances import wait_until
from tests.support.server import ROOT, MaimServer

pytestmark = pytest.mark.single

ENTRIES = int(os.environ.get("AUDIT_ENTRIES", "1000000"))
CLIENTS = 16
SECONDS = 8
ROUNDS = 4

# Written by the code that writes all entries, in the transactions of services that write many.
WRITE = """
import sys
from django.db import transaction
from core import audit
from core.actor import command_actor
from core.audit import AuditChange
from core.audit_chain.chainer import Chainer
for start in range(0, int(sys.stdin.readline()), 2000):
    changes = [
        AuditChange(f"agent_{n:012x}", f"tenant_{n % 100:012x}", {"name": "客服", "config_version": n},
                    {"name": "客服二", "config_version": n + 1})
        for n in range(start, start + 2000)
    ]
    with transaction.atomic():
        audit.record_all(actor=command_actor("fill"), action="agent.update", changes=changes)
Chainer().chain_all()
"""
PLAIN_READ = """
import time
from django.db import connection
from core.models import AuditEntry
began, after, number = time.perf_counter(), 0, 0
with connection.cursor() as cursor:
    while True:
        cursor.execute("SELECT * FROM common_auditentry WHERE id > %s ORDER BY id LIMIT 1000", [after])
        rows = cursor.fetchall()
        if not rows:
            break
        after, number = rows[-1][0], number + len(rows)
print(number / (time.perf_counter() - began))
"""


def test_a_million_entries_are_verified_in_constant_memory() -> None:
    with own_dependencies() as own:
        maim = MaimServer(own.directory, "maim_audit", **own.environment())
        maim.migrate()
        sizes = []
        for more in (ENTRIES // 10, ENTRIES - ENTRIES // 10):
            _python(maim, WRITE, str(more))
            read = float(_python(maim, PLAIN_READ))
            began = time.perf_counter()
            report, size = _verify(maim)
            verified = report["entries"] / (time.perf_counter() - began)
            sizes.append(size)
            print(f"{report['entries']} entries: {verified:.0f} a second, read {read:.0f}, up to {size} MiB")
            assert (report["findings"], report["tail"]) == ([], 0)

    assert report["entries"] == ENTRIES
    assert sizes[1] < sizes[0] + 16


def _verify(maim: MaimServer) -> tuple[dict[str, Any], int]:
    """Return the report, and how many MiB the process took."""
    path = maim.directory / "report.json"
    with path.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "audit", "verify", "--json"], cwd=ROOT, env=maim.environment, stdout=output
        )
        _pid, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert status == 0
    return json.loads(path.read_text()), usage.ru_maxrss // 1024


def _python(maim: MaimServer, script: str, line: str = "") -> str:
    command = [sys.executable, "manage.py", "shell", "-v0", "-c", script]
    return subprocess.run(
        command, cwd=ROOT, env=maim.environment, input=f"{line}\n", check=True, capture_output=True, text=True
    ).stdout


def test_changes_in_one_tenant_are_as_many_with_the_auditor() -> None:
    with own_dependencies() as own, MaimServer(own.directory, "maim_audit", **own.environment()) as maim:
        with closing(HTTPConnection("127.0.0.1", maim.internal_port)) as connection:
            tenant = _create(connection, "tenants", {"tenant_name": "one", "tenant_type": "enterprise"})
        _changes(maim, tenant, 3)
        rates: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(ROUNDS):
            used = _auditor(maim).cpu_times()
            rates[True].append(_changes(maim, tenant, SECONDS))
            share = sum(_auditor(maim).cpu_times()[:2]) - sum(used[:2])
            print(f"the auditor took {share / SECONDS:.1%} of a processor")
            with _auditor_stopped(maim):
                rates[False].append(_changes(maim, tenant, SECONDS))
        wait_until(lambda: json.loads(maim.manage("audit", "verify", "--json"))["tail"] == 0, "all are chained", 60)
        report = json.loads(maim.manage("audit", "verify", "--json"))

    print(f"changes a second with the auditor {rates[True]}, without {rates[False]}, {report['entries']} entries")
    assert report["findings"] == []
    assert max(rates[True]) > 0.8 * max(rates[False]), "which vary by a tenth on a busy machine"


def _auditor(maim: MaimServer) -> psutil.Process:
    """Return the second of the children of `serve` that have no children: the sender of mails starts before it."""
    background = [child for child in psutil.Process(maim.pid).children() if not child.children()]
    return sorted(background, key=lambda child: child.pid)[1]


@contextmanager
def _auditor_stopped(maim: MaimServer) -> Iterator[None]:
    auditor = _auditor(maim)
    auditor.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        auditor.send_signal(signal.SIGCONT)


def _changes(maim: MaimServer, tenant: str, seconds: float) -> float:
    """Create agents in one tenant, and return how many a second."""
    until, numbers = time.monotonic() + seconds, itertools.count()

    def create() -> None:
        with closing(HTTPConnection("127.0.0.1", maim.internal_port)) as connection:
            while time.monotonic() < until:
                _create(connection, "agents", {"tenant_id": tenant, "name": f"{until} {next(numbers)}"})

    threads = [threading.Thread(target=create) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return round(next(numbers) / seconds, 1)


def _create(connection: HTTPConnection, kind: str, body: dict[str, str]) -> str:
    connection.request("POST", f"/api/v2/{kind}", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = json.loads(response.read())
    assert response.status == 200, answer
    created: str = answer["data"].get("agent", answer["data"])["id"]
    return created
