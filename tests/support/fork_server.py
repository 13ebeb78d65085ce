"""A process that has imported the libraries of maim, from which tests fork servers and commands.

A fork runs its program as Python would run it, but for the imports, which are most of what a start takes. A request is
a line of JSON on standard input, and its response one on standard output (tests.support.processes).
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

from django.core.exceptions import ImproperlyConfigured

# Only libraries whose import needs no settings and does not read the environment.
LIBRARIES = (
    "cryptography.fernet",
    "django.contrib.admin.options",
    "django.core.handlers.wsgi",
    "django.db.backends.mysql.base",
    "django.db.migrations.executor",
    "fido2.server",
    "httptools",
    "jsonpatch",
    "jwt",
    "limits",
    "MySQLdb.cursors",
    "orjson",
    "pydantic_settings",
    "pyotp",
    "pythonjsonlogger.json",
    "redis",
    "requests",
    "segno",
    "smtplib",
    "sqlite3",
    "tomlkit",
    "uvloop",
    "whitenoise.middleware",
    "yaml",
)


def main() -> None:
    """Serve requests until standard input is closed. In a fork, run the program and return after it."""
    for name in LIBRARIES:
        # Of packages that embedded installations do without; Django words it in its own way.
        with suppress(ImportError, ImproperlyConfigured):
            import_module(name)
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        request = json.loads(line)
        response: Any
        if "poll" in request:
            ended, status = os.waitpid(request["poll"], os.WNOHANG)
            response = os.waitstatus_to_exitcode(status) if ended else None
        else:
            response = os.fork()
            if response == 0:
                become(**request)
                return
        sys.stdout.write(f"{json.dumps(response)}\n")
        sys.stdout.flush()


def become(arguments: Sequence[str], environment: dict[str, str], output: str, errors: str) -> None:
    """Turn this process into a Python program, with the arguments of `python`."""
    for path, stream, flags in (
        (os.devnull, 0, os.O_RDONLY),
        (output, 1, os.O_WRONLY | os.O_APPEND | os.O_CREAT),
        (errors, 2, os.O_WRONLY | os.O_APPEND | os.O_CREAT),
    ):
        descriptor = os.open(path, flags)
        os.dup2(descriptor, stream)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(environment)
    if arguments[0] == "-m":
        sys.argv = list(arguments[1:])
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    elif arguments[0] == "-c":
        sys.argv = ["-c", *arguments[2:]]
        exec(arguments[1], {"__name__": "__main__"})
    else:
        sys.argv = list(arguments)
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main()
