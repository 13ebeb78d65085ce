"""The process group of a surface."""

from __future__ import annotations

import os

import pytest

from tests.support import processes

pytestmark = pytest.mark.embedded

# A worker to which SIGTERM comes while it starts, when it takes no signals.
WORKER = """
import multiprocessing, os, signal, socket
import django
django.setup()
from core.http.surfaces import PUBLIC
from maim.server import group

def work():
    signal.pthread_sigmask(signal.SIG_BLOCK, group.STOP_SIGNALS)
    os.kill(os.getpid(), signal.SIGTERM)
    group._work(PUBLIC, socket.create_server(("127.0.0.1", 0)))

worker = multiprocessing.get_context("fork").Process(target=work)
worker.start()
worker.join(30)
print(worker.exitcode)
worker.kill()
"""


def test_worker_that_is_told_to_end_before_it_serves_ends() -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "maim.settings"}

    ended = processes.run(["-c", WORKER], environment)

    assert ended.stdout == "0\n", ended.stderr
