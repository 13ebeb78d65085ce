"""The preparation of a machine and of this process for measurements."""

from __future__ import annotations

import os
import shutil

from tests.run import install, install_mysqlclient, missing_packages


def prepare() -> bool:
    """Install what is missing, and clear maim's settings. Return False where something cannot be installed."""
    missing = missing_packages(servers=True) + ["wrk"] * (shutil.which("wrk") is None)
    if missing and not install(missing):
        print(f"not measured, for want of {' '.join(missing)} (not root, or no apt-get)")
        return False
    install_mysqlclient()
    for name in list(os.environ):
        if name.startswith("MAIM") or name in ("DATABASE_URL", "REDIS_URL"):
            del os.environ[name]  # maim is measured with its default settings
    return True
