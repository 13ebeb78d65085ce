"""The preparation of a machine and of this process for measurements."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from types import FrameType

from tests.run import install, install_mysqlclient, missing_packages


def prepare() -> bool:
    """Install what is missing, and clear maim's settings. Return False where something cannot be installed.

    From then on SIGTERM ends the servers as well, because stopped ones would stay forever.
    """
    missing = missing_packages(servers=True) + ["wrk"] * (shutil.which("wrk") is None)
    if missing and not install(missing):
        print(f"not measured, for want of {' '.join(missing)} (not root, or no apt-get)")
        return False
    install_mysqlclient()
    for name in list(os.environ):
        if name.startswith("MAIM") or name in ("DATABASE_URL", "REDIS_URL"):
            del os.environ[name]  # maim is measured with its default settings
    signal.signal(signal.SIGTERM, _end)
    return True


def _end(signum: int, _frame: FrameType | None) -> None:
    signal.signal(signum, signal.SIG_IGN)  # a second one would interrupt the ending of the servers
    sys.exit(128 + signum)
