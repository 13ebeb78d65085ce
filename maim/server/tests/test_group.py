"""The process group of a surface."""

from __future__ import annotations

import os

import pytest

from tests.support import processes

pytestmark = pytest.mark.embedded

# A worker that does something first, and its exit code.
WORKER = """
import multiprocessing, os, signal, socket
import django
django.setup()
from core.http.surfaces import PUBLIC
from maim.server import group

def fail(*arguments):
    raise RuntimeError("a fault")

def work():
    signal.pthread_sigmask(signal.SIG_BLOCK, group.STOP_SIGNALS)
    {first}
    group._run_worker(PUBLIC, socket.create_server(("127.0.0.1", 0)))

worker = multiprocessing.get_context("fork").Process(target=work)
worker.start()
worker.join(30)
print(worker.exitcode)
worker.kill()
"""


@pytest.mark.parametrize(
    ("first", "code"),
    [
        pytest.param("os.kill(os.getpid(), signal.SIGTERM)", 0, id="told to end before it takes signals"),
        pytest.param("group._serve_until_stopped = fail", 1, id="failing while its shedder runs"),
    ],
)
def test_worker_ends(first: str, code: int) -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "maim.settings"}

    ended = processes.run(["-c", WORKER.format(first=first)], environment)

    assert ended.stdout == f"{code}\n", ended.stderr


def test_no_thread_is_made_before_a_worker_is_forked() -> None:
    """Python 3.13 takes such a thread for one that has run, and starts it in no worker."""
    code = (
        "import gc, threading, django; django.setup(); import maim.server.supervisor; "
        "main = threading.main_thread(); "
        "print([each for each in gc.get_objects() if isinstance(each, threading.Thread) and each is not main])"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "maim.settings"}

    assert processes.run(["-c", code], environment).stdout == "[]\n"
