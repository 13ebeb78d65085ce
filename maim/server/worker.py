"""The preparation of a worker process."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time

from core.http.surfaces import INTERNAL, Surface
from maim.server.application import Application, InternalApplication
from maim.wsgi import static_files

log = logging.getLogger("maim.server")

# Higher than Python's default, which a busy worker reaches every few requests.
GC_THRESHOLD = 50_000
# A fifth of Python's default: how long a thread of the internal surface may keep the interpreter from another.
SWITCH_SECONDS = 0.001
STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})


def end_with_parent() -> None:
    """End this process when its parent is gone, because a worker outlives a killed main process.

    A thread checks once a second. It sends SIGTERM, so that requests under way are still answered.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        while os.getppid() == parent.pid:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def prepare(surface: Surface) -> Application:
    """Prepare this process, and return the application of a surface."""
    end_with_parent()
    static_files()  # so that the first request need not list them
    # Objects from before now stay forever, so the collector need not look at them.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    if surface == INTERNAL:
        # Otherwise each query of a batch's thread waits up to 5 ms for the interpreter while the event loop is busy.
        sys.setswitchinterval(SWITCH_SECONDS)
    log.info("%s worker %d serves %s:%d", surface.name, os.getpid(), surface.bind.host, surface.bind.port)
    return InternalApplication() if surface == INTERNAL else Application(surface)
