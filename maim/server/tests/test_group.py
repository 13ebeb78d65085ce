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


# A worker that fails, with the handler that it inherits, while its shedder runs.
FAILING_WORKER = """
import multiprocessing, os, signal, socket
import django
django.setup()
from core.http.surfaces import PUBLIC
from maim.server import group

def fail(*arguments):
    raise RuntimeError("a fault")

def work():
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, group.STOP_SIGNALS)
    group._serve = fail
    group._work(PUBLIC, socket.create_server(("127.0.0.1", 0)))

worker = multiprocessing.get_context("fork").Process(target=work)
worker.start()
worker.join(30)
print(worker.exitcode)
worker.kill()
"""


def test_worker_that_fails_ends_with_its_shedder() -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "maim.settings"}

    ended = processes.run(["-c", FAILING_WORKER], environment)

    assert ended.stdout == "1\n", ended.stderr


def test_no_thread_is_made_before_a_worker_is_forked() -> None:
    """Python 3.13 takes such a thread for one that has run, and starts it in no worker."""
    code = (
        "import gc, threading, django; django.setup(); import maim.server.supervisor; "
        "main = threading.main_thread(); "
        "print([each for each in gc.get_objects() if isinstance(each, threading.Thread) and each is not main])"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "maim.settings"}

    assert processes.run(["-c", code], environment).stdout == "[]\n"
