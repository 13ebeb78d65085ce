"""Processes that are forked (tests/support/fork_server.py) behave like new ones of Python."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.support import processes
from tests.support.instances import WAIT, wait_until

pytestmark = pytest.mark.embedded


@pytest.mark.parametrize(
    ("code", "status", "output", "errors"),
    [
        ("print('done')", 0, "done\n", ""),
        ("import sys; sys.exit(3)", 3, "", ""),
        ("import sys; sys.exit('refused')", 1, "", "refused\n"),
        ("import atexit; atexit.register(print, 'ended')", 0, "ended\n", ""),
        ("import sys; print(sys.argv, __name__)", 0, "['-c', 'more'] __main__\n", ""),
        ("import sys; print(sys.stdin.read())", 0, "\n", ""),
    ],
)
def test_program_ends_as_with_python(code: str, status: int, output: str, errors: str) -> None:
    ended = processes.run(["-c", code, "more"], dict(os.environ))

    assert (ended.returncode, ended.stdout, ended.stderr) == (status, output, errors)


def test_error_is_a_traceback_and_status_1() -> None:
    ended = processes.run(["-c", "1 / 0"], dict(os.environ))

    assert ended.returncode == 1
    assert ended.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_program_has_the_environment_that_it_is_given_and_no_other() -> None:
    ended = processes.run(["-c", "import os; print(dict(os.environ))"], {"MAIM_DATA_DIR": "/nowhere"})

    assert ended.stdout == "{'MAIM_DATA_DIR': '/nowhere'}\n"


def test_no_settings_and_no_module_of_maim_are_loaded_before_the_program() -> None:
    code = "import sys; from django.conf import settings; print(settings.configured, 'core' in sys.modules)"

    assert processes.run(["-c", code], dict(os.environ)).stdout == "False False\n"


def test_two_programs_draw_different_numbers() -> None:
    drawn = {processes.run(["-c", "import random; print(random.random())"], dict(os.environ)).stdout for _ in "ab"}

    assert len(drawn) == 2


def test_signal_ends_a_program_that_runs(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = processes.start(["-c", "print('begun', flush=True); import time; time.sleep(600)"],
                              dict(os.environ), log)  # fmt: skip
    wait_until(lambda: log.read_text() == "begun\n", "the program runs")
    assert process.poll() is None

    process.send_signal(signal.SIGKILL)

    assert process.wait(WAIT) == -signal.SIGKILL
